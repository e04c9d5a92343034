//! Counters of the data plane: one [`Counters`] per slot and CPU.
//!
//! A slot stands for what a packet is attributed to: a peer, a network, a member (a peer in a
//! network), or none of them, which is slot 0. The daemon assigns the slots.

use crate::{
    abi::two_layouts,
    reason::{DropReason, SLOTS},
};

/// The slot of packets that cannot be attributed to any peer or network.
pub const UNATTRIBUTED_SLOT: u32 = 0;

/// A field of the outer headers that a NAT on the path has rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NatField {
    /// The source arrived as the peer's public endpoint, not as its private address.
    SrcAddress = 0,
    /// The UDP source port is not the one the peer sent from.
    SrcPort = 1,
    /// The destination arrived as our private address, though peers send to our public one.
    DstAddress = 2,
    /// The UDP checksum is not the one the peer sent.
    Checksum = 3,
}

impl NatField {
    /// Every field, in the order of its number.
    pub const ALL: [Self; 4] = [Self::SrcAddress, Self::SrcPort, Self::DstAddress, Self::Checksum];

    /// The value of the metric's `field` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::SrcAddress => "src_address",
            Self::SrcPort => "src_port",
            Self::DstAddress => "dst_address",
            Self::Checksum => "checksum",
        }
    }
}

two_layouts! {
    /// The counters of one slot on one CPU, in packets on the wire and in bytes of inner
    /// frames: a GSO packet of 44 segments counts 44, with its headers 44 times.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(C)]
    pub struct Counters {
        /// Frames handed to the overlay interface.
        pub rx_packets: u64,
        /// Their bytes, from inner Ethernet header to end of payload.
        pub rx_bytes: u64,
        /// Packets that passed every rule of receive. What was neither delivered nor dropped since
        /// was lost between XDP and TC.
        pub accepted: u64,
        /// Those of them that XDP redirected into the hidden port.
        pub redirected: u64,
        /// Those of them that arrived at the overlay interface. The rest is on its way or lost.
        pub arrived: u64,
        /// Packets handed to the underlay interface.
        pub tx_packets: u64,
        /// Their inner bytes.
        pub tx_bytes: u64,
        /// ARP requests and neighbour solicitations answered on behalf of the owner.
        pub neighbour_replies: u64,
        /// ICMP messages sent about packets too big.
        pub too_big_sent: u64,
        moved {
            /// Probes handed to the daemon.
            pub probes: u64,
        }
        /// Packets by rewritten field, indexed by [`NatField`].
        pub nat: [u64; 4],
        /// Dropped packets, indexed by [`DropReason::index`].
        pub drops: [u64; SLOTS],
    }
}

const _: () = assert!(size_of::<Counters>() == 8 * (10 + 4 + SLOTS));

impl Counters {
    /// All zero.
    pub const ZERO: Self = Self {
        rx_packets: 0,
        rx_bytes: 0,
        accepted: 0,
        redirected: 0,
        arrived: 0,
        tx_packets: 0,
        tx_bytes: 0,
        neighbour_replies: 0,
        too_big_sent: 0,
        probes: 0,
        nat: [0; 4],
        drops: [0; SLOTS],
    };

    /// Packets dropped for `reason`.
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason.index()]
    }

    /// Adds another CPU's counters to these.
    pub fn add(&mut self, other: &Self) {
        self.rx_packets += other.rx_packets;
        self.rx_bytes += other.rx_bytes;
        self.accepted += other.accepted;
        self.redirected += other.redirected;
        self.arrived += other.arrived;
        self.tx_packets += other.tx_packets;
        self.tx_bytes += other.tx_bytes;
        self.neighbour_replies += other.neighbour_replies;
        self.too_big_sent += other.too_big_sent;
        self.probes += other.probes;
        for (mine, theirs) in self.nat.iter_mut().zip(other.nat) {
            *mine += theirs;
        }
        for (mine, theirs) in self.drops.iter_mut().zip(other.drops) {
            *mine += theirs;
        }
    }
}

#[cfg(feature = "user")]
// SAFETY: repr(C), only u64 fields: no padding, every bit pattern is a value.
unsafe impl aya::Pod for Counters {}
