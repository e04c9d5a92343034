//! The UDP source port of a flow (RFC 7348 section 5: 49152-65535, from a hash of inner headers).
//!
//! A pure function of the inner headers, so that the receiver can compute it again and detect a
//! port that a NAT rewrote.

use crate::{addr::Address, wire::udp::FIRST_DYNAMIC_PORT};

/// One round of a multiplicative hash.
#[inline(always)]
pub(crate) const fn mix(state: u64, word: u64) -> u64 {
    let state = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state ^ (state >> 32)
}

/// A 32-bit hash of a flow; the same on every host and kernel.
///
/// `source` and `destination` are the inner IP addresses, or for a frame that is not IP its MAC
/// addresses, left-aligned. `ports` is source and destination port of TCP and UDP in network order,
/// zero where there are none and in fragments. `protocol` is zero for a frame that is not IP.
#[inline(always)]
pub const fn hash(source: &Address, destination: &Address, ports: u32, protocol: u8) -> u32 {
    let mut state = mix(protocol as u64, ports as u64);
    let mut at = 0;
    while at < 4 {
        state = mix(state, (source.be32(at) as u64) << 32 | destination.be32(at) as u64);
        at += 1;
    }
    state as u32
}

/// The UDP source port of a flow: [`FIRST_DYNAMIC_PORT`] and the low 14 bits of the hash.
#[inline(always)]
pub const fn source_port(hash: u32) -> u16 {
    FIRST_DYNAMIC_PORT | (hash & 0x3fff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(last: u8, port: u16) -> u32 {
        let ports = u32::from(port) << 16 | 443;
        hash(&Address::ipv4([192, 168, 43, last]), &Address::ipv4([192, 168, 44, 1]), ports, 6)
    }

    #[test]
    fn the_port_of_a_flow_never_changes() {
        // A peer on another version must compute the same: this value is part of the protocol.
        assert_eq!(source_port(hash_of(1, 40000)), 51586);
    }

    #[test]
    fn ports_stay_in_the_range_and_spread_over_it() {
        let mut buckets = [0u32; 16];
        for last in 1..=32 {
            for port in 32768..32768 + 512 {
                let chosen = source_port(hash_of(last, port));
                assert!(chosen >= FIRST_DYNAMIC_PORT);
                buckets[usize::from((chosen - FIRST_DYNAMIC_PORT) / 1024)] += 1;
            }
        }
        // 16384 flows over 16 buckets: 1024 each; a uniform hash stays within 5 sigma = 155.
        assert!(buckets.iter().all(|n| n.abs_diff(1024) < 155), "{buckets:?}");
    }

    #[test]
    fn every_field_matters() {
        let mut address = [7; 16];
        let source = Address::ipv6(address);
        address[15] = 8;
        let other = Address::ipv6(address);
        let base = hash(&source, &source, 1, 6);
        for changed in [
            hash(&other, &source, 1, 6),
            hash(&source, &other, 1, 6),
            hash(&source, &source, 2, 6),
            hash(&source, &source, 1, 17),
        ] {
            assert_ne!(changed, base);
        }
    }
}
