//! What the two memories of decisions share: the epoch that an entry must be of, and where this
//! CPU's entries are. What is remembered is in [`rx_memo`](crate::rx_memo) and
//! [`tx_memo`](crate::tx_memo).
//!
//! Only what the configuration and learned endpoints decide is remembered. Every change of those
//! tables raises `EPOCH`. It is odd while they are being changed: nothing is remembered then.

use aya_ebpf::{Global, helpers::generated::bpf_get_smp_processor_id};

use crate::{
    atomic,
    maps::{EPOCH, FENCE},
};

/// Entries of each CPU, a power of two. Set by the daemon at load.
#[unsafe(no_mangle)]
static MEMO_ENTRIES: Global<u32> = Global::new(4_096);

/// An epoch in which tables are being changed: nothing is remembered.
pub(crate) const CHANGING: u64 = 1;

/// The epoch that an entry must be of.
#[inline(always)]
pub(crate) fn epoch() -> u64 {
    let Some(epoch) = EPOCH.get(0) else { return CHANGING };
    let epoch: *const u64 = epoch;
    // SAFETY: points to an element of an array map, which lives as long as the map.
    unsafe { epoch.read_volatile() }
}

/// The epoch, read before any look-up that follows, whatever the CPU's memory model: the entry that
/// is made of those look-ups can then not be taken for one of later tables.
#[inline(always)]
pub(crate) fn epoch_before_lookups() -> u64 {
    let epoch = epoch();
    let Some(own) = FENCE.get_ptr_mut(0) else { return CHANGING };
    // SAFETY: points to an aligned word of a per-CPU array, which lives as long as the map.
    unsafe { atomic::fence(own) };
    epoch
}

/// The index of this CPU's entry at a place that is chosen among so many. No other program run uses
/// it meanwhile: programs run with softirqs off, and each hook has entries of its own.
#[inline(always)]
pub(crate) fn index(place: impl FnOnce(u32) -> u32) -> u32 {
    // SAFETY: reads a number.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let entries = MEMO_ENTRIES.load();
    cpu * entries + place(entries)
}
