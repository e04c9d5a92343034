//! What the configuration decided about the latest packets: which member may send such a frame to
//! this host. Remembered by exact match, so that a flow's next packet needs no other look-up.

use crate::{
    abi::abi,
    addr::{Address, IPV6, Mac},
    flow,
};

/// All that the decision reads of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxMemoKey {
    /// VNI, network order.
    pub vni: [u8; 3],
    /// Family of `outer`.
    pub outer_family: u8,
    /// Outer source address.
    pub outer: Address,
    /// Family of `source` and `destination`.
    pub inner_family: u8,
    /// Inner source address.
    pub source: Address,
    /// Inner destination address.
    pub destination: Address,
    /// Inner source MAC.
    pub source_mac: Mac,
    /// Inner destination MAC.
    pub destination_mac: Mac,
}

/// Words of an entry that hold the whole key of a packet that is IPv4 outside and inside.
const HEAD: usize = 7;
/// Words behind the first of three IPv6 addresses.
const REST: usize = 9;

/// A packet's key, and the decision about it. An IPv4 packet's key and decision fill one cache
/// line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RxMemoEntry {
    /// The state of the tables that the decision was made with (map `EPOCH`).
    pub epoch: u64,
    head: [u32; HEAD],
    /// UDP source port, if the decision read it; else [`RxMemoEntry::ANY_PORT`].
    pub port: u32,
    /// Index of the member that sends.
    pub member: u32,
    /// 1: a NAT rewrote the outer source address.
    pub rewritten: u32,
    /// Zero.
    pub pad: [u32; 4],
    rest: [u32; REST],
    /// Zero.
    pub pad_to_line: [u32; 7],
}

impl RxMemoKey {
    #[inline(always)]
    const fn head(&self) -> [u32; HEAD] {
        let [a, b, c] = self.vni;
        let [d0, d1, d2, d3, d4, d5] = self.destination_mac.octets();
        let [s0, s1, s2, s3, s4, s5] = self.source_mac.octets();
        [
            u32::from_ne_bytes([a, b, c, self.outer_family << 4 | self.inner_family]),
            u32::from_ne_bytes([d0, d1, d2, d3]),
            u32::from_ne_bytes([d4, d5, s0, s1]),
            u32::from_ne_bytes([s2, s3, s4, s5]),
            word(&self.outer, 0),
            word(&self.source, 0),
            word(&self.destination, 0),
        ]
    }

    #[inline(always)]
    const fn rest(&self) -> [u32; REST] {
        let (a, b, c) = (&self.outer, &self.source, &self.destination);
        [
            word(a, 1),
            word(a, 2),
            word(a, 3),
            word(b, 1),
            word(b, 2),
            word(b, 3),
            word(c, 1),
            word(c, 2),
            word(c, 3),
        ]
    }

    /// Some address is IPv6.
    #[inline(always)]
    const fn is_long(&self) -> bool {
        self.outer_family == IPV6 || self.inner_family == IPV6
    }

    /// Where the entry of this key is among `entries`, a power of two. Sixteen bits and more of a
    /// product that every address goes into.
    #[inline(always)]
    pub const fn place(&self, entries: u32) -> u32 {
        let [network, ..] = self.head();
        let sender = (self.outer.folded() as u64) << 32 | self.source.folded() as u64;
        let rest = (self.destination.folded() as u64) << 32 | network as u64;
        (flow::mix(flow::mix(0, sender), rest) >> 40) as u32 & (entries - 1)
    }
}

/// The word `at` of an address, as it is in memory.
#[inline(always)]
const fn word(address: &Address, at: usize) -> u32 {
    u32::from_ne_bytes(address.0[at])
}

impl RxMemoEntry {
    /// For [`Self::port`]: the decision does not depend on the source port.
    pub const ANY_PORT: u32 = u32::MAX;

    /// The decision about packets with this key.
    #[inline(always)]
    pub const fn new(key: &RxMemoKey, epoch: u64, port: u32, member: u32, rewritten: bool) -> Self {
        Self {
            epoch,
            head: key.head(),
            port,
            member,
            rewritten: rewritten as u32,
            pad: [0; 4],
            rest: key.rest(),
            pad_to_line: [0; 7],
        }
    }

    /// The entry is of a packet with this key and source port, and was made with the tables as they
    /// are.
    #[inline(always)]
    pub const fn decides(&self, key: &RxMemoKey, port: u16, epoch: u64) -> bool {
        let (own, other) = (&self.head, key.head());
        let mut differs = own[0] ^ other[0];
        let mut at = 1;
        while at < HEAD {
            differs |= own[at] ^ other[at];
            at += 1;
        }
        if differs != 0 || self.epoch != epoch {
            return false;
        }
        if self.port != Self::ANY_PORT && self.port != port as u32 {
            return false;
        }
        if key.is_long() {
            let (own, other) = (&self.rest, key.rest());
            let mut at = 0;
            while at < REST {
                differs |= own[at] ^ other[at];
                at += 1;
            }
        }
        differs == 0
    }
}

abi! {
    RxMemoEntry: 128,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::IPV4;

    const V6: Address = Address::ipv6([0x20, 1, 0xd, 0xb8, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6]);
    const EPOCH: u64 = 4;
    const PORT: u16 = 50_000;

    fn key(outer_family: u8, inner_family: u8) -> RxMemoKey {
        let of = |family, v4| if family == IPV6 { V6 } else { Address::ipv4(v4) };
        RxMemoKey {
            vni: [0, 0, 43],
            outer_family,
            outer: of(outer_family, [192, 0, 2, 1]),
            inner_family,
            source: of(inner_family, [10, 0, 0, 1]),
            destination: of(inner_family, [10, 0, 1, 1]),
            source_mac: Mac::new([2, 0, 0, 0, 0, 1]),
            destination_mac: Mac::new([2, 0, 0, 0, 0, 2]),
        }
    }

    fn all() -> impl Iterator<Item = RxMemoKey> {
        [(IPV4, IPV4), (IPV4, IPV6), (IPV6, IPV4), (IPV6, IPV6)].map(|(a, b)| key(a, b)).into_iter()
    }

    /// The same key with one bit of an address changed.
    fn with_bit(address: &Address, bit: usize) -> Address {
        let mut changed = *address;
        changed.0[bit / 32][bit / 8 % 4] ^= 1 << (bit % 8);
        changed
    }

    #[test]
    fn every_bit_of_a_key_counts() {
        for key in all() {
            let entry = RxMemoEntry::new(&key, EPOCH, RxMemoEntry::ANY_PORT, 7, true);
            assert!(entry.decides(&key, PORT, EPOCH) && entry.decides(&key, 1, EPOCH));
            assert!(!entry.decides(&key, PORT, EPOCH + 2));
            let bits = |family| if family == IPV6 { 128 } else { 32 };
            let mut others = Vec::new();
            for bit in 0..bits(key.outer_family) {
                others.push(RxMemoKey { outer: with_bit(&key.outer, bit), ..key });
            }
            for bit in 0..bits(key.inner_family) {
                others.push(RxMemoKey { source: with_bit(&key.source, bit), ..key });
                let destination = with_bit(&key.destination, bit);
                others.push(RxMemoKey { destination, ..key });
            }
            for bit in 0..48 {
                let changed = |mac: &Mac| {
                    let mut octets = mac.octets();
                    octets[bit / 8] ^= 1 << (bit % 8);
                    Mac::new(octets)
                };
                others.push(RxMemoKey { source_mac: changed(&key.source_mac), ..key });
                others.push(RxMemoKey { destination_mac: changed(&key.destination_mac), ..key });
            }
            for bit in 0..24 {
                let mut vni = key.vni;
                vni[bit / 8] ^= 1 << (bit % 8);
                others.push(RxMemoKey { vni, ..key });
            }
            let (outer_family, inner_family) = (10 - key.outer_family, 10 - key.inner_family);
            others.push(RxMemoKey { outer_family, ..key });
            others.push(RxMemoKey { inner_family, ..key });
            for other in others {
                assert!(!entry.decides(&other, PORT, EPOCH), "{key:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_port_that_was_read_counts() {
        for key in all() {
            let entry = RxMemoEntry::new(&key, EPOCH, PORT.into(), 7, false);
            assert!(entry.decides(&key, PORT, EPOCH));
            assert!(!entry.decides(&key, PORT ^ 1, EPOCH) && !entry.decides(&key, 0, EPOCH));
        }
    }

    #[test]
    fn memory_that_was_never_written_decides_nothing() {
        let zero = Address::ZERO;
        let nothing = RxMemoKey { outer: zero, source: zero, destination: zero, ..key(IPV4, IPV4) };
        let empty = RxMemoEntry { head: [0; HEAD], ..RxMemoEntry::new(&nothing, 0, 0, 0, false) };
        let (source_mac, destination_mac) = (Mac::ZERO, Mac::ZERO);
        let like_it = RxMemoKey { vni: [0; 3], source_mac, destination_mac, ..nothing };
        assert!(!empty.decides(&like_it, 0, 0));
    }

    #[test]
    fn pairs_of_hosts_spread_over_the_entries() {
        const ENTRIES: u32 = 4_096;
        let mut used = vec![0u32; ENTRIES as usize];
        for peer in 0..32u8 {
            for host in 0..32u8 {
                let outer = Address::ipv4([198, 51, 100, peer]);
                let source = Address::ipv4([10, peer, 0, host]);
                used[RxMemoKey { outer, source, ..key(IPV4, IPV4) }.place(ENTRIES) as usize] += 1;
            }
        }
        // 1,024 keys: uniformly spread over 4,096 entries 906 are taken, with a deviation of 10.
        let taken = used.iter().filter(|n| **n != 0).count();
        assert!((856..=956).contains(&taken), "{taken}");
    }
}
