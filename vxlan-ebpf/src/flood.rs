//! Copies of a frame that is for everyone.
//!
//! A copy is sent into the overlay interface once more, marked with the member it is for, and so
//! goes through `encap` by itself: it has its own checks, headers and counts.

use aya_ebpf::{helpers::generated::bpf_clone_redirect, programs::TcContext};
use vxlan_common::{
    inner::Inner,
    reason::{DropReason, TxDrop},
    table::{FdbKey, GlobalSettings, MAX_FLOOD_MEMBERS},
};

use crate::{
    counters,
    maps::{FDB, FLOOD_LISTS, MEMBERS, NETWORKS},
    rate_limit,
};

const NOBODY: u32 = u32::MAX;

/// The member that this frame, if it is a copy of ours, is for.
///
/// The mark is in the packet's control block, which the sender of a packet cannot write; what other
/// layers leave there does not have the secret.
#[inline(always)]
pub(crate) fn copy_for(ctx: &TcContext, settings: &GlobalSettings) -> Option<u32> {
    // SAFETY: the kernel hands the program a valid `__sk_buff`; the verifier rewrites each load.
    let [first, second, member, _, _] = unsafe { (*ctx.skb.skb).cb };
    let ([a, b], no_copy) = (secret(settings), first == 0 && second == 0);
    (!no_copy && first == a && second == b).then_some(member)
}

#[inline(always)]
fn secret(settings: &GlobalSettings) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = settings.secret;
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

/// Sends a copy to all members of a network but one, and returns that one: it gets the frame
/// itself. The member that the frame comes from, if it does, gets nothing. The frame is `packets`
/// on the wire.
#[inline(always)]
pub(crate) fn to_all(
    ctx: &TcContext,
    ifindex: u32,
    inner: &Inner,
    network: u32,
    settings: &GlobalSettings,
    packets: u64,
) -> Result<u32, TxDrop> {
    let limits = NETWORKS.get(network).ok_or(TxDrop::NoRoute)?;
    rate_limit::broadcast(network, limits)?;
    let group = FLOOD_LISTS.get(network).ok_or(TxDrop::NoRoute)?;
    let key = FdbKey { ifindex, mac: inner.source_mac };
    // SAFETY: one word, copied out at once.
    let from = unsafe { FDB.get(key) }.map_or(NOBODY, |entry| entry.member);
    let mut last = NOBODY;
    for at in 0..MAX_FLOOD_MEMBERS {
        if at >= group.len as usize {
            break;
        }
        let member = group.members[at];
        if member == from {
            continue;
        }
        if last != NOBODY {
            copy(ctx, ifindex, last, settings, packets);
        }
        last = member;
    }
    mark(ctx, [0; 2], 0);
    if last == NOBODY { Err(TxDrop::NoRoute) } else { Ok(last) }
}

#[inline(always)]
fn copy(ctx: &TcContext, ifindex: u32, member: u32, settings: &GlobalSettings, packets: u64) {
    mark(ctx, secret(settings), member);
    // What is not negative is the copy's own fate, which it has counted by itself.
    // SAFETY: the context is the program's own; views derived before are not used again.
    let failed = unsafe { bpf_clone_redirect(ctx.skb.skb, ifindex, 0) } < 0;
    if failed && let Some(member) = MEMBERS.get(member) {
        counters::dropped(member.slot, DropReason::Tx(TxDrop::RedirectFailed), packets);
    }
}

#[inline(always)]
fn mark(ctx: &TcContext, [first, second]: [u32; 2], member: u32) {
    // SAFETY: as in `copy_for`; a TC program may write the control block.
    unsafe {
        (*ctx.skb.skb).cb[0] = first;
        (*ctx.skb.skb).cb[1] = second;
        (*ctx.skb.skb).cb[2] = member;
    }
}
