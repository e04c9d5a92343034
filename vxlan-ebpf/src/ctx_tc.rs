//! Receive in TC, where XDP is not to be had: a socket buffer may lie in pieces, and is changed by
//! helpers alone. Written directly, every packet of the interface would be copied while somebody
//! captures there. What passes goes into the overlay at once and needs no tag.

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_DECAP_L3_IPV4, BPF_F_RECOMPUTE_CSUM, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    helpers::generated::{bpf_skb_change_tail, bpf_skb_load_bytes},
    programs::TcContext,
};
use vxlan_common::{
    addr::IPV6,
    bytes::{Bytes as _, HeaderWindow as _},
    inner::Inner,
    mss::MssClamp,
    reason::RxDrop,
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN, VXLAN_LEN,
        ethernet::{self, ETHERTYPE_IPV6},
        ipv4, ipv6,
    },
};

use crate::{
    outer_rx::Received,
    packet::{SkbInfo, View},
    packet_ctx::Carrier,
    policy::Sender,
};

/// The outer headers where there are no IPv6 extension headers: IPv4 may have 40 bytes of options.
const OUTER: u32 = (ETH_LEN + ipv4::MAX_HEADER_LEN + UDP_LEN + VXLAN_LEN) as u32;

/// A packet in TC ingress.
pub(crate) struct Skb<'a> {
    ctx: &'a TcContext,
    pub(crate) info: SkbInfo,
}

impl<'a> Skb<'a> {
    #[inline(always)]
    pub(crate) fn of(ctx: &'a TcContext) -> Self {
        Self { ctx, info: SkbInfo::of(ctx) }
    }

    /// Packets on the wire; of what is merged, by the length of each UDP datagram.
    #[inline(always)]
    pub(crate) fn packets(&self) -> u64 {
        self.info.packets((ETH_LEN + IPV4_LEN + UDP_LEN) as u32)
    }

    #[inline(always)]
    fn set_len(&self, len: u32) -> Option<()> {
        // SAFETY: the context is the program's own; the kernel checks the new length.
        (unsafe { bpf_skb_change_tail(self.ctx.skb.skb, len, 0) } == 0).then_some(())
    }

    /// Takes away what is behind the outer Ethernet header, which stays in front.
    #[inline(always)]
    fn remove(&self, len: usize, flags: u32) -> Option<()> {
        self.ctx.adjust_room(-(len as i32), BPF_ADJ_ROOM_MAC, flags.into()).ok()
    }
}

impl Carrier for Skb<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.info.len
    }

    #[inline(always)]
    fn outer(&self) -> View {
        let frame = self.reach(OUTER);
        // Extension headers may be long. Nobody is helped by their being followed through a merged
        // frame, which has one where it is longer than 65,535 bytes.
        let extensions =
            frame.window::<{ ETH_LEN + ipv6::field::HOP_LIMIT }>(0).is_some_and(|headers| {
                headers.be_bytes2(ethernet::field::ETHERTYPE) == ETHERTYPE_IPV6
                    && matches!(
                        headers.byte(ETH_LEN + ipv6::field::NEXT_HEADER),
                        ipv6::NEXT_HOP_BY_HOP
                            | ipv6::NEXT_ROUTING
                            | ipv6::NEXT_FRAGMENT
                            | ipv6::NEXT_DESTINATION_OPTIONS
                    )
            });
        if extensions && !self.is_merged() { self.reach(self.info.len) } else { frame }
    }

    #[inline(always)]
    fn reach(&self, len: u32) -> View {
        let wanted = if len < self.info.len { len } else { self.info.len };
        let frame = View::of_skb(self.ctx);
        if frame.len() >= wanted as usize {
            return frame;
        }
        // Without memory for it, what is out of reach is read as what is not there.
        let _out_of_reach = self.ctx.pull_data(wanted);
        View::of_skb(self.ctx)
    }

    #[inline(always)]
    fn is_merged(&self) -> bool {
        self.info.gso_size != 0
    }

    #[inline(always)]
    unsafe fn load<const N: usize>(&self, at: u32, to: *mut [u8; N]) -> Option<()> {
        let skb = self.ctx.skb.skb;
        // SAFETY: the context is the program's own, and the caller vouches for `to`.
        let result = unsafe { bpf_skb_load_bytes(skb.cast(), at, to.cast(), N as u32) };
        (result == 0).then_some(())
    }

    /// What the kernel leaves in front is the outer Ethernet header, which the inner one replaces.
    /// The kernel looks at its EtherType when the frame comes in at the overlay interface.
    #[inline(always)]
    fn strip(&self, received: &Received) -> Option<()> {
        let overhead = received.overhead();
        let mut ethernet = [0; ETH_LEN];
        // SAFETY: a place on the stack.
        unsafe { self.load(overhead as u32, &raw mut ethernet) }?;
        let len = received.inner_len();
        if received.trailer != 0 {
            self.set_len(overhead as u32 + len)?;
        }
        // The kernel wants to have an IP header's length left, of the family that it knows.
        let ip = if received.family == IPV6 { IPV6_LEN } else { IPV4_LEN };
        let least = (ETH_LEN + ip) as u32;
        if len >= least {
            self.remove(overhead, 0)?;
        } else if self.remove(overhead, BPF_F_ADJ_ROOM_DECAP_L3_IPV4).is_none() {
            // No such flag before Linux 6.3 (commit d219df60a70e), or shorter than an IPv4 header.
            self.set_len(overhead as u32 + least)?;
            self.remove(overhead, 0)?;
            self.set_len(len)?;
        }
        self.ctx.store(0, &ethernet, 0).ok()
    }

    #[inline(always)]
    fn set<const N: usize>(&self, at: usize, bytes: [u8; N]) -> Option<()> {
        self.ctx.store(at, &bytes, BPF_F_RECOMPUTE_CSUM.into()).ok()
    }

    #[inline(always)]
    fn clamp(&self, clamp: &MssClamp) -> Option<()> {
        let (from, to) = clamp.words();
        let (from, to, new) = (from.to_be(), to.to_be(), clamp.new.to_be());
        // The helper leaves a checksum alone that is still to be computed. What the driver summed
        // up is still right when both are written.
        self.ctx.l4_csum_replace(clamp.checksum_at, from.into(), to.into(), 2).ok()?;
        self.ctx.store(clamp.value_at, &new, 0).ok()
    }

    #[inline(always)]
    fn tag(&self, _sender: &Sender, _inner: &Inner) -> Result<(), RxDrop> {
        Ok(())
    }
}
