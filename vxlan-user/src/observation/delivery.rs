//! What both ends count of the data between this host and a peer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether data arrives at the other end, by direction, and what both ends have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Absent: nothing shows that what we send is lost.
    pub tx: Option<LostData>,
    /// Absent: nothing shows that what the peer sends is lost.
    pub rx: Option<LostData>,
    /// Absent: the peer has not reported yet.
    pub counts: Option<DeliveryCounts>,
    /// The counters of the peer: data packets of ours that it has delivered, and data packets that
    /// it has sent here.
    pub peer_received: Option<u64>,
    pub peer_sent: Option<u64>,
    /// The networks in which data is lost.
    pub networks: Vec<LostNetwork>,
}

/// A network in which data is lost, in one direction or in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostNetwork {
    pub vni: u32,
    pub tx: Option<LostData>,
    pub rx: Option<LostData>,
}

/// Data packets between this host and a peer in one network, as this host has counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberCounts {
    pub vni: u32,
    pub sent: u64,
    /// Delivered.
    pub received: u64,
}

/// Data packets that did not arrive while probes did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostData {
    /// At least so many were sent.
    pub sent: u64,
    /// At most so many of them arrived.
    pub arrived: u64,
    pub within: Duration,
    /// Time since packets were last seen to be lost.
    pub ago: Duration,
}

/// Data packets counted by both ends since the first report of the peer's session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    pub since: Duration,
    /// Sent by this host, and what the peer has delivered of that.
    pub sent: u64,
    pub peer_received: u64,
    /// Sent by the peer, and what this host has delivered of that.
    pub peer_sent: u64,
    pub received: u64,
}

/// The counters of the peer, as its latest probe had them, and where data is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedData {
    /// Data packets of ours that the peer has delivered. Absent: not reported yet.
    pub received: Option<u64>,
    /// Data packets that the peer has sent here.
    pub sent: Option<u64>,
    /// Our data does not arrive at the peer. Absent: the peer does not report at present.
    pub tx_lost: Option<bool>,
    /// The peer's data does not arrive here.
    pub rx_lost: Option<bool>,
}
