//! The trait by which `decap` reaches a received packet: an XDP frame ([`ctx_xdp`](crate::ctx_xdp))
//! or a socket buffer ([`ctx_tc`](crate::ctx_tc)). The rules of receive are the same for both; how
//! bytes become readable, and how they are removed and written, is not.

use vxlan_common::{
    addr::Mac,
    mss::MssClamp,
    outer::OVERHEAD_IPV6,
    reason::RxDrop,
    wire::{ETH_LEN, ipv4, tcp},
};

use crate::{packet::View, policy::Sender, scratch::OuterRx};

/// Length of all headers that decisions depend on, at most: the outer ones and, of the inner frame,
/// Ethernet, IPv6 or IPv4 with options, TCP with options.
pub(crate) const MAX_HEADERS_LEN: u32 =
    (OVERHEAD_IPV6 + ETH_LEN + ipv4::MAX_HEADER_LEN + tcp::MAX_HEADER_LEN) as u32;

/// The destination of an accepted frame.
pub(crate) struct AcceptedFrame {
    /// The overlay interface.
    pub(crate) ifindex: u32,
    /// Counter slot of its member.
    pub(crate) slot: u32,
    /// Bytes of the frame.
    pub(crate) len: u32,
    /// The hidden port, if XDP redirects the frame into it; else 0.
    pub(crate) port: u32,
}

/// How a frame was tagged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tagged {
    /// By metadata, which a redirected frame keeps.
    Metadata,
    /// By its destination MAC; or not at all, in TC.
    Otherwise,
}

/// A received packet, as the hook has it.
///
/// A [`View`] is stale after any call but `load`.
pub(crate) trait PacketCtx {
    /// Bytes of the frame.
    fn len(&self) -> u32;

    /// The frame with its outer headers readable, as far as they are there.
    fn outer(&self) -> View;

    /// The frame with its first `len` bytes readable, or all of them if there are fewer.
    fn reach(&self, len: u32) -> View;

    /// The driver or GRO merged several packets into this one.
    fn is_merged(&self) -> bool;

    /// Copies bytes out, readable in place or not. `None`: the packet ends before.
    ///
    /// # Safety
    /// `to` must be valid for writes of `N` bytes.
    unsafe fn load<const N: usize>(&self, at: u32, to: *mut [u8; N]) -> Option<()>;

    /// Removes the outer headers, and the trailer behind the outer IP packet. The caller made sure
    /// that there is a whole inner Ethernet header.
    fn strip(&self, outer: &OuterRx) -> Option<()>;

    /// Writes bytes of the decapsulated frame.
    fn set<const N: usize>(&self, at: usize, bytes: [u8; N]) -> Option<()>;

    /// Lowers the MSS that a decapsulated TCP SYN announces.
    fn clamp(&self, clamp: &MssClamp) -> Option<()>;

    /// Tags the frame as one that may enter the overlay, if another program redirects it there.
    /// `destination_mac`: the frame's.
    fn tag(&self, sender: &Sender, destination_mac: Mac) -> Result<Tagged, RxDrop>;
}
