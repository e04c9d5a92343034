//! What is counted, and for whom.

use std::collections::BTreeMap;

/// For whom a packet is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Nobody,
    Peer(usize),
    Network(usize),
    Member {
        network: usize,
        member: usize,
    },
    /// A peer in a network that it is no member of.
    Pair {
        peer: usize,
        network: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    RxPackets,
    RxBytes,
    TxPackets,
    TxBytes,
    RxDrop(&'static str),
    TxDrop(&'static str),
    /// A field that a NAT rewrote.
    Nat(&'static str),
    /// Handed to the daemon.
    Probes,
    /// ARP and neighbour discovery requests answered by the proxy.
    NeighbourReplies,
    /// ICMP messages about packets that are too large.
    TooBigSent,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub BTreeMap<(Who, Counter), u64>);

impl Counters {
    pub(super) fn add(&mut self, who: Who, what: Counter, count: usize) {
        *self.0.entry((who, what)).or_default() += count as u64;
    }
}
