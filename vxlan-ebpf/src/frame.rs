//! What is known of an inner frame, in a place where the verifier does not follow it: of the many
//! ways through a parser or a decision it then goes on from one.

use vxlan_common::{
    inner::{self, Inner, InnerError},
    mss,
};

use crate::{
    counters::Rewritten,
    maps::{FRAME_SCRATCH, RX_SCRATCH},
    outer_rx::Received,
    packet::View,
    udp_checksum::Sum,
};

/// A frame that is being worked on.
pub(crate) struct Frame {
    /// What was read of it.
    pub(crate) inner: Inner,
    /// Who gets it. Transmit only.
    pub(crate) recipient: Recipient,
}

/// Who gets a frame, and why.
#[derive(Clone, Copy)]
pub(crate) struct Recipient {
    /// Index of the member.
    pub(crate) member: u32,
    /// It owns the address that a broadcast question asks for.
    pub(crate) asked: bool,
    /// Nobody else gets a copy.
    pub(crate) alone: bool,
}

impl Frame {
    /// Notes who gets it.
    #[inline(always)]
    pub(crate) fn is_for(&mut self, recipient: Recipient) -> &Self {
        self.recipient = recipient;
        forget(self)
    }
}

/// The same, of which the compiler knows nothing any more: else it would go on with the values that
/// it has just written, one way for each. Of use for what lies in a map only: the verifier follows
/// the stack.
#[inline(always)]
pub(crate) fn forget<T>(in_map: &mut T) -> &mut T {
    core::hint::black_box(in_map)
}

/// What `decap` knows of a packet beside its frame.
pub(crate) struct Known {
    pub(crate) received: Received,
    pub(crate) sum: Sum,
    pub(crate) rewritten: Rewritten,
}

/// Keeps what was read of the outer headers, where the verifier does not follow it.
#[inline(always)]
pub(crate) fn known(received: Received) -> Option<&'static mut Known> {
    let known = RX_SCRATCH.get_ptr_mut(0)?;
    // SAFETY: as in `read`; only `decap` uses this element, once for each packet.
    let known = unsafe { &mut *known };
    known.received = received;
    Some(forget(known))
}

/// Who reads. Programs that can interrupt each other, or run within themselves, have each their own
/// place.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Decap = 0,
    Encap = 1,
    /// `encap` of a copy, while `encap` of the original waits.
    Copy = 2,
}

/// Reads the frame of `len` bytes at the start of the packet.
#[inline(always)]
pub(crate) fn read(
    place: Place,
    packet: &View,
    len: u32,
) -> Result<&'static mut Frame, InnerError> {
    let frame = FRAME_SCRATCH.get_ptr_mut(place as u32).ok_or(InnerError::Malformed)?;
    // SAFETY: points to this CPU's element of an array map, which lives as long as the map.
    // Programs run with softirqs off, so that no other run of the same hook comes between; other
    // hooks have other elements, and no caller holds a reference when it reads the next frame into
    // its own.
    let frame = unsafe { &mut *frame };
    inner::parse_into(packet, 0, len, &mut frame.inner)?;
    let frame = forget(frame);
    let _none = mss::find(packet, &mut frame.inner);
    Ok(forget(frame))
}
