//! The text of the file: the keys that there may be, the value of each and its line. What a value
//! means is the matter of `values` and `rules`.
//!
//! Import order, lowest first: `source`, `suggest`, `schema`, `item`, `wrong_type`, `section`,
//! `syntax`, `document`.

pub(super) mod document;
pub(super) mod item;
pub(super) mod schema;
pub(super) mod section;
pub(super) mod source;
pub(super) mod suggest;
mod syntax;
mod wrong_type;
