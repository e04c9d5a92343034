//! Hands out the per-CPU scratch elements for received packets and inner frames, filled. The types
//! are in [`scratch`](crate::scratch); the element for headers belongs to
//! [`header_writer`](crate::header_writer).

use vxlan_common::{
    inner::{self, InnerError},
    mss,
};

use crate::{
    maps::{FRAME_SCRATCH, RX_SCRATCH},
    packet::View,
    scratch::{Frame, OuterRx, RxScratch, ScratchSlot, opaque},
};

/// Stores the outer headers in this CPU's [`RxScratch`].
#[inline(always)]
pub(crate) fn store_outer(outer: OuterRx) -> Option<&'static mut RxScratch> {
    let scratch = RX_SCRATCH.get_ptr_mut(0)?;
    // SAFETY: as in `parse_frame`; only `decap` uses this element, once for each packet.
    let scratch = unsafe { &mut *scratch };
    scratch.outer = outer;
    Some(opaque(scratch))
}

/// Parses the frame of `len` bytes at the start of the packet into the element of `slot`.
#[inline(always)]
pub(crate) fn parse_frame(
    slot: ScratchSlot,
    packet: &View,
    len: u32,
) -> Result<&'static mut Frame, InnerError> {
    let frame = FRAME_SCRATCH.get_ptr_mut(slot as u32).ok_or(InnerError::Malformed)?;
    // SAFETY: points to this CPU's element of an array map, which lives as long as the map.
    // Programs run with softirqs off, so that no other run of the same hook comes between; other
    // hooks have other elements, and no caller holds a reference when it parses the next frame into
    // its own.
    let frame = unsafe { &mut *frame };
    inner::parse_into(packet, 0, len, &mut frame.inner)?;
    let frame = opaque(frame);
    let _none = mss::find(packet, &mut frame.inner);
    Ok(opaque(frame))
}
