//! Probes: what is asked of a peer and answered to it, and what follows from that. The protocol is
//! `docs/probe-protocol.md`. Pure: bytes and points in time in, bytes and decisions out; sockets and
//! maps belong to `host`, `dataplane` and `daemon`.

mod report;

pub use report::{
    BothWays, By, Checksum, Counts, DataMapping, Header, Liveness, Report, Rewrite, Rtt,
};
