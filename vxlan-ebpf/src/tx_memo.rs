//! Remembering which member owns a destination. Owns the map `TX_MEMO`; what the key is, and when
//! an entry decides, is in `vxlan_common::table`.
//!
//! Only frames from one host to another, and only owners by prefix, whom no FDB entry overrules:
//! nothing that is learned from frames is remembered here.

use vxlan_common::{
    inner::{FrameKind, Inner},
    table::{TxMemoEntry, TxMemoKey},
};

use crate::{maps::TX_MEMO, memo};

/// The key of a frame from one host to another. `None`: any other frame.
#[inline(always)]
pub(crate) fn key(ifindex: u32, inner: &Inner) -> Option<TxMemoKey> {
    (matches!(inner.kind, FrameKind::Ip) && !inner.to_group()).then_some(TxMemoKey {
        ifindex,
        family: inner.family,
        destination: inner.destination,
    })
}

#[inline(always)]
fn entry(key: &TxMemoKey) -> Option<*mut TxMemoEntry> {
    TX_MEMO.get_ptr_mut(memo::index(|entries| key.place(entries)))
}

/// The member that owns the destination.
#[inline(always)]
pub(crate) fn find(key: &TxMemoKey) -> Option<u32> {
    let epoch = memo::epoch();
    // SAFETY: points to an element of an array map, which lives as long as the map and is this
    // CPU's.
    let entry = unsafe { &*entry(key)? };
    entry.decides(key, epoch).then_some(entry.member)
}

/// Remembers an owner. `epoch`: that of [`memo::epoch_before_lookups`].
#[inline(always)]
pub(crate) fn keep(key: &TxMemoKey, member: u32, epoch: u64) {
    if epoch & 1 == 0
        && let Some(entry) = entry(key)
    {
        // SAFETY: as in `find`; no reference into the element exists.
        unsafe { *entry = TxMemoEntry::new(key, epoch, member) };
    }
}
