//! The `vxlan` daemon as a library: configuration, data plane, host set-up and metrics.
//! `main.rs` is a thin caller of it.

pub mod config;
