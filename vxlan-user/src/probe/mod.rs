//! Probes: what is asked of a peer and answered to it, and what follows from that. The protocol is
//! `docs/probe-protocol.md`. Pure: bytes and points in time in, bytes and decisions out; sockets and
//! maps belong to `host`, `dataplane` and `daemon`. The one exception is [`Key::load`], which reads a
//! file.

mod asking;
mod association;
mod endpoint;
mod header;
mod heard;
mod key;
mod loss;
pub mod path_search;
mod prober;
mod report;
mod rtt;
mod shared;
mod unkeyed;
mod window;
mod wire;

pub use asking::{Answered, PATIENCE, Purpose, Waiting};
pub use association::{Association, Outgoing, Seen, Verdict};
pub use heard::Heard;
pub use key::{Key, KeyError, NameId, name_id};
pub use path_search::PathSearch;
pub use prober::{Action, Prober, Random, Settings, Transmit};
pub use report::{
    BothWays, By, Checksum, Counts, DataMapping, Header, Liveness, Report, Rewrite, Rtt,
};
pub use shared::{NatReports, SharedReports};
pub use unkeyed::Unkeyed;
pub use wire::{Kind, LENGTH_V4, LENGTH_V6, Probe, Refused};

#[cfg(test)]
pub(crate) use shared::sample;
#[cfg(test)]
mod tests;
