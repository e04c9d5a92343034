//! What is counted at one moment, with names in place of indices. The common ground of `/metrics` and
//! `vxlan show`.

use vxlan_common::{
    counters::{Counters, NOBODY},
    reason::{DropReason, RxDrop, TxDrop},
};

use crate::{
    dataplane::{DataPlaneError, Reader, Usage},
    plan::SlotOwner,
    state::State,
};

/// Traffic of one member: a peer in a network.
#[derive(Clone, Debug)]
pub struct Link {
    pub peer: String,
    pub vni: u32,
    pub counters: Counters,
}

/// One drop counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    pub reason: DropReason,
    /// Absent: not attributable.
    pub peer: Option<String>,
    pub vni: Option<u32>,
    pub packets: u64,
}

/// Everything counted.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub state: State,
    pub links: Vec<Link>,
    /// Every counter that can ever move, also at 0.
    pub drops: Vec<Drop>,
    pub usage: Vec<Usage>,
}

/// Where snapshots come from.
pub struct Source {
    reader: Reader,
    state: State,
}

impl Source {
    pub fn new(reader: Reader, state: State) -> Self {
        Self { reader, state }
    }

    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Reads all counters.
    pub fn snapshot(&self) -> Result<Snapshot, DataPlaneError> {
        let mut links = Vec::new();
        let mut drops = Vec::new();
        for (number, owner) in self.state.slots.iter().enumerate() {
            let counters = self.reader.counters(number as u32)?;
            for reason in DropReason::all() {
                let packets = counters.dropped(reason);
                if packets != 0 || is_counted_for(reason, number as u32, owner) {
                    let (peer, vni) = (owner.peer.clone(), owner.vni);
                    drops.push(Drop { reason, peer, vni, packets });
                }
            }
            if let (Some(peer), Some(vni)) = (&owner.peer, owner.vni) {
                links.push(Link { peer: peer.clone(), vni, counters });
            }
        }
        drops.extend(self.non_members()?);
        Ok(Snapshot { state: self.state.clone(), links, drops, usage: self.usage() })
    }

    /// Peers in networks that they are not members of: there every pair can be dropped.
    fn non_members(&self) -> Result<Vec<Drop>, DataPlaneError> {
        let seen = self.reader.non_members()?;
        let named = seen.into_iter().filter_map(|entry| {
            let peer = self.state.peers.get(entry.peer as usize)?;
            let network = self.state.networks.get(entry.network as usize)?;
            Some(Drop {
                reason: DropReason::Rx(RxDrop::NotAMember),
                peer: Some(peer.name.clone()),
                vni: Some(network.vni),
                packets: entry.packets,
            })
        });
        Ok(named.collect())
    }

    fn usage(&self) -> Vec<Usage> {
        self.reader.usage()
    }
}

/// Can the programs put this reason down to that kind of slot? What can is exported from the start.
fn is_counted_for(reason: DropReason, slot: u32, owner: &SlotOwner) -> bool {
    let early = matches!(
        reason,
        DropReason::Rx(
            RxDrop::MalformedOuter
                | RxDrop::IpOptions
                | RxDrop::OuterFragment
                | RxDrop::BadChecksum
                | RxDrop::InvalidVxlanHeader
                | RxDrop::UnknownVni
        )
    );
    let network_only = matches!(
        reason,
        DropReason::Rx(RxDrop::UnknownSource)
            | DropReason::Tx(TxDrop::NoRoute | TxDrop::MalformedInner)
    );
    let overflow = reason == DropReason::Rx(RxDrop::NotAMember);
    match (&owner.peer, owner.vni) {
        (None, None) => early && slot == NOBODY,
        (Some(_), None) => early || overflow,
        (None, Some(_)) => network_only,
        (Some(_), Some(_)) => !early && !network_only && !overflow,
    }
}
