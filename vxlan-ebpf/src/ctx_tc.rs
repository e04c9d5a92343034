//! Receive in TC, where the interface has no XDP: a socket buffer may lie in pieces, and is changed
//! by helpers alone. A program with direct writes would have the kernel copy every packet of the
//! interface while a capture runs there. What passes goes into the overlay at once and needs no
//! tag.

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_DECAP_L3_IPV4, BPF_F_RECOMPUTE_CSUM, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    helpers::generated::{bpf_skb_change_tail, bpf_skb_load_bytes},
    programs::TcContext,
};
use vxlan_common::{
    addr::{IPV6, Mac},
    bytes::{Bytes as _, HeaderWindow as _},
    mss::MssClamp,
    reason::RxDrop,
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN, VXLAN_LEN,
        ethernet::{self, ETHERTYPE_IPV6},
        ipv4, ipv6,
    },
};

use crate::{
    packet::{SkbInfo, View},
    packet_ctx::{PacketCtx, Tagged},
    policy::Sender,
    scratch::OuterRx,
};

/// Length of the outer headers at most, without IPv6 extension headers: IPv4 may have 40 bytes of
/// options.
const MAX_OUTER_LEN: u32 = (ETH_LEN + ipv4::MAX_HEADER_LEN + UDP_LEN + VXLAN_LEN) as u32;

/// A packet in TC ingress.
pub(crate) struct Skb<'a> {
    ctx: &'a TcContext,
    pub(crate) info: SkbInfo,
}

impl<'a> Skb<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        Self { ctx, info: SkbInfo::from_skb(ctx) }
    }

    /// Packets on the wire; for a merged packet, by the length of each UDP datagram.
    #[inline(always)]
    pub(crate) fn packets(&self) -> u64 {
        self.info.packets((ETH_LEN + IPV4_LEN + UDP_LEN) as u32)
    }

    #[inline(always)]
    fn set_len(&self, len: u32) -> Option<()> {
        // SAFETY: the context is the program's own; the kernel checks the new length.
        (unsafe { bpf_skb_change_tail(self.ctx.skb.skb, len, 0) } == 0).then_some(())
    }

    /// Removes `len` bytes behind the outer Ethernet header, which stays in front.
    #[inline(always)]
    fn remove(&self, len: usize, flags: u32) -> Option<()> {
        self.ctx.adjust_room(-(len as i32), BPF_ADJ_ROOM_MAC, flags.into()).ok()
    }
}

impl PacketCtx for Skb<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.info.len
    }

    #[inline(always)]
    fn outer(&self) -> View {
        let frame = self.reach(MAX_OUTER_LEN);
        // Extension headers may be long. They are not followed through a merged frame, which is
        // refused anyhow, and has one where it is longer than 65,535 bytes.
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
        let frame = View::from_skb(self.ctx);
        if frame.len() >= wanted as usize {
            return frame;
        }
        // If the kernel has no memory for it, bytes that are not readable count as missing.
        let _not_readable = self.ctx.pull_data(wanted);
        View::from_skb(self.ctx)
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

    /// The kernel leaves the outer Ethernet header in front, which the inner one replaces. The
    /// kernel reads the EtherType when the overlay interface receives the frame.
    #[inline(always)]
    fn strip(&self, outer: &OuterRx) -> Option<()> {
        let overhead = outer.overhead();
        let mut ethernet = [0; ETH_LEN];
        // SAFETY: points to an array on the stack.
        unsafe { self.load(overhead as u32, &raw mut ethernet) }?;
        let len = outer.inner_len();
        if outer.trailer != 0 {
            self.set_len(overhead as u32 + len)?;
        }
        // The kernel demands that the length of an IP header is left, of the family that it knows.
        let ip = if outer.family == IPV6 { IPV6_LEN } else { IPV4_LEN };
        let min_len = (ETH_LEN + ip) as u32;
        if len >= min_len {
            self.remove(overhead, 0)?;
        } else if self.remove(overhead, BPF_F_ADJ_ROOM_DECAP_L3_IPV4).is_none() {
            // No such flag before Linux 6.3 (commit d219df60a70e), or shorter than an IPv4 header.
            self.set_len(overhead as u32 + min_len)?;
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
        // The helper does not touch a partial checksum. The sum that the driver computed over the
        // packet is right again once both are written.
        self.ctx.l4_csum_replace(clamp.checksum_at, from.into(), to.into(), 2).ok()?;
        self.ctx.store(clamp.value_at, &new, 0).ok()
    }

    #[inline(always)]
    fn tag(&self, _sender: &Sender, _destination_mac: Mac) -> Result<Tagged, RxDrop> {
        Ok(Tagged::Otherwise)
    }
}
