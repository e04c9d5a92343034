//! The path to each peer: its endpoint, route and next hop as the kernel has them, and its MTU as
//! routers report it. Reads the kernel's tables and has the kernel resolve neighbours; writes no
//! map.

pub(in crate::daemon) mod kernel_view;
pub(in crate::daemon) mod path_mtu;
pub(in crate::daemon) mod resolution;
pub(in crate::daemon) mod resolved;
