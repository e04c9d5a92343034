//! Headers that a program composes word by word in a per-CPU element and then writes to the packet
//! in one go. Owns the element and the Ethernet header of replies, not the other headers.

use aya_ebpf::{helpers::generated::bpf_skb_store_bytes, programs::TcContext};
use vxlan_common::{
    inner::Inner,
    outer::HeaderWords,
    wire::{
        ethernet::{self, MAC_LEN},
        word,
    },
};

use crate::maps::HEADER_SCRATCH;

/// This CPU's element for headers. It still holds what was written there before.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut HeaderWords> {
    // SAFETY: points to this CPU's element of an array map, which lives as long as the map. `encap`
    // runs with softirqs off and so nothing else uses the element, and `encap` holds one reference
    // at a time; where it sends copies, and so runs within itself, it holds none.
    HEADER_SCRATCH.get_ptr_mut(0).map(|headers| unsafe { &mut *headers })
}

/// Writes the first `len` bytes to the beginning of the packet.
#[inline(always)]
pub(crate) fn store(ctx: &TcContext, headers: &HeaderWords, len: usize) -> Option<()> {
    let from = core::ptr::from_ref(headers).cast();
    // SAFETY: the helper reads `len` bytes, which the verifier proves to be within the map's
    // element; views of the packet derived before are not used again.
    let result = unsafe { bpf_skb_store_bytes(ctx.skb.skb, 0, from, len as u32, 0) };
    (result == 0).then_some(())
}

/// Writes the Ethernet header of a reply to `inner`: its MAC addresses exchanged.
#[inline(always)]
pub(crate) fn ethernet_back(inner: &Inner, words: &mut HeaderWords) {
    let (to, from) = (&inner.source_mac, &inner.destination_mac);
    let mut at = 0;
    while at < word(MAC_LEN) {
        words[word(ethernet::field::DESTINATION) + at] = to.net16(at);
        words[word(ethernet::field::SOURCE) + at] = from.net16(at);
        at += 1;
    }
    words[word(ethernet::field::ETHERTYPE)] = u16::from_ne_bytes(inner.ethertype());
}
