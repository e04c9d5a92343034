//! Learning of MAC addresses behind members, and of the inner addresses that they have.
//! Only from frames that passed every check of `decap`; outer endpoints are recorded in
//! [`nat`](crate::nat).

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

/// A MAC address stays behind its member until the member has not sent from it for so many seconds:
/// any other member can send with it as source, too.
const MOVE_HOLD: u32 = 10;

/// Learns from an accepted frame. `learned` is the member's element of `LEARNED`, `now` the
/// daemon's clock.
#[inline(always)]
pub(crate) fn learn_from(sender: &Sender, inner: &Inner, learned: *mut MemberState, now: u32) {
    learn_mac(sender, inner.source_mac, learned, now);
    match inner.kind {
        FrameKind::Arp => learn_neighbour(sender.index, &inner.source, inner.source_mac),
        FrameKind::Advertisement => learn_neighbour(sender.index, &inner.target, inner.source_mac),
        FrameKind::Ip | FrameKind::Solicitation | FrameKind::LinkControl => {}
    }
}

/// Records in `FDB` that `mac` is behind the member.
///
/// Elements of array maps live as long as the map, and those of hash maps until the program ends,
/// even if they are removed meanwhile: so the pointers below stay good. Other CPUs may write the
/// same elements, word by word. A mixture of two MAC addresses in `last` equals neither, which
/// costs a look-up, or at worst equals this one, which is then learned later; the daemon corrects a
/// count that misses one.
#[inline(always)]
fn learn_mac(sender: &Sender, mac: Mac, learned: *mut MemberState, now: u32) {
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

/// Refreshes an FDB entry, which may belong to another member.
#[inline(always)]
fn refresh(entry: *mut FdbEntry, learned: *mut MemberState, sender: &Sender, now: u32) {
    // SAFETY: `learn_mac` just got the pointers from the maps, and says why they stay good.
    unsafe {
        if (*entry).flags & FdbEntry::STATIC != 0 {
            return;
        }
        let previous = (*entry).member;
        if previous != sender.index {
            // The seconds are the daemon's: without a daemon nobody has been silent.
            if now.saturating_sub((*entry).seen) < MOVE_HOLD || is_full(learned, sender) {
                return;
            }
            // Its previous member must learn the MAC address anew when it moves back.
            if let Some(previous) = LEARNED.get_ptr_mut(previous) {
                (*previous).stations = (*previous).stations.wrapping_sub(1);
                (*previous).last = Mac::ZERO;
            }
            (*learned).stations = (*learned).stations.wrapping_add(1);
            (*entry).member = sender.index;
        }
        (*entry).seen = now;
    }
}

/// Adds an FDB entry for a MAC address that has none.
#[inline(always)]
fn insert(key: &FdbKey, learned: *mut MemberState, sender: &Sender, now: u32) {
    /// `BPF_NOEXIST`.
    const ONLY_IF_NEW: u64 = 1;
    let entry = FdbEntry { member: sender.index, flags: 0, seen: now };
    if !is_full(learned, sender) && FDB.insert(key, entry, ONLY_IF_NEW).is_ok() {
        // SAFETY: see `learn_mac`.
        unsafe { (*learned).stations = (*learned).stations.wrapping_add(1) };
    }
}

/// The member has as many learned MAC addresses as it may have.
#[inline(always)]
fn is_full(learned: *mut MemberState, sender: &Sender) -> bool {
    let forgotten = FORGOTTEN.get(sender.index).copied().unwrap_or(0);
    // SAFETY: see `learn_mac`.
    let count = unsafe { (*learned).stations }.wrapping_sub(forgotten);
    // The daemon's count of removed entries may run ahead of ours for a moment: the difference is
    // then negative, which means none, not very many.
    count as i64 >= i64::from(sender.member.max_stations)
}

/// Records the MAC address of an inner address. Frames of this kind are few enough for a clock read
/// and an update.
#[inline(always)]
fn learn_neighbour(member: u32, address: &Address, mac: Mac) {
    // An address probe.
    if address.equals(&Address::ZERO) {
        return;
    }
    let key = NeighbourKey::for_address(member, address);
    // SAFETY: reads the clock.
    let seen = unsafe { bpf_ktime_get_ns() };
    let _full = NEIGHBOURS.insert(key, Neighbour { address: *address, mac, seen }, 0);
}
