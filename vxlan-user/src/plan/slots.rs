//! Counter slots: assigns one to each owner, so that an owner keeps its slot from plan to plan.

use std::collections::HashMap;

use super::names::SlotOwner;

/// Values that a plan takes over from the previous one, so that the new programs recognise a frame
/// that the previous programs have accepted.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    /// An owner keeps its slot. A slot that has just lost its owner is not given to another one in
    /// the same plan.
    pub slots: Vec<Option<SlotOwner>>,
    /// The secret that MAC addresses are derived from.
    pub secret: Option<[u8; 8]>,
    /// [`TAG_MAC`](vxlan_common::table::TAG_MAC) where the driver was found to have no metadata.
    pub tag: Option<u8>,
}

/// Assigns counter slots.
pub(super) struct Slots {
    /// Owners that had a slot in the previous plan.
    inherited: HashMap<SlotOwner, u32>,
    /// Slots that had no owner in the previous plan either.
    free: Vec<u32>,
    owners: Vec<Option<SlotOwner>>,
}

impl Slots {
    pub(super) fn new(inherited: &Inherited) -> Self {
        let numbered = || (0..).zip(&inherited.slots);
        let mut owners = vec![None; inherited.slots.len().max(1)];
        owners[0] = Some(SlotOwner::UNATTRIBUTED);
        Self {
            inherited: numbered()
                .filter_map(|(slot, owner)| Some((owner.clone()?, slot)))
                .collect(),
            free: numbered()
                .skip(1)
                .filter(|(_, owner)| owner.is_none())
                .map(|(slot, _)| slot)
                .collect(),
            owners,
        }
    }

    /// Returns the slot of an owner: the inherited one, else a free one, else a new one.
    pub(super) fn assign(&mut self, peer: Option<&str>, vni: Option<u32>) -> u32 {
        let owner = SlotOwner { peer: peer.map(str::to_owned), vni };
        let slot = self.inherited.get(&owner).copied().or_else(|| self.free.pop());
        let slot = slot.unwrap_or_else(|| {
            self.owners.push(None);
            self.owners.len() as u32 - 1
        });
        if let Some(assigned) = self.owners.get_mut(slot as usize) {
            *assigned = Some(owner);
        }
        slot
    }

    /// Returns the owner of each slot.
    pub(super) fn into_owners(self) -> Vec<Option<SlotOwner>> {
        self.owners
    }
}
