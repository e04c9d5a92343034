//! Which member the configuration gave the latest frames' destinations to, and the outer headers of
//! packets to its peer. Remembered by exact match, like [`RxMemoEntry`](super::RxMemoEntry).

use crate::{
    abi::abi,
    addr::{Address, IPV6},
    flow,
    header_template::HeaderTemplate,
};

/// All that the decision reads of a frame to one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxMemoKey {
    /// The overlay interface.
    pub ifindex: u32,
    /// Family of `destination`.
    pub family: u8,
    /// Inner destination address.
    pub destination: Address,
}

/// A destination, the member that owns it, and the path to that member's peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TxMemoEntry {
    /// The state of the tables that the decision was made with (map `EPOCH`).
    pub epoch: u64,
    /// The overlay interface; 0: nothing is remembered.
    pub ifindex: u32,
    /// Family of `destination`.
    pub family: u32,
    /// Inner destination address.
    pub destination: Address,
    /// Index of the member that owns it.
    pub member: u32,
    /// Family of the outer headers; 0: the path is not remembered, and all that follows means
    /// nothing.
    pub outer_family: u32,
    /// Index of the peer.
    pub peer: u32,
    /// Number of changes of the peer's entry, when the path was remembered (map `VERSIONS`).
    pub version: u32,
    /// The member's counter slot.
    pub slot: u32,
    /// Largest inner IP packet in bytes.
    pub inner_mtu: u32,
    /// As in [`PeerEntry`](super::PeerEntry).
    pub underlay: u32,
    /// Zero.
    pub pad: u32,
    /// As in [`PeerEntry`](super::PeerEntry).
    pub gateway: Address,
    /// Outer headers to the peer.
    pub headers: HeaderTemplate,
    /// Zero: to the end of the cache line.
    pub pad_to_line: [u32; 6],
}

impl TxMemoKey {
    /// Where the entry of this key is among `entries`, a power of two.
    #[inline(always)]
    pub const fn place(&self, entries: u32) -> u32 {
        let mixed = (self.ifindex as u64) << 32 | self.destination.folded() as u64;
        (flow::mix(0, mixed) >> 40) as u32 & (entries - 1)
    }
}

impl TxMemoEntry {
    /// Nothing is remembered.
    pub const EMPTY: Self = Self {
        epoch: 0,
        ifindex: 0,
        family: 0,
        destination: Address::ZERO,
        member: 0,
        outer_family: 0,
        peer: 0,
        version: 0,
        slot: 0,
        inner_mtu: 0,
        underlay: 0,
        pad: 0,
        gateway: Address::ZERO,
        headers: HeaderTemplate::EMPTY,
        pad_to_line: [0; 6],
    };

    /// Remembers the decision about frames with this key, and no path yet.
    #[inline(always)]
    pub const fn remember(&mut self, key: &TxMemoKey, epoch: u64, member: u32) {
        self.outer_family = 0;
        self.ifindex = key.ifindex;
        self.family = key.family as u32;
        self.destination = key.destination;
        self.member = member;
        self.epoch = epoch;
    }

    /// The entry is of a frame with this key, and was made with the tables as they are.
    #[inline(always)]
    pub const fn decides(&self, key: &TxMemoKey, epoch: u64) -> bool {
        self.ifindex == key.ifindex
            && self.destination.be32(0) == key.destination.be32(0)
            && self.epoch == epoch
            && self.family == key.family as u32
            && (key.family != IPV6 || self.destination.equals(&key.destination))
    }
}

abi! {
    TxMemoEntry: 192,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::IPV4;

    const V4: TxMemoKey =
        TxMemoKey { ifindex: 7, family: IPV4, destination: Address::ipv4([10, 0, 0, 1]) };
    const V6: TxMemoKey = TxMemoKey {
        ifindex: 7,
        family: IPV6,
        destination: Address::ipv6([0x20, 1, 0xd, 0xb8, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6]),
    };
    const EPOCH: u64 = 4;

    #[test]
    fn every_bit_of_a_key_counts() {
        for (key, bits) in [(V4, 32), (V6, 128)] {
            let mut entry = TxMemoEntry::EMPTY;
            assert!(!entry.decides(&key, 0));
            entry.remember(&key, EPOCH, 3);
            assert!(entry.decides(&key, EPOCH) && !entry.decides(&key, EPOCH + 2));
            assert!(!entry.decides(&TxMemoKey { ifindex: 8, ..key }, EPOCH));
            assert!(!entry.decides(&TxMemoKey { family: 10 - key.family, ..key }, EPOCH));
            for bit in 0..bits {
                let mut destination = key.destination;
                destination.0[bit / 32][bit / 8 % 4] ^= 1 << (bit % 8);
                assert!(!entry.decides(&TxMemoKey { destination, ..key }, EPOCH), "{bit}");
            }
        }
    }

    #[test]
    fn destinations_spread_over_the_entries() {
        const ENTRIES: u32 = 4_096;
        let mut used = vec![false; ENTRIES as usize];
        for last in 0..1_024_u16 {
            let [high, low] = last.to_be_bytes();
            let destination = Address::ipv4([10, 1, high, low]);
            used[TxMemoKey { destination, ..V4 }.place(ENTRIES) as usize] = true;
        }
        let taken = used.iter().filter(|used| **used).count();
        assert!(taken > 800, "{taken}");
    }
}
