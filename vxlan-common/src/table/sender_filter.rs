//! A filter in front of the look-ups of senders: which outer addresses nobody has, and which VNIs
//! are no network's. A Bloom filter with one hash, so that a stranger's packet meets one word
//! instead of several hash tables.

use crate::{abi::abi, addr::Address, flow};

/// Lines of the filter, a power of two.
pub const SENDER_FILTER_LINES: u32 = 256;
const WORDS: usize = 8;

/// A cache line of the filter. A set bit: an address or VNI that belongs to it may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SenderFilterLine {
    words: [u64; WORDS],
}

/// The bit that an outer address or a VNI belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderFilterBit(u32);

impl SenderFilterBit {
    /// The bit of an address, of either family.
    #[inline(always)]
    pub const fn of_address(address: &Address) -> Self {
        Self::of(address.folded() as u64)
    }

    /// The bit of a VNI, given in network order.
    #[inline(always)]
    pub const fn of_vni([a, b, c]: [u8; 3]) -> Self {
        let vni = u32::from_be_bytes([0, a, b, c]) as u64;
        Self::of(vni << 32)
    }

    /// Two rounds: after one, addresses in a row would be in a pattern, and meet those of another
    /// row more often than by chance.
    #[inline(always)]
    const fn of(number: u64) -> Self {
        Self((flow::mix(flow::mix(0, number), 0) >> 40) as u32)
    }

    /// Its line.
    #[inline(always)]
    pub const fn line(self) -> u32 {
        self.0 & (SENDER_FILTER_LINES - 1)
    }

    #[inline(always)]
    const fn word(self) -> usize {
        (self.0 >> 14) as usize & (WORDS - 1)
    }

    #[inline(always)]
    const fn mask(self) -> u64 {
        1 << (self.0 >> 8 & 63)
    }
}

impl SenderFilterLine {
    /// Nobody is there.
    pub const EMPTY: Self = Self { words: [0; WORDS] };

    /// Adds what belongs to the bit, which is of this line.
    pub const fn add(&mut self, bit: SenderFilterBit) {
        self.words[bit.word()] |= bit.mask();
    }

    /// What belongs to the bit, which is of this line, may be there.
    #[inline(always)]
    pub const fn has(&self, bit: SenderFilterBit) -> bool {
        self.words[bit.word()] & bit.mask() != 0
    }
}

abi! {
    SenderFilterLine: 64,
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Filter(Vec<SenderFilterLine>);

    impl Filter {
        fn of(addresses: &[Address]) -> Self {
            let mut filter = vec![SenderFilterLine::EMPTY; SENDER_FILTER_LINES as usize];
            for bit in addresses.iter().map(SenderFilterBit::of_address) {
                filter[bit.line() as usize].add(bit);
            }
            Self(filter)
        }

        fn has(&self, address: &Address) -> bool {
            let bit = SenderFilterBit::of_address(address);
            self.0[bit.line() as usize].has(bit)
        }
    }

    fn v4(number: u32) -> Address {
        Address::ipv4(number.to_be_bytes())
    }

    fn v6(number: u32) -> Address {
        let mut address = Address::ipv6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        address.0[3] = number.to_be_bytes();
        address
    }

    #[test]
    fn whoever_was_added_is_found_and_hardly_a_stranger() {
        for address in [v4, v6] {
            let known: Vec<_> = (0..10_000).map(|n| address(0x0a00_0000 + n)).collect();
            let filter = Filter::of(&known);
            assert!(known.iter().all(|known| filter.has(known)));
            let strangers = (0..10_000).map(|n| address(0xc633_6400 + n));
            let taken = strangers.filter(|stranger| filter.has(stranger)).count();
            // 10,000 of 131,072 bits are set at most: 7.4 % in a uniform hash.
            assert!(taken < 1_000, "{taken}");
        }
    }

    #[test]
    fn every_vni_has_a_bit_and_they_spread() {
        let mut taken = std::collections::HashSet::new();
        for vni in 0..1_024_u32 {
            let [_, a, b, c] = vni.to_be_bytes();
            let bit = SenderFilterBit::of_vni([a, b, c]);
            taken.insert((bit.line(), bit.word(), bit.mask()));
        }
        assert!(taken.len() > 950, "{}", taken.len());
    }

    #[test]
    fn an_empty_filter_has_nobody() {
        let filter = Filter::of(&[]);
        assert!((0..1_000).all(|n| !filter.has(&v4(n)) && !filter.has(&v6(n))));
    }
}
