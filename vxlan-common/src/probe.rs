//! What the programs know of probes, and the record in which they hand a probe to the daemon. The
//! protocol is in `docs/probe-protocol.md`; the daemon authenticates and interprets probes.

use crate::{
    abi::abi,
    addr::Address,
    flow,
    wire::{ETH_LEN, VXLAN_LEN, ethernet},
};

/// Length of a probe without padding, from behind the inner Ethernet header.
pub const PROBE_LEN: usize = 288;
/// Length of the shortest inner frame that can be a probe.
pub const FRAME_LEN: usize = ETH_LEN + PROBE_LEN;
/// Offset of the tag from the start of the inner frame.
pub const TAG_AT: usize = ETH_LEN + 4;
/// EtherType of a probe's inner frame: the first of the two that IEEE 802 sets aside for local
/// experiments.
pub const ETHERTYPE: [u8; 2] = ethernet::ETHERTYPE_EXPERIMENTAL;

/// Number of buckets that the sources of probes share.
pub const SOURCE_BUCKETS: u32 = 1 << 14;
/// Number of ceilings, whose buckets stand in front of those of sources.
pub const CEILINGS: u32 = 2;
/// Bucket of all probes that do not come from the address of the peer's endpoint.
pub const CEILING_STRANGERS: u32 = 0;
/// Bucket of all probes that do.
pub const CEILING_KNOWN: u32 = 1;
/// For 2^33 ns, 8.6 s, a source has the same bucket: two sources that share one do so no longer.
const BUCKET_TERM_BITS: u32 = 33;

/// The bucket of a source of probes with the tag of one peer. An IPv6 host may send from every
/// address of its /64 (RFC 4291 section 2.5.4), which so counts as one source. `port` is zero where
/// all ports are one source. The secret keeps strangers from choosing sources that share a bucket
/// with a peer.
#[inline(always)]
pub const fn source_bucket(
    secret: [u8; 8],
    peer: u32,
    source: &Address,
    port: u16,
    now: u64,
) -> u32 {
    let [prefix, rest, ..] = source.0;
    let source = Address([prefix, rest, [0; 4], [0; 4]]);
    let [a, b, c, d, e, f, g, h] = secret;
    let term = (now >> BUCKET_TERM_BITS) as u32;
    let salt = Address([[a, b, c, d], [e, f, g, h], peer.to_be_bytes(), term.to_be_bytes()]);
    CEILINGS + flow::hash(&source, &salt, port as u32, 0) % SOURCE_BUCKETS
}

/// Names the key that a probe claims to be authenticated with. Checked before anything else.
pub type ProbeTag = [u8; 8];

/// A received probe, not authenticated yet, with the outer header it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ReceivedProbe {
    /// Time of receipt, in ns of the kernel's monotonic clock.
    pub at: u64,
    /// Index of the peer that the tag belongs to.
    pub peer: u32,
    /// Length of the IP packet.
    pub length: u32,
    /// Outer source.
    pub source: Address,
    /// Outer destination.
    pub destination: Address,
    /// UDP source port.
    pub source_port: u16,
    /// UDP destination port.
    pub destination_port: u16,
    /// UDP checksum as on the wire.
    pub checksum: [u8; 2],
    /// Of both addresses.
    pub family: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// 1: IPv4 with DF, or IPv6.
    pub dont_fragment: u8,
    /// Zero.
    pub pad: [u8; 2],
    /// VXLAN header, inner Ethernet header, and the probe without padding.
    pub bytes: [u8; VXLAN_LEN + FRAME_LEN],
    /// Zero.
    pub pad_end: [u8; 6],
}

abi! {
    ReceivedProbe: 376,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
    const TERM: u64 = 1 << BUCKET_TERM_BITS;

    fn v4(number: u32) -> Address {
        Address::ipv4(number.to_be_bytes())
    }

    #[test]
    fn sources_spread_over_the_buckets() {
        let mut used = std::collections::BTreeSet::new();
        for number in 0..1_000 {
            let bucket = source_bucket(SECRET, 7, &v4(0xcb00_7100 + number), 0, 0);
            assert!((CEILINGS..CEILINGS + SOURCE_BUCKETS).contains(&bucket));
            used.insert(bucket);
        }
        // Of a thousand in 16,384 places about 30 meet another one.
        assert!(used.len() > 930, "{}", used.len());
    }

    #[test]
    fn what_makes_another_source() {
        let base = source_bucket(SECRET, 7, &v4(1), 0, 0);
        assert_eq!(source_bucket(SECRET, 7, &v4(1), 0, TERM - 1), base);
        for other in [
            source_bucket(SECRET, 8, &v4(1), 0, 0),
            source_bucket(SECRET, 7, &v4(2), 0, 0),
            source_bucket(SECRET, 7, &v4(1), 1, 0),
            source_bucket(SECRET, 7, &v4(1), 0, TERM),
            source_bucket([9; 8], 7, &v4(1), 0, 0),
        ] {
            assert_ne!(other, base);
        }
    }

    #[test]
    fn a_prefix_of_64_bits_is_one_source() {
        let of = |last: u8, prefix: u8| {
            let mut octets = [0x20, 1, 0xd, 0xb8, 0, 0, 0, prefix, 0, 0, 0, 0, 0, 0, 0, 0];
            octets[15] = last;
            source_bucket(SECRET, 7, &Address::ipv6(octets), 0, 0)
        };
        assert_eq!(of(1, 0), of(2, 0));
        assert_ne!(of(1, 0), of(1, 1));
    }
}
