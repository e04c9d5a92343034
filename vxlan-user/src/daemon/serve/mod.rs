//! Serves others while the daemon runs: the command line's socket, the metrics page, the service
//! manager, the log of the programs.

pub(in crate::daemon) mod api;
pub(in crate::daemon) mod listeners;
mod notify_socket;
pub(in crate::daemon) mod program_log;
pub(in crate::daemon) mod service_manager;
