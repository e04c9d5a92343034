//! Receive in XDP: the frame lies in one piece and is written in place. What passes is tagged, so
//! that [`deliver`](crate::deliver) recognises it in TC.

use aya_ebpf::{
    helpers::generated::{
        bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail, bpf_xdp_load_bytes,
    },
    programs::XdpContext,
};
use vxlan_common::{
    addr::Mac,
    bytes::{Bytes as _, HeaderWindow as _},
    mss::MssClamp,
    reason::RxDrop,
    table::{Cast, FrameTag, GlobalSettings, TAG_AUTO, TAG_MAC},
    wire::ethernet,
};

use crate::{
    maps::SETTINGS,
    packet::View,
    packet_ctx::{PacketCtx, Tagged},
    policy::Sender,
    scratch::OuterRx,
};

impl PacketCtx for XdpContext {
    #[inline(always)]
    fn len(&self) -> u32 {
        View::from_xdp(self).len() as u32
    }

    #[inline(always)]
    fn outer(&self) -> View {
        View::from_xdp(self)
    }

    #[inline(always)]
    fn reach(&self, _len: u32) -> View {
        View::from_xdp(self)
    }

    /// XDP in the driver runs before packets are merged, and generic XDP cannot see that they were.
    #[inline(always)]
    fn is_merged(&self) -> bool {
        false
    }

    #[inline(always)]
    unsafe fn load<const N: usize>(&self, at: u32, to: *mut [u8; N]) -> Option<()> {
        // SAFETY: the context is the program's own, and the caller vouches for `to`.
        (unsafe { bpf_xdp_load_bytes(self.ctx, at, to.cast(), N as u32) } == 0).then_some(())
    }

    #[inline(always)]
    fn strip(&self, outer: &OuterRx) -> Option<()> {
        if outer.trailer != 0 {
            // SAFETY: the context is the program's own; the kernel checks the new length.
            let result = unsafe { bpf_xdp_adjust_tail(self.ctx, -(outer.trailer as i32)) };
            if result != 0 {
                return None;
            }
        }
        // SAFETY: as above.
        (unsafe { bpf_xdp_adjust_head(self.ctx, outer.overhead() as i32) } == 0).then_some(())
    }

    #[inline(always)]
    fn set<const N: usize>(&self, at: usize, bytes: [u8; N]) -> Option<()> {
        View::from_xdp(self).set(at, bytes)
    }

    #[inline(always)]
    fn clamp(&self, clamp: &MssClamp) -> Option<()> {
        let frame = View::from_xdp(self);
        let checksum = frame.window::<2>(clamp.checksum_at)?;
        checksum.set2(0, clamp.checksum(checksum.be16(0)).to_be_bytes());
        frame.window::<2>(clamp.value_at)?.set2(0, clamp.new.to_be_bytes());
        Some(())
    }

    #[inline(always)]
    fn tag(&self, sender: &Sender, destination_mac: Mac) -> Result<Tagged, RxDrop> {
        // Copied out: the entry may be written below.
        let Some(&GlobalSettings { tag, secret, .. }) = SETTINGS.get(0) else {
            return Err(RxDrop::NoHeadroom);
        };
        if tag == TAG_MAC {
            return tag_mac(self, sender, destination_mac);
        }
        // SAFETY: the context is the program's own; the kernel checks the headroom.
        if unsafe { bpf_xdp_adjust_meta(self.ctx, -(size_of::<FrameTag>() as i32)) } != 0 {
            if tag != TAG_AUTO {
                return Err(RxDrop::NoHeadroom);
            }
            if let Some(settings) = SETTINGS.get_ptr_mut(0) {
                // SAFETY: points into an array map, which is never freed while the program runs,
                // and no reference into it is used any more. One byte is written, and every CPU
                // that gets here writes the same.
                unsafe { (*settings).tag = TAG_MAC };
            }
            return tag_mac(self, sender, destination_mac);
        }
        let mut slot = sender.member.slot;
        if destination_mac.is_group() {
            // Should a program of somebody else keep the frame from `deliver`, the stack of the
            // underlay must not take it for its own.
            let [first, second, ..] = destination_mac.octets();
            slot = FrameTag::to_group(slot, first);
            let bytes = [FrameTag::NO_STATION, second];
            let frame = View::from_xdp(self);
            frame.set(ethernet::field::DESTINATION, bytes).ok_or(RxDrop::NoHeadroom)?;
        }
        let tag = FrameTag { secret, ifindex: sender.network.ifindex, slot };
        View::from_xdp_metadata(self).set_tag(&tag).ok_or(RxDrop::NoHeadroom)?;
        Ok(Tagged::Metadata)
    }
}

/// Replaces the destination MAC by the member's secret one.
#[inline(always)]
fn tag_mac(ctx: &XdpContext, sender: &Sender, destination_mac: Mac) -> Result<Tagged, RxDrop> {
    let cast = if !destination_mac.is_group() {
        // The secret stands for this host's own address: there is no room for a station's.
        if !destination_mac.equals(&sender.network.mac) {
            return Err(RxDrop::NoHeadroom);
        }
        Cast::Unicast
    } else if destination_mac.equals(&Mac::BROADCAST) {
        Cast::Broadcast
    } else {
        Cast::Multicast
    };
    let secret = sender.member.tag;
    let secret = secret.with_last(secret.last() | cast as u8);
    let bytes = secret.octets();
    View::from_xdp(ctx).set(ethernet::field::DESTINATION, bytes).ok_or(RxDrop::NoHeadroom)?;
    Ok(Tagged::Otherwise)
}
