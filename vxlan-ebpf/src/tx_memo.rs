//! Remembering which member owns a destination, and the path to it. Owns the map `TX_MEMO`; what
//! the key is, and when an entry decides, is in `vxlan_common::table`.
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

/// Where the decision about a frame is, if it is remembered.
#[inline(always)]
fn place(key: &TxMemoKey) -> Option<&'static mut TxMemoEntry> {
    let entry = TX_MEMO.get_ptr_mut(memo::index(|entries| key.place(entries)))?;
    // SAFETY: points to an element of an array map, which lives as long as the map and is this
    // CPU's; `encap` holds one reference at a time, and runs within itself only for copies, whose
    // member is known and not looked for here.
    Some(unsafe { &mut *entry })
}

/// The entry that decides about a frame.
#[inline(always)]
pub(crate) fn entry(key: &TxMemoKey) -> Option<&'static mut TxMemoEntry> {
    let epoch = memo::epoch();
    place(key).filter(|entry| entry.decides(key, epoch))
}

/// The member that owns the destination.
#[inline(always)]
pub(crate) fn find(key: &TxMemoKey) -> Option<u32> {
    entry(key).map(|entry| entry.member)
}

/// Remembers an owner. `epoch`: that of [`memo::epoch_before_lookups`].
#[inline(always)]
pub(crate) fn keep(key: &TxMemoKey, member: u32, epoch: u64) {
    if epoch & 1 == 0
        && let Some(entry) = place(key)
    {
        entry.remember(key, epoch, member);
    }
}
