//! Redirects a frame into an overlay interface, as received there.

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_REDIRECT},
    helpers::generated::bpf_redirect,
};

/// Has the overlay interface receive the frame; returns the helper's verdict. `None`: the kernel
/// refuses.
#[inline(always)]
pub(crate) fn into_overlay(ifindex: u32) -> Option<i32> {
    // SAFETY: takes no pointers; the kernel checks the interface when it acts on the verdict.
    let verdict = unsafe { bpf_redirect(ifindex, u64::from(BPF_F_INGRESS)) };
    (verdict == i64::from(TC_ACT_REDIRECT)).then_some(verdict as i32)
}
