//! The library behind the `vxlan` command: one module per room, see docs/architecture.md.

pub mod host;
