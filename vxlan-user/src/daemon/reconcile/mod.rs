//! Keeps what is in line with what shall be, while the daemon runs: paths, MTUs, the underlay interface, the
//! age of learned MAC addresses.

pub(in crate::daemon) mod ageing;
mod dirty_set;
pub(in crate::daemon) mod reconciler;
pub(in crate::daemon) mod underlay;
