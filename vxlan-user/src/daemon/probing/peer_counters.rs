//! What the programs have counted and recorded about the data packets of each peer, in all its
//! networks together.

use std::time::Duration;

use vxlan_common::{
    counters::{Counters, NatField},
    reason::{DropReason, RxDrop},
};

use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    dataplane::{DataPlaneError, Reader, uptime},
    nat::DataCounts,
    observation::{DataMapping, ObservedData},
};

/// The maps, and the positions of the members in them.
pub(super) struct PeerCounters {
    reader: Reader,
    /// By peer: its members, one in each of its networks.
    members: Vec<Vec<MemberPosition>>,
}

/// The position of a member in maps and configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberPosition {
    /// Index among all members.
    pub(super) index: u32,
    slot: u32,
    pub(super) network: usize,
    /// Index among the members of its network.
    pub(super) number: usize,
}

/// The counts of one peer.
pub(super) struct PeerCounts {
    pub(super) total: DataCounts,
    pub(super) mapping: Option<DataMapping>,
    /// Time since the latest data packet.
    pub(super) last_received: Option<Duration>,
}

impl PeerCounters {
    pub(super) fn open(directories: &Directories, running: &ActivePlane) -> anyhow::Result<Self> {
        let mut members = vec![Vec::new(); running.plan.peers.len()];
        let mut numbers = vec![0; running.plan.networks.len()];
        for (member, index) in running.plan.members.iter().zip(0..) {
            let network = member.network as usize;
            let Some(next) = numbers.get_mut(network) else { continue };
            if let Some(of_peer) = members.get_mut(member.peer as usize) {
                of_peer.push(MemberPosition { index, slot: member.slot, network, number: *next });
            }
            *next += 1;
        }
        Ok(Self { reader: directories.reader(&running.state)?, members })
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Lists the members of a peer, in the order of the networks.
    pub(super) fn members_of(&self, peer: usize) -> &[MemberPosition] {
        self.members.get(peer).map_or(&[], Vec::as_slice)
    }

    /// Sums up what the programs have counted for a peer.
    pub(super) fn read(&self, peer: usize) -> Result<PeerCounts, DataPlaneError> {
        let mut sum = Counters::ZERO;
        let mut learned = Vec::new();
        for member in self.members_of(peer) {
            sum.add(&self.reader.counters(member.slot)?);
            learned.push(self.reader.learned(member.index)?);
        }
        let observed = ObservedData::from_learned(&learned, uptime());
        Ok(PeerCounts {
            total: data_counts(&sum),
            mapping: observed.mapping,
            last_received: observed.last_seen.map(|ago| Duration::from_secs(ago.into())),
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
