//! The types of the per-CPU scratch elements: what the programs know of a packet while they work on
//! it. Owns no map; [`buffers`](crate::buffers) hands the elements out.
//!
//! These values lie in maps and not on the stack, which has no room for them, and on which the
//! verifier tracks every combination of values. It tracks no value in a map: where the many paths
//! through a parser or a decision meet, it goes on with one.

use vxlan_common::{
    addr::{Address, IPV6},
    inner::Inner,
    outer::{OVERHEAD_IPV4, OVERHEAD_IPV6},
    wire::{UDP_LEN, VXLAN_LEN},
};

/// The outer headers of a received packet, as far as later steps need them.
pub(crate) struct OuterRx {
    /// Outer source address.
    pub(crate) source: Address,
    /// The outer destination is our private address although peers send to our public one.
    pub(crate) destination_rewritten: bool,
    /// Family of both outer addresses.
    pub(crate) family: u8,
    /// Outer TOS or traffic class.
    pub(crate) tos: u8,
    /// VNI in network order.
    pub(crate) vni: [u8; 3],
    /// Length of the UDP datagram, header included.
    pub(crate) udp_len: u16,
    /// UDP source port, host order.
    pub(crate) source_port: u16,
    /// The UDP checksum is not zero.
    pub(crate) has_checksum: bool,
    /// Time to live or hop limit.
    pub(crate) ttl: u8,
    /// Bytes behind the outer IP packet, such as Ethernet padding.
    pub(crate) trailer: usize,
}

impl OuterRx {
    /// Length of the outer headers, Ethernet to VXLAN.
    #[inline(always)]
    pub(crate) const fn overhead(&self) -> usize {
        if self.family == IPV6 { OVERHEAD_IPV6 } else { OVERHEAD_IPV4 }
    }

    /// Length of the inner frame.
    #[inline(always)]
    pub(crate) const fn inner_len(&self) -> u32 {
        // `outer::inner_len` made sure that this is not negative.
        self.udp_len as u32 - (UDP_LEN + VXLAN_LEN) as u32
    }
}

/// What the sum over a datagram proves about its UDP checksum. One word, since the verifier would
/// follow each case of an enum through the rest of the program.
#[derive(Clone, Copy)]
pub(crate) struct ChecksumResult(u32);

impl ChecksumResult {
    /// The checksum is right, zero, or not to be checked.
    pub(crate) const GOOD: Self = Self(0);
    /// The checksum counts as wrong, and the sum is not known: the datagram is too long to sum up,
    /// or its bytes are missing.
    pub(crate) const UNKNOWN: Self = Self(1);
    const WRONG: u32 = 1 << 16;

    /// The verdict on the folded sum over pseudo header and datagram, of which all ones is right.
    #[inline(always)]
    pub(crate) fn from_sum(sum: u16) -> Self {
        if sum == 0xffff { Self::GOOD } else { Self(Self::WRONG | u32::from(sum)) }
    }

    /// Nothing is wrong with the checksum.
    #[inline(always)]
    pub(crate) fn is_good(self) -> bool {
        self.0 == 0
    }

    /// The folded sum of a datagram whose checksum is wrong.
    #[inline(always)]
    pub(crate) fn wrong_sum(self) -> Option<u16> {
        (self.0 & Self::WRONG != 0).then_some(self.0 as u16)
    }
}

/// What a NAT rewrote of a packet.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rewritten {
    /// The outer source address.
    pub(crate) source: bool,
    /// The outer destination address.
    pub(crate) destination: bool,
    /// The UDP source port.
    pub(crate) port: bool,
    /// The UDP checksum.
    pub(crate) checksum: bool,
}

/// What `decap` knows of a packet apart from its inner frame.
pub(crate) struct RxScratch {
    /// The outer headers.
    pub(crate) outer: OuterRx,
    /// The verdict on the UDP checksum.
    pub(crate) checksum: ChecksumResult,
    /// What a NAT rewrote.
    pub(crate) rewritten: Rewritten,
}

/// An inner frame that a program works on.
pub(crate) struct Frame {
    /// The headers as parsed.
    pub(crate) inner: Inner,
    /// Who gets the frame. Transmit only.
    pub(crate) recipient: Recipient,
}

/// Who gets a frame, and why.
#[derive(Clone, Copy)]
pub(crate) struct Recipient {
    /// Index of the member.
    pub(crate) member: u32,
    /// The member owns the address that an ARP request or neighbour solicitation asks for.
    pub(crate) owns_target: bool,
    /// No other member gets a copy.
    pub(crate) is_only: bool,
}

impl Frame {
    /// Records who gets the frame.
    #[inline(always)]
    pub(crate) fn set_recipient(&mut self, recipient: Recipient) -> &Self {
        self.recipient = recipient;
        opaque(self)
    }
}

/// Hides from the compiler what it knows of a value that lies in a map. Else the compiler would
/// continue with the values that it has just written, on one path for each. Useless for a value on
/// the stack, which the verifier follows.
#[inline(always)]
pub(crate) fn opaque<T>(in_map: &mut T) -> &mut T {
    core::hint::black_box(in_map)
}

/// The element of `FRAME_SCRATCH` that a program uses. Programs that can interrupt each other, or
/// run within themselves, have each their own.
#[derive(Clone, Copy)]
pub(crate) enum ScratchSlot {
    /// `decap` and `decap_tc`.
    Decap = 0,
    /// `encap` of a frame that the host sends.
    Encap = 1,
    /// `encap` of a copy, while `encap` of the original waits.
    Copy = 2,
}
