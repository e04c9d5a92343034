//! Keeps the data plane in line with the host while the daemon runs: paths, endpoints and MTUs of
//! peers, the underlay interface, the age of learned MAC addresses.

pub(in crate::daemon) mod ageing;
mod dirty_set;
mod endpoints;
mod mtu;
pub(in crate::daemon) mod reconciler;
pub(in crate::daemon) mod underlay;

pub(in crate::daemon) use self::{mtu::NarrowedPath, reconciler::Reconciler};
