//! The only bounds check and the only pointer casts into packets and their contexts.
//!
//! Values are copied out and in: no reference into a packet exists, so none can outlive a helper
//! that moves it. A [`View`] goes stale with such a helper; derive a new one.

use aya_ebpf::{
    helpers::generated::bpf_csum_diff,
    programs::{TcContext, XdpContext},
};
use vxlan_common::{
    bytes::{Bytes, HeaderWindow},
    table::FrameTag,
};

/// The readable bytes of a packet.
pub(crate) struct View {
    start: usize,
    end: usize,
}

impl View {
    /// The whole frame.
    #[inline(always)]
    pub(crate) fn from_xdp(ctx: &XdpContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end() }
    }

    /// The XDP metadata in front of the frame.
    #[inline(always)]
    pub(crate) fn from_xdp_metadata(ctx: &XdpContext) -> Self {
        Self { start: ctx.metadata(), end: ctx.metadata_end() }
    }

    /// The linear part of the frame.
    #[inline(always)]
    pub(crate) fn from_skb(ctx: &TcContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end() }
    }

    /// The XDP metadata that came with the frame.
    #[inline(always)]
    pub(crate) fn from_skb_metadata(ctx: &TcContext) -> Self {
        // SAFETY: the kernel hands the program a valid `__sk_buff`; the verifier rewrites this
        // load.
        let start = unsafe { (*ctx.skb.skb).data_meta } as usize;
        Self { start, end: ctx.data() }
    }

    /// Length in bytes.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// The address of `size` bytes at `offset`, if they lie inside.
    #[inline(always)]
    fn at(&self, offset: usize, size: usize) -> Option<usize> {
        let address = self.start + offset;
        (address + size <= self.end).then_some(address)
    }

    /// Adds `N` bytes at `offset`, a multiple of four up to 512, to an Internet checksum that is
    /// not folded yet. The words are in host order.
    #[inline(always)]
    pub(crate) fn add_to_checksum<const N: u32>(&self, offset: usize, sum: u32) -> Option<u32> {
        let address = self.at(offset, N as usize)?;
        // SAFETY: `at` proved that N bytes are there, and the helper reads no more than that.
        let sum = unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, address as *mut _, N, sum) };
        Some(sum as u32)
    }

    /// The tag at the start.
    #[inline(always)]
    pub(crate) fn tag(&self) -> Option<FrameTag> {
        let address = self.at(0, size_of::<FrameTag>())?;
        // SAFETY: `at` proved that the bytes are inside, and the kernel aligns metadata to four
        // bytes; `FrameTag` has no padding and no invalid values.
        Some(unsafe { *(address as *const FrameTag) })
    }

    /// Writes the tag at the start. XDP only: in TC a direct write would have the kernel reallocate
    /// a cloned packet before the program runs, which loses the metadata.
    #[inline(always)]
    pub(crate) fn set_tag(&self, tag: &FrameTag) -> Option<()> {
        let address = self.at(0, size_of::<FrameTag>())?;
        // SAFETY: as in `tag`; the verifier allows XDP programs to write to metadata and packet.
        unsafe { *(address as *mut FrameTag) = *tag };
        Some(())
    }

    /// Writes `bytes` at `offset`. XDP only, see [`Self::set_tag`].
    #[inline(always)]
    pub(crate) fn set<const N: usize>(&self, offset: usize, bytes: [u8; N]) -> Option<()> {
        let address = self.at(offset, N)?;
        // SAFETY: as in `set_tag`; a byte array has alignment 1.
        unsafe { *(address as *mut [u8; N]) = bytes };
        Some(())
    }
}

impl Bytes for View {
    type Window<const N: usize> = PacketWindow<N>;

    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<PacketWindow<N>> {
        self.at(offset, N).map(PacketWindow)
    }

    #[inline(always)]
    fn unknown_zero(&self) -> usize {
        self.len() >> 32
    }
}

/// Address of `N` bytes that [`View`] proved to be inside the packet.
///
/// Words are loaded whole, which needs unaligned access in BPF: x86-64 has it
/// (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`), and the verifier refuses the load where it is
/// missing.
#[derive(Clone, Copy)]
pub(crate) struct PacketWindow<const N: usize>(usize);

impl<const N: usize> PacketWindow<N> {
    #[inline(always)]
    fn load<T: Copy>(self, at: usize) -> T {
        // SAFETY: callers below pass an integer type and an offset that `HeaderWindow` promises to
        // lie with it inside the N bytes; the verifier checks the same again for every load. The
        // address may be aligned to two bytes only. Rust's rules ask for more; on this target a
        // load is one BPF instruction whatever the alignment, and `read_unaligned` would be one for
        // every byte.
        unsafe { *((self.0 + at) as *const T) }
    }
}

impl<const N: usize> PacketWindow<N> {
    /// Writes two bytes at the even or odd constant `at`. XDP only, see [`View::set_tag`].
    #[inline(always)]
    pub(crate) fn set2(self, at: usize, bytes: [u8; 2]) {
        // SAFETY: as in `load`, of an offset that lies inside; XDP programs may write to the
        // packet.
        unsafe { *((self.0 + at) as *mut [u8; 2]) = bytes };
    }
}

impl<const N: usize> HeaderWindow for PacketWindow<N> {
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.load(at)
    }

    #[inline(always)]
    fn be_bytes2(&self, at: usize) -> [u8; 2] {
        self.load::<u16>(at).to_ne_bytes()
    }

    #[inline(always)]
    fn be_bytes4(&self, at: usize) -> [u8; 4] {
        self.load::<u32>(at).to_ne_bytes()
    }
}

/// What the kernel records of a packet beside its bytes.
#[derive(Clone, Copy)]
pub(crate) struct SkbInfo {
    /// Bytes, linear or not, from the Ethernet header on.
    pub(crate) len: u32,
    /// Interface whose hook runs.
    pub(crate) ifindex: u32,
    /// The packet has a VLAN tag, which the kernel holds outside of the bytes.
    pub(crate) vlan: bool,
    /// Payload bytes of each segment; 0 for a packet that is not GSO.
    pub(crate) gso_size: u32,
    /// Segments; 0 if whoever made the packet did not count them.
    pub(crate) gso_segs: u32,
}

impl SkbInfo {
    #[inline(always)]
    pub(crate) fn from_skb(ctx: &TcContext) -> Self {
        // SAFETY: the kernel hands the program a valid `__sk_buff`; the verifier rewrites each
        // load.
        let skb = unsafe { &*ctx.skb.skb };
        Self {
            len: skb.len,
            ifindex: skb.ifindex,
            vlan: skb.vlan_present != 0,
            gso_size: skb.gso_size,
            gso_segs: skb.gso_segs,
        }
    }

    /// Packets on the wire, where each segment repeats `headers` bytes.
    #[inline(always)]
    pub(crate) fn packets(&self, headers: u32) -> u64 {
        if self.gso_size == 0 {
            return 1;
        }
        if self.gso_segs != 0 {
            return u64::from(self.gso_segs);
        }
        // A frame of a guest or a tap device: the kernel counts segments only when it makes them.
        let payload = self.len.saturating_sub(headers);
        u64::from(payload.div_ceil(self.gso_size)).max(1)
    }

    /// Bytes on the wire, with the headers of every segment.
    #[inline(always)]
    pub(crate) fn bytes(&self, headers: u32) -> u64 {
        u64::from(self.len) + (self.packets(headers) - 1) * u64::from(headers)
    }
}
