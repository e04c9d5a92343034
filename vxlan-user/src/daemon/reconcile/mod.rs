//! Keeps the data plane in line with the host while the daemon runs: paths, endpoints and MTUs of
//! peers, the underlay interface, the age of learned MAC addresses. And keeps what the daemon has
//! made on the host as it shall be, whoever changes it.

pub(in crate::daemon) mod ageing;
mod dirty_set;
mod endpoints;
mod glance;
mod held_hooks;
mod hooks;
mod host_pass;
mod mtu;
mod networks_lost;
mod overlays;
mod path_reader;
pub(in crate::daemon) mod peer_log;
mod publisher;
pub(in crate::daemon) mod reconciler;
mod record_writer;
mod restless;
pub(in crate::daemon) mod underlay;
mod underlay_publication;
mod underlay_reader;
mod watched;

pub(in crate::daemon) use self::{host_pass::HostPass, reconciler::Reconciler};
