//! What NAT on the way does to the tunnel, and what the daemon makes of it: counters, the verdict
//! with its evidence, and whether data pass. The boxes are real ones, of the kernel's connection
//! tracking, in namespaces of their own; the daemon is the real one, on both ends.

mod blocked;
mod checksums;
mod clock;
mod data;
mod exchange;
mod forged;
mod keepalive;
mod kernel_peer;
mod lab;
mod over_ipv6;
mod path_mtu;
mod probe_frame;
mod rebind;
mod restart;
mod setup;
mod stream;
mod unfit;
mod verdicts;
mod world;
