//! The names behind the indices of a plan: of counter slots, peers, networks and members. They are
//! kept with the maps, so that the contents can be attributed under another configuration.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// What a counter slot stands for: a peer, a network, a peer in a network, or
/// [`SlotOwner::UNATTRIBUTED`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotOwner {
    pub peer: Option<String>,
    pub vni: Option<u32>,
}

impl SlotOwner {
    /// The owner of slot 0: packets that cannot be attributed to a peer or a network.
    pub const UNATTRIBUTED: Self = Self { peer: None, vni: None };
}

/// Names by index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// `None`: the slot has no owner at present.
    pub slots: Vec<Option<SlotOwner>>,
    pub peers: Vec<String>,
    /// The VNI of each network.
    pub networks: Vec<u32>,
    /// The indices of peer and network of each member.
    pub members: Vec<(u32, u32)>,
}

impl Names {
    /// Returns the owner of a slot.
    pub fn owner(&self, slot: usize) -> Option<&SlotOwner> {
        self.slots.get(slot)?.as_ref()
    }

    /// Returns the slots that have an owner.
    pub fn owners(&self) -> impl Iterator<Item = (u32, &SlotOwner)> {
        (0..).zip(&self.slots).filter_map(|(slot, owner)| Some((slot, owner.as_ref()?)))
    }

    /// Returns the slot of each owner.
    pub fn slots_by_owner(&self) -> HashMap<&SlotOwner, u32> {
        self.owners().map(|(slot, owner)| (owner, slot)).collect()
    }

    /// Returns, by member, its index in `other`.
    pub fn members_in(&self, other: &Self) -> Vec<Option<u32>> {
        let theirs: HashMap<_, _> =
            (0..).zip(&other.members).filter_map(|(at, _)| Some((other.member(at)?, at))).collect();
        (0..self.members.len() as u32).map(|at| theirs.get(&self.member(at)?).copied()).collect()
    }

    /// Returns the peer and the VNI of a member.
    fn member(&self, member: u32) -> Option<(&str, u32)> {
        let (peer, network) = *self.members.get(member as usize)?;
        self.pair(peer, network)
    }

    /// Returns the names of a peer and a network.
    pub fn pair(&self, peer: u32, network: u32) -> Option<(&str, u32)> {
        Some((self.peers.get(peer as usize)?, *self.networks.get(network as usize)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(peers: &[&str], networks: &[u32], members: &[(u32, u32)]) -> Names {
        Names {
            slots: Vec::new(),
            peers: peers.iter().map(|&peer| peer.to_owned()).collect(),
            networks: networks.to_vec(),
            members: members.to_vec(),
        }
    }

    #[test]
    fn members_are_found_by_name() {
        let old = names(&["a", "b"], &[43, 44], &[(0, 0), (1, 0), (1, 1)]);
        let new = names(&["c", "b", "a"], &[44, 43], &[(1, 0), (2, 1)]);
        assert_eq!(old.members_in(&new), [Some(1), None, Some(0)]);
        assert_eq!(new.members_in(&old), [Some(2), Some(0)]);
        // A member whose indices are out of range is not found.
        assert_eq!(names(&[], &[], &[(0, 0)]).members_in(&new), [None]);
    }
}
