//! The text of the file: which keys there may be, what stands behind each of them and on which
//! line. What a value means is the matter of `values` and `rules`.
//!
//! Import order, lowest first: `source`, `suggest`, `schema`, `section`, `document`.

pub(in crate::config) mod document;
pub(in crate::config) mod schema;
pub(in crate::config) mod section;
pub(in crate::config) mod source;
pub(in crate::config) mod suggest;
