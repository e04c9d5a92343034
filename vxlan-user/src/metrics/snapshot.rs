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
    /// Of the way to each peer, in the order of the state's.
    pub path_mtus: Vec<u32>,
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
        let mut state = self.state.clone();
        for (peer, index) in state.peers.iter_mut().zip(0..) {
            peer.use_endpoint(self.reader.endpoint(index)?);
        }
        let path_mtus = (0..self.state.peers.len() as u32).map(|peer| self.reader.path_mtu(peer));
        Ok(Snapshot {
            path_mtus: path_mtus.collect::<Result<_, _>>()?,
            state,
            links,
            drops,
            usage: self.reader.usage(),
        })
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
}

/// Can the programs put this reason down to that kind of slot? What can is exported from the start.
fn is_counted_for(reason: DropReason, slot: u32, owner: &SlotOwner) -> bool {
    // Before the member is known.
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
    // And after: the UDP checksum; a VLAN tag that the driver took off.
    let late_too = matches!(reason, DropReason::Rx(RxDrop::BadChecksum | RxDrop::MalformedOuter));
    let network_only = matches!(
        reason,
        DropReason::Rx(RxDrop::UnknownSource)
            | DropReason::Tx(TxDrop::NoRoute | TxDrop::MalformedInner | TxDrop::RateLimited)
    );
    let overflow = reason == DropReason::Rx(RxDrop::NotAMember);
    match (&owner.peer, owner.vni) {
        (None, None) => early && slot == NOBODY,
        (Some(_), None) => early || overflow,
        (None, Some(_)) => network_only,
        (Some(_), Some(_)) => late_too || !(early || network_only || overflow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/packets.md, in brackets.
    #[test]
    fn a_reason_is_exported_for_whom_the_rules_put_it_down_to() {
        let owner = |peer: bool, vni: bool| SlotOwner {
            peer: peer.then(|| "a".to_owned()),
            vni: vni.then_some(43),
        };
        let slots = [
            (NOBODY, owner(false, false)),
            (1, owner(true, false)),
            (2, owner(false, true)),
            (3, owner(true, true)),
        ];
        // Nobody, peer, network, member.
        let of = |reason| {
            let counted = slots.iter().map(|(slot, owner)| is_counted_for(reason, *slot, owner));
            counted.map(|counted| if counted { 'x' } else { '-' }).collect::<String>()
        };
        for (reason, expected) in [
            (RxDrop::MalformedOuter, "xx-x"),
            (RxDrop::IpOptions, "xx--"),
            (RxDrop::OuterFragment, "xx--"),
            (RxDrop::BadChecksum, "xx-x"),
            (RxDrop::InvalidVxlanHeader, "xx--"),
            (RxDrop::UnknownVni, "xx--"),
            (RxDrop::UnknownSource, "--x-"),
            (RxDrop::NotAMember, "-x--"),
            (RxDrop::MalformedInner, "---x"),
            (RxDrop::NestedTunnel, "---x"),
            (RxDrop::RateLimited, "---x"),
            (RxDrop::NoHeadroom, "---x"),
            (RxDrop::RedirectFailed, "---x"),
        ] {
            assert_eq!(of(DropReason::Rx(reason)), expected, "{reason:?}");
        }
        for (reason, expected) in [
            (TxDrop::NoRoute, "--x-"),
            (TxDrop::NoNeighbour, "---x"),
            (TxDrop::MtuExceeded, "---x"),
            (TxDrop::MalformedInner, "--x-"),
            (TxDrop::EncapFailed, "---x"),
            (TxDrop::RedirectFailed, "---x"),
            (TxDrop::RateLimited, "--x-"),
        ] {
            assert_eq!(of(DropReason::Tx(reason)), expected, "{reason:?}");
        }
    }
}
