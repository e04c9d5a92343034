//! What is known of the way to one peer and back, as the daemon hands it to `/metrics` and to
//! `vxlan show`. Values only: how they come about is the matter of the prober and of [`crate::nat`].

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::nat::Kind;

/// Everything about one peer. Times are in seconds, by a clock that never steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub peer: String,
    pub nat: Kind,
    /// For how long that has been so.
    pub since: f64,
    /// Why: one sentence each, with numbers.
    pub evidence: Vec<String>,
    pub liveness: Liveness,
    /// Where packets to it go at present; absent: nowhere yet.
    pub endpoint: Option<SocketAddr>,
    /// The endpoint is learned from probes.
    pub learned: bool,
    /// What data packets showed; absent: none came yet.
    pub data: Option<DataMapping>,
    /// The latest request of ours that the peer has described.
    pub ours: Option<Rewrite>,
    /// The latest request of the peer's.
    pub theirs: Option<Rewrite>,
    pub rtt: Option<Rtt>,
    /// Share of the latest probes that did not arrive, 0 to 1.
    pub loss: BothWays<f64>,
    /// Routers on the way.
    pub hops: BothWays<u8>,
    pub path_mtu: BothWays<u32>,
    pub probes: Counts,
    /// How often a learned endpoint has moved.
    pub mapping_changes: u64,
}

impl Report {
    /// Of a peer of which nothing is known, and whom nobody asks.
    pub fn empty(peer: &str) -> Self {
        Self {
            peer: peer.to_owned(),
            nat: Kind::Unknown,
            since: 0.0,
            evidence: Vec::new(),
            liveness: Liveness { by: By::Nothing, up: None, last_seen: None },
            endpoint: None,
            learned: false,
            data: None,
            ours: None,
            theirs: None,
            rtt: None,
            loss: BothWays::default(),
            hops: BothWays::default(),
            path_mtu: BothWays::default(),
            probes: Counts::default(),
            mapping_changes: 0,
        }
    }
}

/// From us to the peer, and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BothWays<T> {
    pub tx: Option<T>,
    pub rx: Option<T>,
}

/// How it is known whether the peer lives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Liveness {
    pub by: By,
    /// Absent: not known.
    pub up: Option<bool>,
    /// Since the last sign of life.
    pub last_seen: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum By {
    /// Authenticated probes.
    Probes,
    /// ICMP echo through the tunnel, as the peer has no key and so cannot answer probes.
    InnerEcho { address: IpAddr },
    /// Nothing: there is no key, and no inner address to ask.
    Nothing,
}

/// Where data packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataMapping {
    pub address: IpAddr,
    /// Absent: as sent.
    pub port: Option<u16>,
    pub ttl: u8,
    /// How many different ones there were: exact for a few, an estimate for hundreds.
    pub mappings: u32,
    pub changes: u32,
    /// Seconds since the last change, or since the first packet.
    pub changed: u32,
}

/// One probe's outer header at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    pub sent: Header,
    pub seen: Header,
}

/// An outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub ttl: u8,
    pub tos: u8,
    /// Of the IP packet, in bytes.
    pub length: u16,
    pub checksum: Checksum,
    /// DF is set, or it is IPv6.
    pub dont_fragment: bool,
}

/// A UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksum {
    Zero,
    Right,
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rtt {
    pub last: f64,
    /// RFC 6298.
    pub smoothed: f64,
    /// RFC 6298's RTTVAR.
    pub variation: f64,
    pub min: f64,
}

/// Since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that count: those that look for the path MTU, or come from a strange port, may be lost.
    pub sent: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Of these, not answered in time.
    pub lost: u64,
    /// Requests of the peer's that were accepted.
    pub received: u64,
    /// Probes with the peer's tag that were refused, by reason; every reason is there.
    pub refused: Vec<(String, u64)>,
}
