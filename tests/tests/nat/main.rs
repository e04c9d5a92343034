//! What NAT on the way does to the tunnel, and what the daemon makes of it: counters, the verdict with
//! its evidence, and whether data pass. The boxes are real ones, of the kernel's connection tracking, in
//! namespaces of their own; the daemon is the real one, on both ends.

mod lab;
