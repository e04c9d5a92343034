//! Detection of a NAT on the path, as far as one packet shows it: whether the source port is one
//! that the peer sends from, and whether the checksum was right before fields were rewritten. Which
//! addresses a peer has is up to the caller.

use crate::{
    addr::Address,
    checksum, flow,
    inner::{self, Inner},
    table::MemberEntry,
};

impl MemberEntry {
    /// The UDP source port is one that the member's peer sends a frame of this flow from.
    #[inline(always)]
    pub fn sends_from(&self, port: u16, flow_hash: impl FnOnce() -> u32) -> bool {
        if self.flags & Self::FLOW_PORTS != 0 {
            return port == flow::source_port(flow_hash());
        }
        self.port_low <= port && port <= self.port_high
    }

    /// The UDP source port that the member's peer sends this frame from. `None`: any of several, or
    /// the frame is not known.
    #[inline(always)]
    pub const fn source_port(&self, inner: Option<&Inner>) -> Option<u16> {
        if self.flags & Self::FLOW_PORTS == 0 {
            return if self.port_low == self.port_high { Some(self.port_low) } else { None };
        }
        match inner {
            Some(inner) => Some(flow::source_port(inner::flow_hash(inner))),
            None => None,
        }
    }
}

/// What a sum gains when a word is changed back from `received` to `sent` (RFC 1624 equation 3).
#[inline(always)]
pub const fn difference(received: u16, sent: u16) -> u16 {
    checksum::fold(!received as u32 + sent as u32)
}

/// [`difference`] of an address. An IPv4 address has zeros behind it, which add nothing.
#[inline(always)]
pub const fn address_difference(received: &Address, sent: &Address) -> u16 {
    let mut sum = 0;
    let mut at = 0;
    while at < 8 {
        sum += !received.net16(at) as u32 + sent.net16(at) as u32;
        at += 1;
    }
    checksum::fold(sum)
}

/// One or more of the differences make `sum` right, which is the sum over a whole datagram with its
/// checksum and pseudo header.
#[inline(always)]
pub const fn explains(sum: u16, differences: [u16; 3]) -> bool {
    let [a, b, c] = differences;
    let mut chosen = 1;
    while chosen < 8 {
        let mut total = sum as u32;
        if chosen & 1 != 0 {
            total += a as u32;
        }
        if chosen & 2 != 0 {
            total += b as u32;
        }
        if chosen & 4 != 0 {
            total += c as u32;
        }
        if checksum::fold(total) == 0xffff {
            return true;
        }
        chosen += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ObservedEndpoint;

    const PRIVATE: Address = Address::ipv4([10, 0, 0, 119]);
    const PUBLIC: Address = Address::ipv4([198, 51, 100, 20]);

    fn sum(addresses: [&Address; 2], rest: &[u16]) -> u32 {
        let halves = addresses.into_iter().flat_map(|at| (0..8).map(|half| at.net16(half)));
        halves.chain(rest.iter().copied()).map(u32::from).sum()
    }

    #[test]
    fn a_rewrite_that_left_the_checksum_alone_explains_it() {
        let to = Address::ipv4([203, 0, 113, 10]);
        let to_private = Address::ipv4([10, 0, 0, 2]);
        let rest = [50_000, 4789, 0x1234, 0xfffe];
        let checksum = !checksum::fold(sum([&PRIVATE, &to], &rest));
        let total = |from, to, port| {
            let arrived = [port, rest[1], rest[2], rest[3], checksum];
            checksum::fold(sum([from, to], &arrived))
        };
        assert_eq!(total(&PRIVATE, &to, 50_000), 0xffff);
        for (from, destination, port) in [
            (&PUBLIC, &to, 50_000),
            (&PRIVATE, &to_private, 50_000),
            (&PRIVATE, &to, 1024),
            (&PUBLIC, &to_private, 50_000),
            (&PUBLIC, &to_private, 1024),
        ] {
            let differences = [
                address_difference(from, &PRIVATE),
                address_difference(destination, &to),
                difference(port, 50_000),
            ];
            let sum = total(from, destination, port);
            assert_ne!(sum, 0xffff);
            assert!(explains(sum, differences), "{from:?} {destination:?} {port}");
            assert!(!explains(sum ^ 0x0100, differences));
        }
    }

    #[test]
    fn a_difference_of_nothing_explains_nothing() {
        let none = [difference(7, 7), address_difference(&PUBLIC, &PUBLIC), 0];
        assert!(!explains(0x1234, none));
    }

    #[test]
    fn words_of_a_place_fit() {
        assert!(ObservedEndpoint::bit_for(&PUBLIC, 65_535) < 512);
    }
}
