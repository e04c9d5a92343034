//! What a generation inherits from the previous one before its programs are attached: MAC
//! addresses, neighbours, and what was learned from each member's packets.

use std::collections::HashMap;

use aya::maps::MapError;
use vxlan_common::table::{FdbEntry, FdbKey, MemberState, Neighbour, NeighbourKey};

use super::{
    error::DataPlaneError,
    loader::DataPlane,
    previous::PreviousGeneration,
    tables::{with_array, with_hash},
};
use crate::plan::Plan;

/// `BPF_NOEXIST` of include/uapi/linux/bpf.h.
const NO_EXIST: u64 = 1;

impl DataPlane {
    /// Copies what still applies under `plan`. Must be called after [`Self::fill`] and before
    /// anything is attached.
    ///
    /// The last MAC address of each member is read before the FDB, so that it never names an
    /// address that was not copied: `decap` would not learn that address again.
    pub fn inherit(
        &mut self,
        previous: &PreviousGeneration,
        plan: &Plan,
    ) -> Result<(), DataPlaneError> {
        let members = previous.generation().names.members_in(&plan.names);
        let same = |member: u32| members.get(member as usize).copied().flatten();
        let mut learned = Vec::new();
        for old in 0..members.len() as u32 {
            if let (Some(new), Some(of)) = (same(old), previous.learned(old)?) {
                learned.push((new, of));
            }
        }
        let entries = previous.mac_entries()?.into_iter().filter(|entry| !entry.is_static);
        let entries = entries.filter_map(|entry| {
            let member = same(entry.member)?;
            let on = plan.members.get(member as usize)?;
            let network = plan.networks.get(on.network as usize)?;
            let key =
                FdbKey { ifindex: entry.ifindex, mac: vxlan_common::addr::Mac::new(entry.mac) };
            let value = FdbEntry { member, flags: 0, seen: entry.seen };
            (network.ifindex == entry.ifindex).then_some((key, value, on.max_stations))
        });
        let counts = self.insert_mac_entries(entries)?;
        with_array(&mut self.bpf, "LEARNED", |table| {
            learned.iter().try_for_each(|(member, of)| {
                let stations = counts.get(member).copied().unwrap_or(0);
                table.set(*member, MemberState { stations, ..*of }, 0)
            })
        })?;
        let neighbours = previous.neighbours()?.into_iter().filter_map(|(key, neighbour)| {
            Some((NeighbourKey { member: same(key.member)?, ..key }, neighbour))
        });
        with_hash(&mut self.bpf, "NEIGHBOURS", |table| {
            for (key, neighbour) in neighbours {
                let neighbour: Neighbour = neighbour;
                if table.insert(key, neighbour, 0).is_err() {
                    // Full. The neighbours will be seen again.
                    break;
                }
            }
            Ok(())
        })
    }

    /// Inserts MAC addresses, each with the limit of its member, and returns how many went in by
    /// member.
    fn insert_mac_entries(
        &mut self,
        entries: impl Iterator<Item = (FdbKey, FdbEntry, u32)>,
    ) -> Result<HashMap<u32, u64>, DataPlaneError> {
        let mut counts: HashMap<u32, u64> = HashMap::new();
        with_hash(&mut self.bpf, "FDB", |table| {
            for (key, entry, max) in entries {
                let count = counts.entry(entry.member).or_default();
                if *count >= u64::from(max) {
                    continue;
                }
                match table.insert(key, entry, NO_EXIST) {
                    Ok(()) => *count += 1,
                    Err(MapError::SyscallError(error))
                        if error.io_error.raw_os_error() == Some(libc::EEXIST) => {}
                    // Full. The addresses will be learned again, as far as there is room.
                    Err(_) => break,
                }
            }
            Ok(counts)
        })
    }
}
