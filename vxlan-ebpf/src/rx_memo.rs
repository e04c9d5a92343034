//! Remembering which member may send such a frame to this host, for packets of the same key. Owns
//! the map `RX_MEMO`; what the key is, and when an entry decides, is in `vxlan_common::table`.
//!
//! Only plain TCP and UDP frames from one host to another are remembered, from endpoints that the
//! configuration or the daemon knows.

use vxlan_common::{
    inner::{FrameKind, Inner},
    table::{RxMemoEntry, RxMemoKey},
};

use crate::{maps::RX_MEMO, memo, policy::Sender, scratch::OuterRx};

#[inline(always)]
fn place(key: &RxMemoKey) -> Option<*mut RxMemoEntry> {
    RX_MEMO.get_ptr_mut(memo::index(|entries| key.place(entries)))
}

/// The member that sends, by its index, and whether a NAT rewrote the packet's source address.
#[inline(always)]
pub(crate) fn find(key: &RxMemoKey, port: u16) -> Option<(u32, bool)> {
    let epoch = memo::epoch();
    let entry = place(key)?;
    // SAFETY: points to an element of an array map, which lives as long as the map and is this
    // CPU's.
    let entry = unsafe { &*entry };
    entry.decides(key, port, epoch).then_some((entry.member, entry.rewritten != 0))
}

/// Remembers that a frame was accepted. `epoch`: that of [`memo::epoch_before_lookups`].
#[inline(always)]
pub(crate) fn keep(outer: &OuterRx, inner: &Inner, sender: &Sender, epoch: u64) {
    let from_host_to_host = matches!(inner.kind, FrameKind::Ip)
        && !inner.to_group()
        && !inner.to_multicast()
        && !inner.has_martian_source();
    if !from_host_to_host || epoch & 1 != 0 {
        return;
    }
    let key = RxMemoKey {
        vni: outer.vni,
        outer_family: outer.family,
        outer: outer.source,
        inner_family: inner.family,
        source: inner.source,
        destination: inner.destination,
        source_mac: inner.source_mac,
        destination_mac: inner.destination_mac,
    };
    let port = if sender.by_port { outer.source_port.into() } else { RxMemoEntry::ANY_PORT };
    if let Some(entry) = place(&key) {
        // SAFETY: as in `find`; no reference into the element exists.
        unsafe { *entry = RxMemoEntry::new(&key, epoch, port, sender.index, sender.rewritten) };
    }
}
