//! The BPF programs of the VXLAN data plane.
//!
//! # Theory of operation
//!
//! Receive. [`decap`] runs in XDP on the underlay interface, before GRO. A UDP packet to our port
//! and address is ours; everything else passes untouched. A packet of ours is checked from the
//! outside in: outer headers, VXLAN header, the peer's right to send in that network, the inner
//! frame's source and destination. A packet that fails is counted under its reason and dropped. One
//! that passes loses its outer headers, gets a [`FrameTag`](vxlan_common::table::FrameTag) that no
//! frame from the wire can bring, and goes up as a plain frame, so that the NIC's own GRO merges
//! the inner flow. [`deliver`] runs in TC ingress of the same interface: a frame with our tag is
//! redirected into the overlay interface, any other goes on as if we were not there.
//! Where it may, [`decap`] redirects UDP by itself: [`arrived`] counts it in the overlay interface.
//!
//! What the tables decide about a pair of hosts is remembered ([`memo`]); in XDP the commonest
//! packet of such a pair takes a short way ([`straight`]).
//!
//! On an interface without XDP, [`decap_tc`] in TC ingress does by itself what both do, by the same
//! rules. Packets that were merged before it runs make a detour by which the kernel cuts them up
//! again, see [`segment`]; so do those of a tunnel inside the overlay before [`encap`].
//!
//! A probe ends in [`decap`]: the daemon takes it out of a ring buffer.
//!
//! Transmit. [`encap`] runs in TC egress of every overlay interface: it finds the member that owns
//! the destination, puts one set of outer headers in front of the (GSO) frame and hands it to the
//! neighbour layer of the underlay interface, which fills in the MAC addresses.
//!
//! Invariant: packets that are ours = delivered + probes + dropped by reason; likewise on transmit.
//!
//! Only the entry points below turn a result into a verdict.
//!
//! # Modules
//!
//! In the order of imports: each module uses only modules named before it.
//!
//! - Packets, state and look-ups: `packet`, `drop_log`, `scratch`, `maps`, `buffers`, `atomic`,
//!   `memo`, `counters`, `peer_entry`, `lookup`, `rate_limit`, `redirect`, `header_writer`.
//! - Receive: `outer_rx`, `udp_checksum`, `strangers`, `policy`, `nat`, `learning`, `packet_ctx`,
//!   `probe_rx`, `ctx_xdp`, `ctx_tc`, `rx_memo`, `straight_parse`, `straight`, `decap`, `deliver`.
//! - Transmit: `tx_memo`, `forward`, `flood`, `arp_nd_proxy`, `icmp_ptb`, `outer_tx`,
//!   `straight_tx`, `encap`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod arp_nd_proxy;
mod atomic;
mod buffers;
mod counters;
mod ctx_tc;
mod ctx_xdp;
mod decap;
mod deliver;
mod drop_log;
mod encap;
mod flood;
mod forward;
mod header_writer;
mod icmp_ptb;
mod learning;
mod lookup;
mod maps;
mod mark;
mod memo;
mod nat;
mod outer_rx;
mod outer_tx;
mod packet;
mod packet_ctx;
mod peer_entry;
mod policy;
mod probe_rx;
mod rate_limit;
mod redirect;
mod rx_memo;
mod scratch;
mod segment;
mod straight;
mod straight_parse;
mod straight_tx;
mod strangers;
mod tx_memo;
mod udp_checksum;

use aya_ebpf::{
    bindings::{self, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use aya_log_ebpf::{
    macro_support::{Level, level_enabled},
    trace,
};
use counters::Failed;
use ctx_tc::Skb;
use mark::Mark;
use packet::View;
use vxlan_common::reason::RxDrop;

/// Makes a function that logs a dropped packet in numbers, which the daemon translates. Inlined
/// with the steps of `encap`, which are; beside the frame of `decap::run` the stack has no room for
/// it.
macro_rules! log_drop {
    ($inline:meta $name:ident, $context:ty, $view:path, $format:literal) => {
        #[$inline]
        fn $name(ctx: &$context, reason: u8, slot: u32) {
            // Else the compiler would pass the ends of the packet in place of the context, and
            // subtract them, which the verifier forbids.
            let ctx = core::hint::black_box(ctx);
            let (source, destination) = drop_log::addresses(&$view(ctx));
            trace!(ctx, $format, reason, slot, source, destination);
        }
    };
}

log_drop!(
    inline(never) log_decap,
    XdpContext,
    View::from_xdp,
    "decap: dropped, reason {}, slot {}, from {:i} to {:i}"
);
log_drop!(
    inline(never) log_decap_tc,
    TcContext,
    View::from_skb,
    "decap_tc: dropped, reason {}, slot {}, from {:i} to {:i}"
);
log_drop!(
    inline(never) log_deliver,
    TcContext,
    View::from_skb,
    "deliver: dropped, reason {}, slot {}, from {:i} to {:i}"
);
log_drop!(
    inline(never) log_encap_straight,
    TcContext,
    View::from_skb,
    "encap: dropped, reason {}, slot {}, from {:i} to {:i}"
);
log_drop!(
    inline(always) log_encap,
    TcContext,
    View::from_skb,
    "encap: dropped, reason {}, slot {}, from {:i} to {:i}"
);

/// XDP on the underlay interface.
#[xdp]
fn decap(ctx: XdpContext) -> u32 {
    match decap::run_xdp(&ctx) {
        Ok(decap::XdpVerdict::Pass) => xdp_action::XDP_PASS,
        Ok(decap::XdpVerdict::Redirect(port)) => redirect::to_port(port),
        Ok(decap::XdpVerdict::Drop) => xdp_action::XDP_DROP,
        Err(refused) => {
            if may_log() {
                log_decap(&ctx, refused.reason as u8, refused.slot);
            }
            counters::rx_drop(&refused, 1);
            xdp_action::XDP_DROP
        }
    }
}

/// XDP on an overlay interface: frames that `decap` has redirected. No other enters there.
#[xdp]
fn arrived(ctx: XdpContext) -> u32 {
    if deliver::arrived(&ctx).is_some() { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

/// TC ingress on the underlay interface.
#[classifier]
fn deliver(ctx: TcContext) -> i32 {
    delivered(&ctx).unwrap_or(TC_ACT_UNSPEC)
}

/// TC ingress on an underlay interface without XDP: `decap` and `deliver` in one.
#[classifier]
fn decap_tc(ctx: TcContext) -> i32 {
    // Frames are tagged while `decap` is being attached or detached.
    if let Some(verdict) = delivered(&ctx) {
        return verdict;
    }
    let packet = Skb::new(&ctx);
    // Traffic of a VLAN is not ours; the kernel holds the VLAN tag outside of the bytes.
    if packet.info.vlan {
        return TC_ACT_UNSPEC;
    }
    match decap::run(&packet, memo::CHANGING) {
        Ok(decap::RxVerdict::NotOurs) => TC_ACT_UNSPEC,
        // TCX has no other verdict that consumes a packet.
        Ok(decap::RxVerdict::Probe) => TC_ACT_SHOT,
        Ok(decap::RxVerdict::Merged(slot)) => {
            cut_up_merged(&ctx, &packet, slot).unwrap_or(TC_ACT_SHOT)
        }
        Ok(decap::RxVerdict::Accepted(accepted)) => {
            deliver::accepted(&ctx, &accepted).unwrap_or_else(|failed| lost(&ctx, &failed))
        }
        Err(refused) => {
            if may_log() {
                log_decap_tc(&ctx, refused.reason as u8, refused.slot);
            }
            counters::rx_drop(&refused, packet.packets());
            TC_ACT_SHOT
        }
    }
}

/// Sends merged packets of a member to be cut up, or counts their loss.
#[inline(always)]
fn cut_up_merged(ctx: &TcContext, packet: &Skb<'_>, slot: u32) -> Option<i32> {
    let flags = bindings::BPF_F_INGRESS;
    let mark = Mark { member: mark::NO_MEMBER, back: packet.info.ifindex, flags };
    let verdict = maps::SETTINGS.get(0).and_then(|settings| segment::cut_up(ctx, settings, mark));
    if verdict.is_none() {
        let refused = counters::Refused { reason: RxDrop::Aggregate, slot, pair: None };
        counters::rx_drop(&refused, packet.packets());
    }
    verdict
}

/// TC ingress behind the segmenter: a piece of what was sent there goes back to where it was.
/// Nothing else may come that way.
#[classifier]
fn segmented(ctx: TcContext) -> i32 {
    segment::send_back(&ctx).unwrap_or(TC_ACT_SHOT)
}

/// The verdict on a tagged frame. `None`: the frame has no tag.
#[inline(always)]
fn delivered(ctx: &TcContext) -> Option<i32> {
    match deliver::run(ctx) {
        Ok(deliver::DeliverVerdict::NotOurs) => None,
        Ok(deliver::DeliverVerdict::Redirected(verdict)) => Some(verdict),
        Err(failed) => Some(lost(ctx, &failed)),
    }
}

/// Counts a frame that was accepted and not delivered.
#[inline(always)]
fn lost(ctx: &TcContext, failed: &Failed<RxDrop>) -> i32 {
    if may_log() {
        log_deliver(ctx, failed.reason as u8, failed.slot);
    }
    counters::rx_drop_many(failed);
    TC_ACT_SHOT
}

/// TC egress on an overlay interface.
#[classifier]
fn encap(ctx: TcContext) -> i32 {
    match straight_tx::run(&ctx).result() {
        Ok(Some(verdict)) => verdict,
        Ok(None) => encap_any(&ctx),
        Err(failed) => {
            if may_log() {
                log_encap_straight(&ctx, failed.reason as u8, failed.slot);
            }
            counters::tx_drop(&failed);
            TC_ACT_SHOT
        }
    }
}

/// [`encap`] of a frame of any form. A function of its own, so that its frame on the stack and that
/// of the short way are not both there.
#[inline(never)]
fn encap_any(ctx: &TcContext) -> i32 {
    match encap::run(ctx) {
        Ok(verdict) => verdict,
        Err(encap::NotSent { failed, icmp_verdict }) => {
            if may_log() {
                log_encap(ctx, failed.reason as u8, failed.slot);
            }
            counters::tx_drop(&failed);
            icmp_verdict.unwrap_or(TC_ACT_SHOT)
        }
    }
}

/// A dropped packet may be logged. Rate-limited, so that a sender cannot fill the log. The log
/// level is a constant to the verifier, which removes all of this if the level is lower.
#[inline(always)]
fn may_log() -> bool {
    level_enabled(Level::Trace) && rate_limit::allow_slow_path(rate_limit::SlowPath::Log)
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program in which this could be reached.
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// Helpers such as `bpf_redirect_neigh` may be used by GPL-compatible programs only.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
