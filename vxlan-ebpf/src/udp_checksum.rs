//! Verification of a received packet's UDP checksum. Most senders leave the checksum zero (RFC 7348
//! section 5, RFC 6935); any other value must be right. Sums up; what a NAT has to do with a wrong
//! sum is decided in [`nat`](crate::nat).

use vxlan_common::{
    addr::IPV6,
    bytes::{Bytes as _, HeaderWindow as _},
    checksum,
    wire::{ETH_LEN, UDP_LEN, VXLAN_LEN, ip::PROTOCOL_UDP, ipv4, ipv6},
};

use crate::{
    packet::View,
    scratch::{ChecksumResult, OuterRx},
};

/// Longest datagram that is summed up, in bytes.
const MAX_DATAGRAM: u16 = 16_000;
/// Bits of a position in the packet. The verifier then knows of every position only that it is not
/// larger than this.
const POSITION_MASK: usize = 0x3fff;
/// Bytes that the helper sums up in one call: the maximum of kernels before 6.13.
const CHUNK: u32 = 512;

/// Verifies the checksum of a packet that has one.
#[inline(always)]
pub(crate) fn verify(packet: &View, outer: &OuterRx) -> ChecksumResult {
    let udp = outer.overhead() - VXLAN_LEN - UDP_LEN;
    let sum = pseudo_header(packet, outer)
        .and_then(|sum| add_bytes(packet, udp, u32::from(outer.udp_len), sum));
    match sum.map(checksum::fold) {
        Some(sum) if outer.udp_len <= MAX_DATAGRAM => ChecksumResult::from_sum(sum),
        _ => ChecksumResult::UNKNOWN,
    }
}

/// The sum over the pseudo header (addresses, protocol and length), of words in host order.
#[inline(always)]
fn pseudo_header(packet: &View, outer: &OuterRx) -> Option<u32> {
    let addresses = if outer.family == IPV6 {
        packet
            .add_to_checksum::<{ 2 * ipv6::ADDRESS_LEN as u32 }>(ETH_LEN + ipv6::field::SOURCE, 0)?
    } else {
        packet
            .add_to_checksum::<{ 2 * ipv4::ADDRESS_LEN as u32 }>(ETH_LEN + ipv4::field::SOURCE, 0)?
    };
    let protocol = u16::from(PROTOCOL_UDP).to_be();
    Some(add_word(add_word(addresses, protocol), outer.udp_len.to_be()))
}

/// Adds the `len` bytes at `from` to `sum`. `None`: the packet ends before.
#[inline(always)]
fn add_bytes(packet: &View, from: usize, len: u32, mut sum: u32) -> Option<u32> {
    let zero = packet.unknown_zero();
    let mut at = (from + zero) & POSITION_MASK;
    let mut left = len;
    let mut rounds = 0;
    while rounds <= u32::from(MAX_DATAGRAM) / CHUNK && left >= CHUNK {
        sum = packet.add_to_checksum::<CHUNK>(at, sum)?;
        at = (at + CHUNK as usize + zero) & POSITION_MASK;
        left -= CHUNK;
        rounds += 1;
    }
    macro_rules! rest {
        ($($size:literal)+) => {
            $(if left & $size != 0 {
                sum = packet.add_to_checksum::<$size>(at, sum)?;
                at = (at + $size + zero) & POSITION_MASK;
            })+
        };
    }
    rest!(256 128 64 32 16 8 4);
    if left & 2 != 0 {
        sum = add_word(sum, u16::from_ne_bytes(packet.window::<2>(at)?.be_bytes2(0)));
        at = (at + 2 + zero) & POSITION_MASK;
    }
    if left & 1 != 0 {
        // The verifier understands a check for two bytes at a position that it does not know, and
        // not for one.
        let last = packet.window::<2>((at + POSITION_MASK) & POSITION_MASK)?.byte(1);
        sum = add_word(sum, u16::from_ne_bytes([last, 0]));
    }
    Some(sum)
}

/// Adds one word. Folds first, since the helper's sums may use all 32 bits.
#[inline(always)]
fn add_word(sum: u32, word: u16) -> u32 {
    u32::from(checksum::fold(sum)) + u32::from(word)
}
