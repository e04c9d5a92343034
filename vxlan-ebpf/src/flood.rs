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
    rate_limit,
};

/// No index of a member.
const NO_MEMBER: u32 = u32::MAX;

/// The member that a frame is for, if the frame is a copy of ours.
///
/// The mark is in the packet's control block, which the sender of a packet cannot write; what other
/// layers leave there does not have the secret.
#[inline(always)]
pub(crate) fn copy_for(ctx: &TcContext, settings: &GlobalSettings) -> Option<u32> {
    // SAFETY: the kernel hands the program a valid `__sk_buff`; the verifier rewrites each load.
    let [first, second, member, _, _] = unsafe { (*ctx.skb.skb).cb };
    let ([a, b], is_unmarked) = (secret(settings), first == 0 && second == 0);
    (!is_unmarked && first == a && second == b).then_some(member)
}

/// The secret of the settings as two words of the control block.
#[inline(always)]
fn secret(settings: &GlobalSettings) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = settings.secret;
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
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
    set_mark(ctx, [0; 2], 0);
    if last == NO_MEMBER { Err(TxDrop::NoRoute) } else { Ok(last) }
}

/// Sends a copy to one member.
#[inline(always)]
fn send_copy(ctx: &TcContext, ifindex: u32, member: u32, settings: &GlobalSettings, packets: u64) {
    set_mark(ctx, secret(settings), member);
    // Any other result is the verdict on the copy, whose run of `encap` has counted it.
    // SAFETY: the context is the program's own; views derived before are not used again.
    let failed = unsafe { bpf_clone_redirect(ctx.skb.skb, ifindex, 0) } < 0;
    if failed && let Some(member) = MEMBERS.get(member) {
        counters::add_drops(member.slot, DropReason::Tx(TxDrop::RedirectFailed), packets);
    }
}

/// Writes secret and member into the control block.
#[inline(always)]
fn set_mark(ctx: &TcContext, [first, second]: [u32; 2], member: u32) {
    // SAFETY: as in `copy_for`; a TC program may write the control block.
    unsafe {
        (*ctx.skb.skb).cb[0] = first;
        (*ctx.skb.skb).cb[1] = second;
        (*ctx.skb.skb).cb[2] = member;
    }
}
