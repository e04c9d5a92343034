//! Counters by the names that a user reads them under, and how far they moved: for whom, which, how
//! many.

use std::collections::BTreeMap;

use vxlan_common::{
    counters::{Counters, NatField},
    reason::{DropReason, RxDrop, SLOTS, TxDrop},
};
use vxlan_user::plan::SlotOwner;

/// For whom a packet is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Nobody,
    Peer(&'static str),
    Network(u32),
    Member(&'static str, u32),
}

impl Who {
    pub(crate) fn owner(self) -> SlotOwner {
        let (peer, vni) = match self {
            Self::Nobody => (None, None),
            Self::Peer(peer) => (Some(peer), None),
            Self::Network(vni) => (None, Some(vni)),
            Self::Member(peer, vni) => (Some(peer), Some(vni)),
        };
        SlotOwner { peer: peer.map(str::to_owned), vni }
    }
}

/// Counters that are not zero, or how far each moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deltas(BTreeMap<String, u64>);

impl Deltas {
    pub(crate) fn none() -> Self {
        Self::default()
    }

    pub(crate) fn rx_drop(reason: RxDrop, who: Who) -> Self {
        Self::rx_drops(reason, who, 1)
    }

    pub(crate) fn rx_drops(reason: RxDrop, who: Who, packets: u64) -> Self {
        Self::none().and(&who.owner(), &drop_name(DropReason::Rx(reason)), packets)
    }

    pub(crate) fn tx_drop(reason: TxDrop, who: Who, packets: u64) -> Self {
        Self::none().and(&who.owner(), &drop_name(DropReason::Tx(reason)), packets)
    }

    pub(crate) fn nat(self, field: NatField, who: Who) -> Self {
        self.and(&who.owner(), &nat_name(field), 1)
    }

    pub(crate) fn received(who: Who, packets: u64, bytes: usize) -> Self {
        let rx = Self::none().and(&who.owner(), "rx_packets", packets);
        rx.and(&who.owner(), "rx_bytes", bytes as u64)
    }

    /// A packet that passed every rule of receive.
    pub(crate) fn accepted(who: Who) -> Self {
        Self::none().and(&who.owner(), "accepted", 1)
    }

    pub(crate) fn sent(who: Who, packets: u64, bytes: usize) -> Self {
        let tx = Self::none().and(&who.owner(), "tx_packets", packets);
        tx.and(&who.owner(), "tx_bytes", bytes as u64)
    }

    /// Questions answered in a member's name.
    pub(crate) fn answered(who: Who) -> Self {
        Self::none().and(&who.owner(), "neighbour_replies", 1)
    }

    /// Probes of a peer, handed to the daemon.
    pub(crate) fn probes(peer: &'static str, packets: u64) -> Self {
        Self::none().and(&Who::Peer(peer).owner(), "probes", packets)
    }

    /// A packet over the MTU of the path to a member, and the ICMP message about it.
    pub(crate) fn too_big(who: Who, packets: u64) -> Self {
        let dropped = Self::tx_drop(TxDrop::MtuExceeded, who, packets);
        dropped.and(&who.owner(), "too_big_sent", 1)
    }

    /// Takes out what was delivered of that member: packets and bytes.
    pub(crate) fn received_by(&mut self, owner: &SlotOwner) -> Option<(u64, u64)> {
        let mut take = |what| {
            let name = Self::none().and(owner, what, 1).0.into_keys().next()?;
            self.0.remove(&name)
        };
        take("rx_packets").zip(take("rx_bytes"))
    }

    /// All of these and of those.
    pub(crate) fn with(mut self, others: &Self) -> Self {
        for (name, count) in &others.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
        self
    }

    /// A peer seen in a network that it is not a member of.
    pub(crate) fn non_member(self, peer: &str, vni: u32, packets: u64) -> Self {
        let owner = SlotOwner { peer: Some(peer.to_owned()), vni: Some(vni) };
        self.and(&owner, "non_member", packets)
    }

    fn and(mut self, owner: &SlotOwner, what: &str, count: u64) -> Self {
        if count != 0 {
            let peer = owner.peer.as_deref().unwrap_or("-");
            let vni = owner.vni.map_or("-".to_owned(), |vni| vni.to_string());
            *self.0.entry(format!("{what} peer={peer} vni={vni}")).or_default() += count;
        }
        self
    }

    /// Everything that one slot counted, the counters that have no name yet included.
    pub(crate) fn slot(mut self, owner: &SlotOwner, counters: &Counters) -> Self {
        self = self.and(owner, "rx_packets", counters.rx_packets);
        self = self.and(owner, "rx_bytes", counters.rx_bytes);
        self = self.and(owner, "accepted", counters.accepted);
        self = self.and(owner, "tx_packets", counters.tx_packets);
        self = self.and(owner, "tx_bytes", counters.tx_bytes);
        self = self.and(owner, "neighbour_replies", counters.neighbour_replies);
        self = self.and(owner, "too_big_sent", counters.too_big_sent);
        self = self.and(owner, "probes", counters.probes);
        for field in NatField::ALL {
            self = self.and(owner, &nat_name(field), counters.nat[field as usize]);
        }
        for index in 0..SLOTS {
            let reason = DropReason::all().find(|reason| reason.index() == index);
            let name = reason.map_or_else(|| format!("drop number {index}"), drop_name);
            self = self.and(owner, &name, counters.drops[index]);
        }
        self
    }

    /// Of everything whose name begins so.
    pub(crate) fn sum_of(&self, prefix: &str) -> u64 {
        self.0.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count).sum()
    }

    /// How far these counters are beyond `before`. Counters never fall.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut deltas = self.0.clone();
        for (name, count) in &before.0 {
            let now = deltas.remove(name).unwrap_or(0);
            let more = now.checked_sub(*count);
            match more.unwrap_or_else(|| panic!("{name} fell from {count} to {now}")) {
                0 => {}
                more => drop(deltas.insert(name.clone(), more)),
            }
        }
        Self(deltas)
    }
}

fn drop_name(reason: DropReason) -> String {
    format!("drop {} {}", reason.direction(), reason.label())
}

fn nat_name(field: NatField) -> String {
    format!("nat {}", field.label())
}
