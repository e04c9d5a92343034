//! Learning which station is behind which member, and who has which address there. Only from frames
//! that passed every check of `decap`.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use vxlan_common::{
    addr::{Address, Mac},
    inner::{FrameKind, Inner},
    table::{FdbEntry, FdbKey, MemberState, Neighbour, NeighbourKey},
};

use crate::{
    maps::{FDB, FORGOTTEN, LEARNED, NEIGHBOURS},
    policy::Sender,
};

/// Notes what an accepted frame tells. `learned` is the member's element of `LEARNED`, `now` the
/// daemon's clock.
#[inline(always)]
pub(crate) fn from(sender: &Sender, inner: &Inner, learned: *mut MemberState, now: u32) {
    station(sender, inner.source_mac, learned, now);
    match inner.kind {
        FrameKind::Arp => neighbour(sender.index, &inner.source, inner.source_mac),
        FrameKind::Advertisement => neighbour(sender.index, &inner.target, inner.source_mac),
        FrameKind::Ip | FrameKind::Solicitation | FrameKind::LinkControl => {}
    }
}

/// Notes that `mac` is behind the member.
///
/// Elements of array maps live as long as the map, and those of hash maps until the program ends,
/// even if they are removed meanwhile: so the pointers below stay good. Other CPUs may write the
/// same elements, word by word. A mixture of two stations in `last` is taken for neither, at the
/// cost of a lookup, or at worst for this one, which is then learned later; and a count that misses
/// one is put right by the daemon.
#[inline(always)]
fn station(sender: &Sender, mac: Mac, learned: *mut MemberState, now: u32) {
    // SAFETY: see above; words are copied out.
    if unsafe { (*learned).last.equals(&mac) && (*learned).seen == now } {
        return;
    }
    let key = FdbKey { ifindex: sender.network.ifindex, mac };
    match FDB.get_ptr_mut(key) {
        Some(entry) => refresh(entry, learned, sender, now),
        None => insert(&key, learned, sender, now),
    }
    // SAFETY: see above.
    unsafe {
        (*learned).last = mac;
        (*learned).seen = now;
    }
}

/// A station that is known, perhaps as another member's.
#[inline(always)]
fn refresh(entry: *mut FdbEntry, learned: *mut MemberState, sender: &Sender, now: u32) {
    // SAFETY: `station` just got the pointers from the maps, and says why they stay good.
    unsafe {
        if (*entry).flags & FdbEntry::STATIC != 0 {
            return;
        }
        let former = (*entry).member;
        if former != sender.index {
            if full(learned, sender) {
                return;
            }
            // Its former member must learn it anew when it moves back.
            if let Some(former) = LEARNED.get_ptr_mut(former) {
                (*former).stations = (*former).stations.wrapping_sub(1);
                (*former).last = Mac::ZERO;
            }
            (*learned).stations = (*learned).stations.wrapping_add(1);
            (*entry).member = sender.index;
        }
        (*entry).seen = now;
    }
}

/// A station that nobody knew.
#[inline(always)]
fn insert(key: &FdbKey, learned: *mut MemberState, sender: &Sender, now: u32) {
    const ONLY_IF_NEW: u64 = 1;
    let entry = FdbEntry { member: sender.index, flags: 0, seen: now };
    if !full(learned, sender) && FDB.insert(key, entry, ONLY_IF_NEW).is_ok() {
        // SAFETY: see `station`.
        unsafe { (*learned).stations = (*learned).stations.wrapping_add(1) };
    }
}

/// Has the member as many stations as it may have?
#[inline(always)]
fn full(learned: *mut MemberState, sender: &Sender) -> bool {
    let forgotten = FORGOTTEN.get(sender.index).copied().unwrap_or(0);
    // SAFETY: see `station`.
    let stations = unsafe { (*learned).stations }.wrapping_sub(forgotten);
    // The daemon's count may run ahead of ours for a moment: that is no station, not very many.
    stations as i64 >= i64::from(sender.member.max_stations)
}

/// Notes who has an address. Frames of this kind are few enough for a clock read and an update.
#[inline(always)]
fn neighbour(member: u32, address: &Address, mac: Mac) {
    let key = NeighbourKey::for_address(member, address);
    // SAFETY: reads the clock.
    let seen = unsafe { bpf_ktime_get_ns() };
    let _full = NEIGHBOURS.insert(key, Neighbour { address: *address, mac, seen }, 0);
}
