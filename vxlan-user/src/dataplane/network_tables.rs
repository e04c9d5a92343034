//! Moving a network to another overlay interface while the programs run: what has the index of the
//! interface in it follows.

use aya::{Ebpf, maps::MapError};
use vxlan_common::table::{FdbEntry, FdbKey};

use super::{
    error::DataPlaneError,
    loader::DataPlane,
    memo,
    tables::{hash, remove, with_array, with_hash},
};
use crate::plan::Plan;

impl DataPlane {
    /// Writes what the plan has of a network's overlay interface: its index and its MAC address.
    /// `old_ifindex` is the index that the maps have. MAC addresses that were learned stay known.
    pub fn move_network(
        &mut self,
        plan: &Plan,
        index: usize,
        old_ifindex: u32,
    ) -> Result<(), DataPlaneError> {
        memo::changing(&mut self.bpf, |bpf| move_network(bpf, plan, index, old_ifindex))
    }
}

fn move_network(
    bpf: &mut Ebpf,
    plan: &Plan,
    index: usize,
    old_ifindex: u32,
) -> Result<(), DataPlaneError> {
    let Some(network) = plan.networks.get(index) else { return Ok(()) };
    let number = index as u32;
    let moves = network.ifindex != old_ifindex;
    if moves {
        move_fdb(bpf, old_ifindex, network.ifindex)?;
    }
    hash(bpf, "NETWORK_BY_IFINDEX", [(network.ifindex, number)].into_iter())?;
    with_array(bpf, "NETWORKS", |networks| networks.set(number, *network, 0))?;
    let tags = plan.tags.iter().zip(&plan.members);
    let tags = tags.filter(|(_, member)| member.network == number).map(|(tag, _)| *tag);
    hash(bpf, "TAGS", tags.collect::<Vec<_>>().into_iter())?;
    if moves {
        remove::<u32, u32>(bpf, "NETWORK_BY_IFINDEX", &old_ifindex)?;
    }
    Ok(())
}

fn move_fdb(bpf: &mut Ebpf, old: u32, new: u32) -> Result<(), DataPlaneError> {
    with_hash(bpf, "FDB", |fdb| {
        let all: Result<Vec<(FdbKey, FdbEntry)>, MapError> = fdb.iter().collect();
        for (key, entry) in all?.into_iter().filter(|(key, _)| key.ifindex == old) {
            // In this order a full table has room for the entry.
            fdb.remove(&key)?;
            fdb.insert(FdbKey { ifindex: new, ..key }, entry, 0)?;
        }
        Ok(())
    })
}
