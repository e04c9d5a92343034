//! Remembering which member may send such a frame to this host, for packets of the same key. Owns
//! the map `RX_MEMO`; what the key is, and when an entry decides, is in `vxlan_common::table`.
//!
//! Only what the configuration and learned endpoints decide is remembered, and only of plain TCP
//! and UDP frames from one host to another. Every change of those tables raises `EPOCH`, which an
//! entry must equal. It is odd while they are being changed: nothing is remembered then.

use aya_ebpf::{Global, helpers::generated::bpf_get_smp_processor_id};
use vxlan_common::{
    inner::{FrameKind, Inner},
    table::{RxMemoEntry, RxMemoKey},
};

use crate::{
    atomic,
    maps::{EPOCH, RX_MEMO},
    policy::Sender,
    scratch::OuterRx,
};

/// Entries of each CPU, a power of two. Set by the daemon at load.
#[unsafe(no_mangle)]
static RX_MEMO_PLACES: Global<u32> = Global::new(4_096);

/// An epoch in which tables are being changed: nothing is remembered.
pub(crate) const CHANGING: u64 = 1;

/// The epoch, read before any look-up that follows, whatever the CPU's memory model: the entry that
/// is made of those look-ups can then not be taken for one of later tables.
#[inline(always)]
pub(crate) fn epoch_before_lookups() -> u64 {
    let Some(epoch) = EPOCH.get_ptr_mut(0) else { return CHANGING };
    // SAFETY: points to an aligned word of an array map, which lives as long as the map.
    unsafe { atomic::load_fenced(epoch) }
}

/// This CPU's place for a key. No other program run uses it meanwhile: `decap` runs with softirqs
/// off.
#[inline(always)]
fn place(key: &RxMemoKey) -> Option<*mut RxMemoEntry> {
    // SAFETY: reads a number.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let places = RX_MEMO_PLACES.load();
    RX_MEMO.get_ptr_mut(cpu * places + key.place(places))
}

/// The member that sends, by its index, and whether a NAT rewrote the packet's source address.
#[inline(always)]
pub(crate) fn find(key: &RxMemoKey, port: u16) -> Option<(u32, bool)> {
    let epoch: *const u64 = EPOCH.get(0)?;
    // SAFETY: points to an element of an array map, which lives as long as the map.
    let epoch = unsafe { epoch.read_volatile() };
    let entry = place(key)?;
    // SAFETY: points to an element of an array map, which lives as long as the map and is this
    // CPU's.
    let entry = unsafe { &*entry };
    entry.decides(key, port, epoch).then_some((entry.member, entry.rewritten != 0))
}

/// Remembers that a frame was accepted. `epoch`: that of [`epoch_before_lookups`].
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
