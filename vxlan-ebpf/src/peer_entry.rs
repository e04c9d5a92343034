//! Reads of a peer's entry in `PEERS`. The daemon changes entries under traffic, and the kernel
//! copies an element byte by byte: so each peer has two elements. The daemon writes the inactive
//! one, and then increments the version, which says which one is active.

use vxlan_common::table::{PeerEntry, active_element};

use crate::maps::{PEER_SNAPSHOT, PEERS, VERSIONS};

/// Attempts at a consistent copy. An attempt fails only if the daemon changes the entry meanwhile,
/// which never happens so many times in a row.
const ATTEMPTS: usize = 3;
const WORDS: usize = size_of::<PeerEntry>() / size_of::<u64>();
const _: () = assert!(size_of::<PeerEntry>() == WORDS * size_of::<u64>());

/// The active element in place. Each field by itself is right; of two fields one may be older.
#[inline(always)]
pub(crate) fn peek(peer: u32) -> Option<&'static PeerEntry> {
    let version = *VERSIONS.get(peer)?;
    PEERS.get(active_element(peer, version))
}

/// The number of changes of a peer's entry.
#[inline(always)]
pub(crate) fn version(peer: u32) -> Option<u32> {
    let version: *const u32 = VERSIONS.get(peer)?;
    // SAFETY: points to an element of an array map, which lives as long as the map.
    Some(unsafe { version.read_volatile() })
}

/// A consistent copy of the active element, and the version that it is of. It lasts until the next
/// call on this CPU.
///
/// The daemon writes an element only after the version has moved on from it: if the version is
/// still the same after the copy, the element was not written to meanwhile. Loads are kept in order
/// by the compiler, as they are volatile, and by x86; elsewhere they would have to be delayed by
/// more than a system call.
#[inline(always)]
pub(crate) fn snapshot(peer: u32) -> Option<(&'static PeerEntry, u32)> {
    let version: *const u32 = VERSIONS.get(peer)?;
    let copy = PEER_SNAPSHOT.get_ptr_mut(0)?;
    let mut attempts = 0;
    while attempts < ATTEMPTS {
        // SAFETY: points to an element of an array map, which lives as long as the map.
        let before = unsafe { version.read_volatile() };
        let from: *const u64 = core::ptr::from_ref(PEERS.get(active_element(peer, before))?).cast();
        let mut at = 0;
        while at < WORDS {
            // SAFETY: both point to elements of maps that are as long as `WORDS` words and aligned
            // to eight bytes, like every value of an array map; this CPU alone uses the copy.
            unsafe { copy.cast::<u64>().add(at).write(from.add(at).read_volatile()) };
            at += 1;
        }
        // SAFETY: as above.
        if unsafe { version.read_volatile() } == before {
            // SAFETY: as above; the next reference is made when this one is not used any more.
            return Some((unsafe { &*copy }, before));
        }
        attempts += 1;
    }
    None
}
