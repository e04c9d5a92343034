//! The path to each peer: next hop and MTU, as the kernel has them and routers report them.

pub(in crate::daemon) mod path_mtu;
pub(in crate::daemon) mod resolution;
