//! What a generation takes over from its predecessor before it is at work: stations, neighbours, and what
//! was learned from each member's packets.

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
    /// Copies what still applies under `plan`. To be called when it is filled and not attached yet.
    ///
    /// What a member was heard by last is read before the stations, so it never names one that was not
    /// copied: that one would not be learned again.
    pub fn inherit(
        &mut self,
        former: &PreviousGeneration,
        plan: &Plan,
    ) -> Result<(), DataPlaneError> {
        let members = former.generation().names.members_in(&plan.names);
        let same = |member: u32| members.get(member as usize).copied().flatten();
        let mut learned = Vec::new();
        for old in 0..members.len() as u32 {
            if let (Some(new), Some(of)) = (same(old), former.learned(old)?) {
                learned.push((new, of));
            }
        }
        let stations = former.mac_entries()?.into_iter().filter(|station| !station.is_static);
        let stations = stations.filter_map(|station| {
            let member = same(station.member)?;
            let on = plan.members.get(member as usize)?;
            let network = plan.networks.get(on.network as usize)?;
            let key =
                FdbKey { ifindex: station.ifindex, mac: vxlan_common::addr::Mac::new(station.mac) };
            let entry = FdbEntry { member, flags: 0, seen: station.seen };
            (network.ifindex == station.ifindex).then_some((key, entry, on.max_stations))
        });
        let counts = self.take_stations(stations)?;
        with_array(&mut self.bpf, "LEARNED", |table| {
            learned.iter().try_for_each(|(member, of)| {
                let stations = counts.get(member).copied().unwrap_or(0);
                table.set(*member, MemberState { stations, ..*of }, 0)
            })
        })?;
        let neighbours = former.neighbours()?.into_iter().filter_map(|(key, neighbour)| {
            Some((NeighbourKey { member: same(key.member)?, ..key }, neighbour))
        });
        with_hash(&mut self.bpf, "NEIGHBOURS", |table| {
            for (key, neighbour) in neighbours {
                let neighbour: Neighbour = neighbour;
                if table.insert(key, neighbour, 0).is_err() {
                    // Full. They are heard again.
                    break;
                }
            }
            Ok(())
        })
    }

    /// How many went in, by member.
    fn take_stations(
        &mut self,
        stations: impl Iterator<Item = (FdbKey, FdbEntry, u32)>,
    ) -> Result<HashMap<u32, u64>, DataPlaneError> {
        let mut counts: HashMap<u32, u64> = HashMap::new();
        with_hash(&mut self.bpf, "FDB", |table| {
            for (key, entry, most) in stations {
                let count = counts.entry(entry.member).or_default();
                if *count >= u64::from(most) {
                    continue;
                }
                match table.insert(key, entry, NO_EXIST) {
                    Ok(()) => *count += 1,
                    Err(MapError::SyscallError(error))
                        if error.io_error.raw_os_error() == Some(libc::EEXIST) => {}
                    // Full. They are learned again, as far as there is room.
                    Err(_) => break,
                }
            }
            Ok(counts)
        })
    }
}
