//! Learning which station is behind which member. Only from frames that passed every check.

use vxlan_common::{
    addr::Mac,
    table::{FdbEntry, FdbKey},
};

use crate::maps::{FDB, LAST_STATION};

/// Notes that `mac`, on the overlay interface `ifindex`, is behind `member`.
#[inline(always)]
pub(crate) fn station(ifindex: u32, member: u32, mac: Mac) {
    let Some(last) = LAST_STATION.get_ptr_mut(member) else { return };
    // SAFETY: points to an element of an array map, which is never freed while the program runs.
    // Another CPU may write it at the same time, in two words: a mixture of two stations is taken for
    // neither, at the cost of a lookup, or at worst for the one here, which is then learned later.
    if unsafe { *last }.is(&mac) {
        return;
    }
    let key = FdbKey { ifindex, mac };
    // SAFETY: the value is copied out at once; an update that races with it yields the old or the
    // new entry, as both are written whole by the hash map.
    let known = unsafe { FDB.get(key) }.copied();
    match known {
        Some(entry) if entry.flags & FdbEntry::STATIC != 0 || entry.member == member => {}
        Some(entry) => {
            // The station moved: its former member must learn it anew when it moves back.
            if let Some(former) = LAST_STATION.get_ptr_mut(entry.member) {
                // SAFETY: as above.
                unsafe { *former = Mac::ZERO };
            }
            let _full = FDB.insert(key, FdbEntry { member, flags: 0 }, 0);
        }
        None => {
            let _full = FDB.insert(key, FdbEntry { member, flags: 0 }, 0);
        }
    }
    // SAFETY: as above.
    unsafe { *last = mac };
}
