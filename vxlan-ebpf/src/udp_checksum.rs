//! The UDP checksum of a received packet. Most senders leave it zero (RFC 7348 section 5, RFC
//! 6935); one that is there must be right.

use vxlan_common::{
    addr::IPV6,
    bytes::{Bytes as _, HeaderWindow as _},
    checksum,
    wire::{ETH_LEN, UDP_LEN, VXLAN_LEN, ip::PROTOCOL_UDP, ipv4, ipv6},
};

use crate::{outer_rx::Received, packet::View};

/// Longest datagram that is looked through.
const LONGEST: u16 = 16_000;
/// Positions, as the verifier sees them: any below this.
const PLACE: usize = 0x3fff;
/// What the helper takes at once: the most that kernels before 6.13 do.
const CHUNK: u32 = 512;

/// What the sum over a datagram says of its checksum, in one word: else the verifier would follow
/// each case through all that comes after.
#[derive(Clone, Copy)]
pub(crate) struct Sum(u32);

impl Sum {
    /// Nothing is wrong, or nobody asked.
    pub(crate) const GOOD: Self = Self(0);
    /// Wrong, and nothing else is known of it.
    const UNKNOWN: Self = Self(1);
    const WRONG: u32 = 1 << 16;

    /// The checksum is zero or right.
    #[inline(always)]
    pub(crate) fn is_good(self) -> bool {
        self.0 == 0
    }

    /// A wrong sum: all ones would have been right.
    #[inline(always)]
    pub(crate) fn wrong(self) -> Option<u16> {
        (self.0 & Self::WRONG != 0).then_some(self.0 as u16)
    }
}

/// Is the checksum right that is there?
#[inline(always)]
pub(crate) fn udp(packet: &View, received: &Received) -> Sum {
    let udp = received.overhead() - VXLAN_LEN - UDP_LEN;
    let sum = pseudo_header(packet, received)
        .and_then(|sum| add(packet, udp, u32::from(received.udp_len), sum));
    match sum.map(checksum::fold) {
        Some(sum) if received.udp_len <= LONGEST => {
            if sum == 0xffff {
                Sum::GOOD
            } else {
                Sum(Sum::WRONG | u32::from(sum))
            }
        }
        _ => Sum::UNKNOWN,
    }
}

/// The sum of addresses, protocol and length, in the host's words.
#[inline(always)]
fn pseudo_header(packet: &View, received: &Received) -> Option<u32> {
    let addresses = if received.family == IPV6 {
        packet
            .add_to_checksum::<{ 2 * ipv6::ADDRESS_LEN as u32 }>(ETH_LEN + ipv6::field::SOURCE, 0)?
    } else {
        packet
            .add_to_checksum::<{ 2 * ipv4::ADDRESS_LEN as u32 }>(ETH_LEN + ipv4::field::SOURCE, 0)?
    };
    let protocol = u16::from(PROTOCOL_UDP).to_be();
    Some(more(more(addresses, protocol), received.udp_len.to_be()))
}

/// Adds the `len` bytes at `from`. `None`: they are not there.
#[inline(always)]
fn add(packet: &View, from: usize, len: u32, mut sum: u32) -> Option<u32> {
    let zero = packet.unknown_zero();
    let mut at = (from + zero) & PLACE;
    let mut left = len;
    let mut rounds = 0;
    while rounds <= u32::from(LONGEST) / CHUNK && left >= CHUNK {
        sum = packet.add_to_checksum::<CHUNK>(at, sum)?;
        at = (at + CHUNK as usize + zero) & PLACE;
        left -= CHUNK;
        rounds += 1;
    }
    macro_rules! rest {
        ($($size:literal)+) => {
            $(if left & $size != 0 {
                sum = packet.add_to_checksum::<$size>(at, sum)?;
                at = (at + $size + zero) & PLACE;
            })+
        };
    }
    rest!(256 128 64 32 16 8 4);
    if left & 2 != 0 {
        sum = more(sum, u16::from_ne_bytes(packet.window::<2>(at)?.be_bytes2(0)));
        at = (at + 2 + zero) & PLACE;
    }
    if left & 1 != 0 {
        // The verifier understands a check for two bytes at a position that it does not know, and
        // not for one.
        let last = packet.window::<2>((at + PLACE) & PLACE)?.byte(1);
        sum = more(sum, u16::from_ne_bytes([last, 0]));
    }
    Some(sum)
}

/// The helper's sums may have all 32 bits in use.
#[inline(always)]
fn more(sum: u32, word: u16) -> u32 {
    u32::from(checksum::fold(sum)) + u32::from(word)
}
