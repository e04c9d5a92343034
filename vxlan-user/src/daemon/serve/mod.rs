//! What others see of a running daemon: the socket of the command line, the metrics page, the service manager.

pub(in crate::daemon) mod api;
pub(in crate::daemon) mod listeners;
pub(in crate::daemon) mod program_log;
pub(in crate::daemon) mod service_manager;
