//! Head-end replication of BUM frames (broadcast, unknown unicast, multicast). Which frames are
//! replicated is decided in [`forward`](crate::forward).
//!
//! A copy is sent into the overlay interface once more, with a mark that names its member, and so
//! passes `encap` by itself: it has its own checks, headers and counts.

use aya_ebpf::{helpers::generated::bpf_clone_redirect, programs::TcContext};
use vxlan_common::{
    inner::Inner,
    reason::{DropReason, TxDrop},
    table::{FdbKey, GlobalSettings, MAX_FLOOD_MEMBERS},
};

use crate::{
    counters,
    maps::{FDB, FLOOD_LISTS, MEMBERS, NETWORKS},
    mark::{self, Mark, NO_MEMBER},
    rate_limit,
};

/// The member that a frame is for, if the frame is a copy of ours.
#[inline(always)]
pub(crate) fn copy_for(ctx: &TcContext, settings: &GlobalSettings) -> Option<u32> {
    mark::read(ctx, settings).map(|mark| mark.member).filter(|member| *member != NO_MEMBER)
}

/// Sends a copy to each member of a network but the last, and returns the last, which gets the
/// frame itself. If the frame's source MAC is behind a member, that member gets nothing. The frame
/// stands for `packets` on the wire.
#[inline(always)]
pub(crate) fn flood(
    ctx: &TcContext,
    ifindex: u32,
    inner: &Inner,
    network: u32,
    settings: &GlobalSettings,
    packets: u64,
) -> Result<u32, TxDrop> {
    let entry = NETWORKS.get(network).ok_or(TxDrop::NoRoute)?;
    rate_limit::charge_bum(network, entry)?;
    let list = FLOOD_LISTS.get(network).ok_or(TxDrop::NoRoute)?;
    let key = FdbKey { ifindex, mac: inner.source_mac };
    // SAFETY: one word, copied out at once.
    let from = unsafe { FDB.get(key) }.map_or(NO_MEMBER, |entry| entry.member);
    let mut last = NO_MEMBER;
    for at in 0..MAX_FLOOD_MEMBERS {
        if at >= list.len as usize {
            break;
        }
        let member = list.members[at];
        if member == from {
            continue;
        }
        if last != NO_MEMBER {
            send_copy(ctx, ifindex, last, settings, packets);
        }
        last = member;
    }
    mark::clear(ctx);
    if last == NO_MEMBER { Err(TxDrop::NoRoute) } else { Ok(last) }
}

/// Sends a copy to one member.
#[inline(always)]
fn send_copy(ctx: &TcContext, ifindex: u32, member: u32, settings: &GlobalSettings, packets: u64) {
    mark::set(ctx, settings, Mark { member, back: 0, flags: 0 });
    // Any other result is the verdict on the copy, whose run of `encap` has counted it.
    // SAFETY: the context is the program's own; views derived before are not used again.
    let failed = unsafe { bpf_clone_redirect(ctx.skb.skb, ifindex, 0) } < 0;
    if failed && let Some(member) = MEMBERS.get(member) {
        counters::add_drops(member.slot, DropReason::Tx(TxDrop::RedirectFailed), packets);
    }
}
