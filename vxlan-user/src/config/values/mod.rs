//! One value at a time: from the text or number behind a key to an address, a name, a number or a
//! word of a list.
//!
//! Import order, lowest first: `slips`, `address`, `scalar`.

pub(in crate::config) mod address;
pub(in crate::config) mod scalar;
mod slips;
