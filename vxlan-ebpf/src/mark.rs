//! Marks in a packet's control block, by which a program knows packets that it has sent on itself.
//!
//! The sender of a packet cannot write there, and what other layers leave there does not have the
//! secret.

use aya_ebpf::programs::TcContext;
use vxlan_common::table::GlobalSettings;

/// No index of a member.
pub(crate) const NO_MEMBER: u32 = u32::MAX;

/// What is known of a packet from an earlier run.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    /// The member that the packet is for; [`NO_MEMBER`]: that is to be decided.
    pub(crate) member: u32,
    /// The interface that gets the packet once it is segmented; 0: it was not sent to be.
    pub(crate) back: u32,
    /// Flags of the redirect to that interface.
    pub(crate) flags: u32,
}

/// Reads the mark of a packet. `None`: there is none.
#[inline(always)]
pub(crate) fn read(ctx: &TcContext, settings: &GlobalSettings) -> Option<Mark> {
    // SAFETY: the kernel hands the program a valid `__sk_buff`; the verifier rewrites each load.
    let [first, second, member, back, flags] = unsafe { (*ctx.skb.skb).cb };
    let ([a, b], is_unmarked) = (secret(settings), first == 0 && second == 0);
    (!is_unmarked && first == a && second == b).then_some(Mark { member, back, flags })
}

/// Marks a packet.
#[inline(always)]
pub(crate) fn set(ctx: &TcContext, settings: &GlobalSettings, mark: Mark) {
    let [first, second] = secret(settings);
    write(ctx, [first, second, mark.member, mark.back, mark.flags]);
}

/// Removes the mark of a packet.
#[inline(always)]
pub(crate) fn clear(ctx: &TcContext) {
    write(ctx, [0; 5]);
}

#[inline(always)]
fn write(ctx: &TcContext, [first, second, member, back, flags]: [u32; 5]) {
    let skb = ctx.skb.skb;
    // SAFETY: as in `read`; a TC program may write the control block. The verifier wants each word
    // written by itself, at a constant offset, and volatile writes are not made one `memset`.
    unsafe {
        (&raw mut (*skb).cb[0]).write_volatile(first);
        (&raw mut (*skb).cb[1]).write_volatile(second);
        (&raw mut (*skb).cb[2]).write_volatile(member);
        (&raw mut (*skb).cb[3]).write_volatile(back);
        (&raw mut (*skb).cb[4]).write_volatile(flags);
    }
}

/// The secret of the settings as two words.
#[inline(always)]
fn secret(settings: &GlobalSettings) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = settings.secret;
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}
