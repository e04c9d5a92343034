//! Everything known of the path to one peer and back, as the daemon hands it to `/metrics` and to
//! `vxlan show`. Values only: they are computed by the prober and by [`crate::nat`].

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use crate::{
    nat::NatVerdict,
    observation::{DataMapping, ReportedData, Rewrite},
};

/// Everything about one peer. Times are in seconds, by a clock that never steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub peer: String,
    /// It has a key, so that probes can show how it is.
    pub keyed: bool,
    pub nat: NatVerdict,
    /// For how long the verdict has held.
    pub since: f64,
    /// The reasons for the verdict: one sentence each, with numbers.
    pub evidence: Vec<String>,
    pub liveness: Liveness,
    /// Authenticated probes show how the peer is. Absent: it has no key, or no probe could be
    /// answered yet.
    pub probes_ok: Option<bool>,
    /// Time since the latest probe that is proven to be fresh.
    pub last_probe: Option<f64>,
    /// Whether the overlay of the other end answers. Absent: no address is known to ask.
    pub overlay: Option<OverlayEcho>,
    /// What the peer counts of the data between the two.
    pub reported: ReportedData,
    /// The networks in which data is lost, if there are several.
    pub lost_networks: Vec<u32>,
    /// What is older is no present fact.
    pub recent: f64,
    /// Destination of packets to the peer. Absent: not known yet.
    pub endpoint: Option<SocketAddr>,
    /// The endpoint is learned from probes.
    pub learned: bool,
    /// The source of its data packets. Absent: none came yet.
    pub data: Option<DataMapping>,
    /// Our latest request that the peer has described, and the time since then.
    pub ours: Option<Rewrite>,
    pub ours_ago: Option<f64>,
    /// The latest request of the peer, and the time since then.
    pub theirs: Option<Rewrite>,
    pub theirs_ago: Option<f64>,
    /// Absent, like loss, hops and the path MTU here: it is not known at present.
    pub rtt: Option<Rtt>,
    /// Share of the latest probes that did not arrive, 0 to 1.
    pub loss: PerDirection<f64>,
    /// Number of routers on the path.
    pub hops: PerDirection<u8>,
    pub path_mtu: PerDirection<u32>,
    pub probes: ProbeCounts,
    /// Number of times that a learned endpoint has moved.
    pub mapping_changes: u64,
}

impl Report {
    /// Returns the report on a peer that is not probed and of which nothing is known.
    pub fn empty(peer: &str) -> Self {
        Self {
            peer: peer.to_owned(),
            keyed: false,
            nat: NatVerdict::Unknown,
            since: 0.0,
            evidence: Vec::new(),
            liveness: Liveness { by: LivenessSource::Nothing, up: None, last_seen: None },
            probes_ok: None,
            last_probe: None,
            overlay: None,
            reported: ReportedData::default(),
            lost_networks: Vec::new(),
            recent: 0.0,
            endpoint: None,
            learned: false,
            data: None,
            ours: None,
            ours_ago: None,
            theirs: None,
            theirs_ago: None,
            rtt: None,
            loss: PerDirection::default(),
            hops: PerDirection::default(),
            path_mtu: PerDirection::default(),
            probes: ProbeCounts::default(),
            mapping_changes: 0,
        }
    }
}

/// A value for the path to the peer, and one for the path back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerDirection<T> {
    pub tx: Option<T>,
    pub rx: Option<T>,
}

/// Whether the peer lives, and how that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Liveness {
    pub by: LivenessSource,
    /// Absent: it is not known whether the peer lives.
    pub up: Option<bool>,
    /// Time since the last sign of life.
    pub last_seen: Option<f64>,
}

/// What tells whether a peer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LivenessSource {
    /// Authenticated probes.
    Probes,
    /// ICMP echo through the tunnel.
    InnerEcho { address: IpAddr },
    /// Data packets, which passed every check.
    Data,
    /// Nothing: the peer has no key, and no inner address is known to send echo requests to.
    Nothing,
}

/// What echo requests through the tunnel show of the overlay of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverlayEcho {
    /// The address that is asked at present.
    pub address: IpAddr,
    /// Absent: too few requests were sent. An address that never answers may filter ICMP.
    pub answers: Option<bool>,
    /// Time since the latest reply. Absent: there was none yet.
    pub last_reply: Option<f64>,
    /// Requests since then.
    pub unanswered: u64,
}

/// Round-trip times, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rtt {
    pub last: f64,
    /// SRTT of RFC 6298.
    pub smoothed: f64,
    /// RTTVAR of RFC 6298.
    pub variation: f64,
    pub min: f64,
}

/// Counters of probes since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeCounts {
    /// Requests sent, without those that may be lost: path MTU probes and unsolicited requests.
    pub sent: u64,
    /// Number of `sent` that were answered.
    pub answered: u64,
    /// Number of `sent` that were not answered in time.
    pub lost: u64,
    /// Requests of the peer that were accepted.
    pub received: u64,
    /// Probes with the tag of the peer that were refused, by reason. Every reason is listed.
    pub refused: Vec<(Cow<'static, str>, u64)>,
}
