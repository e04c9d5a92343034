//! What was counted before the active generation: by name, in a form that other versions read too.

use std::{
    collections::{BTreeMap, HashMap},
    slice,
};

use serde::{Deserialize, Serialize};
use vxlan_common::counters::Counters;

use super::{layout::counter_names, pod};
use crate::plan::SlotOwner;

/// Sums by owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Totals {
    pub slots: HashMap<SlotOwner, Counters>,
    /// Packets of a peer in a network that it is not a member of.
    pub non_members: HashMap<(String, u32), u64>,
}

impl Totals {
    pub fn add(&mut self, owner: &SlotOwner, counters: &Counters) {
        self.slots.entry(owner.clone()).or_insert(Counters::ZERO).add(counters);
    }

    pub fn add_all(&mut self, other: &Self) {
        for (owner, counters) in &other.slots {
            self.add(owner, counters);
        }
        for ((peer, vni), packets) in &other.non_members {
            self.add_non_member(peer, *vni, *packets);
        }
    }

    /// Returns whether nothing was counted.
    pub fn is_zero(&self) -> bool {
        self.slots.values().all(|counters| *counters == Counters::ZERO)
            && self.non_members.values().all(|packets| *packets == 0)
    }

    pub fn add_non_member(&mut self, peer: &str, vni: u32, packets: u64) {
        *self.non_members.entry((peer.to_owned(), vni)).or_default() += packets;
    }
}

/// The form on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    slots: Vec<Slot>,
    non_members: Vec<(String, u32, u64)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Slot {
    owner: SlotOwner,
    /// Numbers that are not zero.
    counters: BTreeMap<String, u64>,
}

impl From<Totals> for Written {
    fn from(totals: Totals) -> Self {
        let names = counter_names();
        // Most owners have counted nothing.
        let counted = totals.slots.into_iter().map(|(owner, counters)| (owner, words(counters)));
        let counted = counted.filter(|(_, words)| words.iter().any(|count| *count != 0));
        let slots = counted.map(|(owner, words)| {
            let named = names.iter().filter_map(|(name, at)| {
                words.get(*at).filter(|count| **count != 0).map(|count| (name.clone(), *count))
            });
            Slot { owner, counters: named.collect() }
        });
        let non_members = totals.non_members.into_iter();
        Self {
            slots: slots.collect(),
            non_members: non_members.map(|((peer, vni), packets)| (peer, vni, packets)).collect(),
        }
    }
}

impl From<Written> for Totals {
    fn from(written: Written) -> Self {
        let mut totals = Self::default();
        let names = counter_names();
        for Slot { owner, counters } in written.slots {
            totals.add(&owner, &named(&names, |name| counters.get(name).copied()));
        }
        for (peer, vni, packets) in written.non_members {
            totals.add_non_member(&peer, vni, packets);
        }
        totals
    }
}

/// Makes counters from their names; an unknown number is zero.
fn named(names: &[(String, usize)], count: impl Fn(&str) -> Option<u64>) -> Counters {
    let mut counters = Counters::ZERO;
    let bytes = pod::bytes_mut(slice::from_mut(&mut counters));
    for (name, at) in names {
        if let Some(word) = bytes.chunks_exact_mut(8).nth(*at) {
            word.copy_from_slice(&count(name).unwrap_or(0).to_ne_bytes());
        }
    }
    counters
}

/// Returns counters as the numbers that they are made of.
fn words(mut counters: Counters) -> Vec<u64> {
    let (words, _) = pod::bytes_mut(slice::from_mut(&mut counters)).as_chunks();
    words.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}

#[cfg(test)]
mod tests {
    use vxlan_common::{
        counters::NatField,
        reason::{DropReason, RxDrop},
    };

    use super::*;

    fn owner(peer: &str, vni: u32) -> SlotOwner {
        SlotOwner { peer: Some(peer.to_owned()), vni: Some(vni) }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut counters = Counters { rx_packets: 7, probes: 3, ..Counters::ZERO };
        counters.nat[NatField::SrcPort as usize] = 5;
        counters.drops[DropReason::Rx(RxDrop::EcnError).index()] = 9;
        let mut totals = Totals::default();
        totals.add(&owner("a", 43), &counters);
        totals.add(&owner("a", 43), &counters);
        totals.add_non_member("a", 44, 2);

        let text = serde_json::to_string(&totals).expect("writing");
        assert!(text.contains(r#""drops.rx.ecn_error":18"#), "{text}");
        assert_eq!(serde_json::from_str::<Totals>(&text).expect("reading"), totals);
    }

    #[test]
    fn another_version_s_counters_are_taken_by_name() {
        let text = r#"{"slots": [{"owner": {"peer": "a", "vni": 43},
            "counters": {"tx_bytes": 4, "drops.rx.not_invented_yet": 1}}], "non_members": []}"#;
        let totals: Totals = serde_json::from_str(text).expect("reading");
        let expected = Counters { tx_bytes: 4, ..Counters::ZERO };
        assert_eq!(totals.slots[&owner("a", 43)], expected);
    }
}
