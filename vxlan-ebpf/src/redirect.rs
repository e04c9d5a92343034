//! Redirects a frame into an overlay interface, as received there.

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_REDIRECT},
    helpers::generated::{bpf_check_mtu, bpf_redirect},
    programs::TcContext,
};
use vxlan_common::table::NetworkEntry;

/// The hidden port that XDP redirects an accepted frame into; 0: the frame goes to `deliver`.
///
/// `can_be`: the frame is UDP, which the card's GRO merges for few, and its tag stays with it.
/// Depends on the network and the protocol alone, so that a flow takes one way and stays in order.
/// A frame that is too long for the pair, which the peer should not have sent, would be lost there.
#[inline(always)]
pub(crate) fn port(network: &NetworkEntry, can_be: bool, len: u32) -> u32 {
    if can_be && len <= network.max_redirected { network.port } else { 0 }
}

/// Has the other end of a pair receive the frame, in XDP.
#[inline(always)]
pub(crate) fn to_port(port: u32) -> u32 {
    // SAFETY: takes no pointers; the kernel checks the interface when it acts on the verdict.
    unsafe { bpf_redirect(port, 0) as u32 }
}

/// Has the overlay interface receive the frame; returns the helper's verdict. `None`: the kernel
/// refuses, or there is no such interface.
#[inline(always)]
pub(crate) fn into_overlay(ctx: &TcContext, ifindex: u32) -> Option<i32> {
    // `bpf_redirect` looks for the interface after this program has ended, and then loses the frame
    // without a word. This helper (Linux 5.12) looks now, and is negative where there is none. That
    // a frame is longer than the interface's MTU is no matter on receive.
    let mut mtu = 0;
    // SAFETY: the context is the program's own, and the length lies on the stack.
    if unsafe { bpf_check_mtu(ctx.skb.skb.cast(), ifindex, &raw mut mtu, 0, 0) } < 0 {
        return None;
    }
    // SAFETY: takes no pointers; the kernel checks the interface when it acts on the verdict.
    let verdict = unsafe { bpf_redirect(ifindex, u64::from(BPF_F_INGRESS)) };
    (verdict == i64::from(TC_ACT_REDIRECT)).then_some(verdict as i32)
}
