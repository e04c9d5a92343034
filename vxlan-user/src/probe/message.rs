//! The contents of a probe, field by field, and the reasons to refuse one. How a probe is written
//! as bytes is in `wire`.

use super::key::NameId;
use crate::observation::OuterHeader;

/// The two kinds of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    Request,
    Reply,
}

/// One probe, in the order of `docs/probe-protocol.md`, which defines each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub kind: ProbeKind,
    /// Sent from a port that no data comes from.
    pub unsolicited: bool,
    /// The NAT in front of the sender maps it to another address or port for each destination.
    pub varies: bool,
    /// Probes the path MTU.
    pub size: bool,
    /// The sender sends all data from this source port.
    pub fixed: bool,
    pub sender: NameId,
    pub receiver: NameId,
    /// Session of the sender; not zero.
    pub session: u64,
    pub token: u64,
    pub offered_token: u64,
    /// Zero in a reply.
    pub sequence: u64,
    /// Time of sending in ns, by the clock of the sender.
    pub sent_at: u64,
    pub as_sent: OuterHeader,
    pub requests_sent: u64,
    pub peer_session: u64,
    pub requests_received: u64,
    pub highest_requests_sent: u64,
    pub unsolicited_received: u64,
    pub data_received: u64,
    pub data_sent: u64,
    /// Path MTU that the sender has found, in bytes; zero: none yet.
    pub path_mtu: u32,
    /// Counters of one network; the networks take turns. Absent: the sender does not report them.
    pub network: Option<NetworkCounts>,
    /// How many networks the sender has with the receiver.
    pub networks: u8,
    /// Zero in a request, like the next two fields.
    pub echoed_session: u64,
    pub echoed_sequence: u64,
    /// Time from the arrival of the request to the reply, in ns.
    pub held: u64,
    /// The latest request of the receiver as it arrived. Absent: there was none yet.
    pub as_seen: Option<OuterHeader>,
}

/// Counters of data packets in one network, modulo 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkCounts {
    pub vni: u32,
    /// From the receiver of the probe, delivered.
    pub received: u32,
    /// To the receiver of the probe.
    pub sent: u32,
}

/// Why a received probe is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeRefusal {
    /// Not made with the key of the peer, or not of this protocol version.
    Unauthenticated,
    /// Made with the key, but not as the protocol requires; or its length was changed on the path.
    Malformed,
    /// Sent by or to another host.
    Misaddressed,
    /// Sent by this host itself.
    Reflected,
    /// Received before, or a reply to no request in flight.
    Replayed,
    /// A request that is not proven to be fresh.
    Unproven,
}

impl ProbeRefusal {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::Unauthenticated,
        Self::Malformed,
        Self::Misaddressed,
        Self::Reflected,
        Self::Replayed,
        Self::Unproven,
    ];

    /// Returns the word in reports, which is the metric label, too.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Malformed => "malformed",
            Self::Misaddressed => "misaddressed",
            Self::Reflected => "reflected",
            Self::Replayed => "replayed",
            Self::Unproven => "unproven",
        }
    }
}
