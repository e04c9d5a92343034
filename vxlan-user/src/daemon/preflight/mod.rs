//! Everything that can be known to be wrong before anything is changed: is the configuration right for
//! this host? Reads only.

pub(in crate::daemon) mod addresses;
pub(in crate::daemon) mod attach_modes;
pub(in crate::daemon) mod host;
pub(in crate::daemon) mod keys;
mod networks;
