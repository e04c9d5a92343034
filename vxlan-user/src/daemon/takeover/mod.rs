//! The one transaction that changes the host: from one generation of the data plane to the next, whole or
//! not at all.

pub(in crate::daemon) mod bring_up;
mod leftover;
mod record;
pub(in crate::daemon) mod replace;
