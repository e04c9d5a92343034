//! What a received packet comes in: an XDP frame or a socket buffer. The rules of receive are the
//! same for both ([`decap`](crate::decap)); how bytes get readable, and how they are taken away and
//! written, is not.

use vxlan_common::{
    inner::Inner,
    mss::MssClamp,
    outer::OVERHEAD_IPV6,
    reason::RxDrop,
    wire::{ETH_LEN, ipv4, tcp},
};

use crate::{outer_rx::Received, packet::View, policy::Sender};

/// Enough to read every header that decides: the outer ones and, of the inner frame, Ethernet, IPv6
/// or IPv4 with options, TCP with options.
pub(crate) const HEADERS: u32 =
    (OVERHEAD_IPV6 + ETH_LEN + ipv4::MAX_HEADER_LEN + tcp::MAX_HEADER_LEN) as u32;

/// A received packet, as the hook has it.
///
/// A [`View`] is stale after any call but `load`.
pub(crate) trait Carrier {
    /// Bytes of the frame.
    fn len(&self) -> u32;

    /// The frame with the outer headers, as far as there are any, in reach.
    fn outer(&self) -> View;

    /// The frame with its first `len` bytes in reach, or all that there are.
    fn reach(&self, len: u32) -> View;

    /// Several packets that the driver or GRO merged into one.
    fn is_merged(&self) -> bool;

    /// Copies bytes out, wherever they are. `None`: they are not there.
    ///
    /// # Safety
    /// `to` must be valid for writes of `N` bytes.
    unsafe fn load<const N: usize>(&self, at: u32, to: *mut [u8; N]) -> Option<()>;

    /// Removes the outer headers, and what lay behind the outer IP packet. There is a whole inner
    /// Ethernet header.
    fn strip(&self, received: &Received) -> Option<()>;

    /// Writes bytes of the stripped frame.
    fn set<const N: usize>(&self, at: usize, bytes: [u8; N]) -> Option<()>;

    /// Lowers the segment size that a stripped frame announces.
    fn clamp(&self, clamp: &MssClamp) -> Option<()>;

    /// Marks the frame as one that may enter the overlay, where another program has it do so.
    fn tag(&self, sender: &Sender, inner: &Inner) -> Result<(), RxDrop>;
}
