//! What the programs have counted and recorded about the data packets of each peer, in all its
//! networks together.

use std::{collections::HashMap, time::Duration};

use vxlan_common::{
    counters::{Counters, NatField},
    reason::{DropReason, RX_SLOTS, RxDrop},
};

use crate::{
    daemon::running::ActivePlane,
    dataplane::{DataPlaneError, Reader, uptime},
    nat::DataCounts,
    observation::{DataMapping, DropCounts, MemberCounts, ObservedData},
};

/// Drops of a peer that belong to none of its networks are read every so many rounds, for another
/// part of the peers in each: they are evidence, and no lookup a second for every peer.
const ROUNDS: usize = 5;

/// The maps, and the positions of the members in them.
pub(super) struct PeerCounters {
    reader: Reader,
    /// By peer: its members, one in each of its networks.
    members: Vec<Vec<MemberPosition>>,
    /// By peer: the slot of drops that belong to no network.
    slots: Vec<u32>,
    names: HashMap<String, usize>,
    /// What was dropped of a peer outside of its networks, if anything.
    outside: HashMap<usize, DropCounts>,
    round: usize,
    /// By peer: frames with our own overlay MAC when last looked at, and whether they are in the
    /// log.
    own_mac: Vec<(Option<u64>, bool)>,
}

/// The position of a member in maps and configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberPosition {
    /// Index among all members.
    pub(super) index: u32,
    slot: u32,
    pub(super) network: usize,
    vni: u32,
    /// Index among the members of its network.
    pub(super) number: usize,
}

/// The counts of one peer.
pub(super) struct PeerCounts {
    pub(super) total: DataCounts,
    pub(super) mapping: Option<DataMapping>,
    /// Time since the latest data packet.
    pub(super) last_received: Option<Duration>,
    /// Dropped packets of the peer by reason.
    pub(super) drops: DropCounts,
    /// The counts of each network.
    pub(super) networks: Vec<MemberCounts>,
}

impl PeerCounters {
    pub(super) fn new(reader: Reader, running: &ActivePlane) -> Self {
        let mut members = vec![Vec::new(); running.plan.peers.len()];
        let mut numbers = vec![0; running.plan.networks.len()];
        for (member, index) in running.plan.members.iter().zip(0..) {
            let network = member.network as usize;
            let Some(next) = numbers.get_mut(network) else { continue };
            let vni = running.state.networks.get(network).map_or(0, |network| network.vni);
            if let Some(of_peer) = members.get_mut(member.peer as usize) {
                let (slot, number) = (member.slot, *next);
                of_peer.push(MemberPosition { index, slot, network, vni, number });
            }
            *next += 1;
        }
        let peers = running.preflight.config.peers.iter().zip(0..);
        Self {
            reader,
            members,
            slots: running.plan.peers.iter().map(|peer| peer.slot).collect(),
            names: peers.map(|(peer, index)| (peer.name.value.clone(), index)).collect(),
            outside: HashMap::new(),
            round: 0,
            own_mac: vec![(None, false); running.plan.peers.len()],
        }
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Lists the members of a peer, in the order of the networks.
    pub(super) fn members_of(&self, peer: usize) -> &[MemberPosition] {
        self.members.get(peer).map_or(&[], Vec::as_slice)
    }

    /// Reads what was dropped of peers outside of their networks: for a part of the peers, another
    /// one each time.
    pub(super) fn read_outside(&mut self) -> Result<(), DataPlaneError> {
        self.round = (self.round + 1) % ROUNDS;
        for (peer, slot) in self.slots.iter().enumerate().skip(self.round).step_by(ROUNDS) {
            let drops = drop_counts(&self.reader.counters(*slot)?);
            if drops.iter().any(|packets| *packets != 0) {
                self.outside.insert(peer, drops);
            }
        }
        if self.round != 0 {
            return Ok(());
        }
        let mut denied: HashMap<usize, u64> = HashMap::new();
        for pair in self.reader.non_members()? {
            if let Some(peer) = self.names.get(&pair.peer) {
                *denied.entry(*peer).or_default() += pair.packets;
            }
        }
        for (peer, packets) in denied {
            let drops = self.outside.entry(peer).or_insert([0; RX_SLOTS]);
            drops[RxDrop::NotAMember as usize] = packets;
        }
        Ok(())
    }

    /// Returns whether the log is to say that a peer has our own overlay MAC: once, when frames
    /// with it arrive.
    pub(super) fn is_new_twin(&mut self, peer: usize, drops: &DropCounts) -> bool {
        let packets = drops[RxDrop::OwnMac as usize];
        let Some((known, logged)) = self.own_mac.get_mut(peer) else { return false };
        let more = known.replace(packets).is_some_and(|before| packets > before);
        more && !std::mem::replace(logged, true)
    }

    /// Sums up what the programs have counted for a peer.
    pub(super) fn read(&self, peer: usize) -> Result<PeerCounts, DataPlaneError> {
        let mut sum = Counters::ZERO;
        let mut learned = Vec::new();
        let mut networks = Vec::new();
        for member in self.members_of(peer) {
            let counters = self.reader.counters(member.slot)?;
            sum.add(&counters);
            networks.push(MemberCounts {
                vni: member.vni,
                sent: counters.tx_packets,
                received: counters.rx_packets,
            });
            learned.push(self.reader.learned(member.index)?);
        }
        let observed = ObservedData::from_learned(&learned, uptime());
        let mut drops = drop_counts(&sum);
        for (packets, outside) in
            drops.iter_mut().zip(self.outside.get(&peer).into_iter().flatten())
        {
            *packets += outside;
        }
        Ok(PeerCounts {
            total: data_counts(&sum),
            mapping: observed.mapping,
            last_received: observed.last_seen.map(|ago| Duration::from_secs(ago.into())),
            drops,
            networks,
        })
    }
}

fn data_counts(counters: &Counters) -> DataCounts {
    let rewritten = |field: NatField| counters.nat[field as usize];
    DataCounts {
        received: counters.rx_packets,
        sent: counters.tx_packets,
        src_address: rewritten(NatField::SrcAddress),
        src_port: rewritten(NatField::SrcPort),
        dst_address: rewritten(NatField::DstAddress),
        checksum: rewritten(NatField::Checksum),
        bad_checksum: counters.dropped(DropReason::Rx(RxDrop::BadChecksum)),
    }
}

fn drop_counts(counters: &Counters) -> DropCounts {
    let mut drops = [0; RX_SLOTS];
    for reason in RxDrop::ALL {
        drops[*reason as usize] = counters.dropped(DropReason::Rx(*reason));
    }
    drops
}
