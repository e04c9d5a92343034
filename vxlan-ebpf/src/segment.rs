//! Has the kernel cut up packets that stand for several, where the programs cannot handle them
//! whole: a tunnel of the host's own inside the overlay, as `bpf_skb_adjust_room` puts no second
//! tunnel around one; and what GRO has merged before `decap_tc`, as the kernel up to 6.18 keeps the
//! mark of a tunnel that a helper has removed.
//!
//! Such a packet is sent out of an interface all of whose offloads are off, one end of a veth pair:
//! so the kernel cuts it up and completes the checksums. The pieces arrive at the other end with
//! the mark that the packet got, and [`send_back`] hands them to where the packet came from.

use aya_ebpf::{bindings::TC_ACT_REDIRECT, helpers::generated::bpf_redirect, programs::TcContext};
use vxlan_common::table::GlobalSettings;

use crate::{
    maps::SETTINGS,
    mark::{self, Mark},
};

/// Sends a packet to be cut up; returns the helper's verdict. `None`: there is nothing to do that,
/// or the packet comes from there.
#[inline(always)]
pub(crate) fn cut_up(ctx: &TcContext, settings: &GlobalSettings, mark: Mark) -> Option<i32> {
    if settings.segmenter == 0 || mark::read(ctx, settings).is_some_and(|mark| mark.back != 0) {
        return None;
    }
    mark::set(ctx, settings, mark);
    redirect(settings.segmenter, 0)
}

/// Hands a piece to where the packet came from. `None`: the packet is no such piece.
#[inline(always)]
pub(crate) fn send_back(ctx: &TcContext) -> Option<i32> {
    let mark = mark::read(ctx, SETTINGS.get(0)?).filter(|mark| mark.back != 0)?;
    redirect(mark.back, mark.flags)
}

#[inline(always)]
fn redirect(ifindex: u32, flags: u32) -> Option<i32> {
    // SAFETY: takes no pointers; the kernel checks the interface when it acts on the verdict.
    let verdict = unsafe { bpf_redirect(ifindex, u64::from(flags)) };
    (verdict == i64::from(TC_ACT_REDIRECT)).then_some(verdict as i32)
}
