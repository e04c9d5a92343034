//! The library behind the `vxlan` command: one module per concern, see docs/architecture.md.
//!
//! Dependencies point one way: cli -> daemon -> {metrics, dataplane, host} -> plan -> config.

pub mod attach_mode;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod host;
mod http;
pub mod metrics;
pub mod nat;
pub mod observation;
pub mod plan;
pub mod probe;
pub mod shared;
pub mod state;
