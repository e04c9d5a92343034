//! Takes snapshots: reads the tables of the data plane, and adds what the daemon reports.

use std::{sync::Arc, thread, time::SystemTime};

use vxlan_common::{
    counters::Counters,
    reason::{DropReason, RxDrop},
};

use super::{
    attribution::is_counted_for,
    daemon_stats::DaemonStats,
    rtt_histogram::RttHistogram,
    snapshot::{DropCount, MemberTraffic, Snapshot},
    underlay_status::SharedUnderlay,
};
use crate::{
    dataplane::{DataPlaneError, Reader, uptime},
    observation::ObservedData,
    probe::SharedReports,
    state::HostState,
};

/// Takes snapshots of one generation of the data plane.
pub struct SnapshotSource {
    reader: Reader,
    state: HostState,
    /// For each peer the indices of its members.
    members: Vec<Vec<u32>>,
    underlay: Option<SharedUnderlay>,
    reports: SharedReports,
    round_trips: Option<RttHistogram>,
    stats: Option<DaemonStats>,
}

impl SnapshotSource {
    pub fn new(reader: Reader, state: HostState) -> Self {
        let mut members = vec![Vec::new(); state.peers.len()];
        for (member, index) in state.members.iter().zip(0..) {
            if let Some(of_peer) = members.get_mut(member.peer) {
                of_peer.push(index);
            }
        }
        let reports = SharedReports::default();
        Self { reader, state, members, underlay: None, reports, round_trips: None, stats: None }
    }

    /// Adds what a prober reports.
    pub fn with_prober(self, reports: SharedReports, round_trips: RttHistogram) -> Self {
        Self { reports, round_trips: Some(round_trips), ..self }
    }

    /// Adds the status of the underlay that a daemon observes.
    pub fn with_underlay(self, underlay: SharedUnderlay) -> Self {
        Self { underlay: Some(underlay), ..self }
    }

    /// Adds how long the turns of the event loop take.
    pub fn with_stats(self, stats: DaemonStats) -> Self {
        Self { stats: Some(stats), ..self }
    }

    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    pub fn state(&self) -> &HostState {
        &self.state
    }

    /// Reads all counters.
    pub fn snapshot(&self) -> Result<Snapshot, DataPlaneError> {
        let mut traffic = Vec::new();
        let mut drops = Vec::new();
        let mut slots = Vec::new();
        for (number, owner) in self.reader.names().owners() {
            slots.push((number, owner, self.reader.counters(number)?));
        }
        let open = |(slot, _, counters): &(u32, _, Counters)| self.reader.is_open(*slot, counters);
        if slots.iter().any(open) {
            thread::sleep(Reader::SETTLED);
            for (slot, _, counters) in slots.iter_mut().filter(|slot| open(slot)) {
                *counters = self.reader.counters(*slot)?;
            }
        }
        for (number, owner, counters) in slots {
            let peer: Option<Arc<str>> = owner.peer.as_deref().map(Arc::from);
            for reason in DropReason::all() {
                let packets = counters.dropped(reason);
                if packets != 0 || is_counted_for(reason, number, owner) {
                    let (peer, vni) = (peer.clone(), owner.vni);
                    drops.push(DropCount { reason, peer, vni, packets });
                }
            }
            if let (Some(peer), Some(vni)) = (&owner.peer, owner.vni) {
                traffic.push(MemberTraffic { peer: peer.clone(), vni, counters });
            }
        }
        drops.extend(self.non_members()?);
        let mut state = self.state.clone();
        let mut path_mtus = Vec::with_capacity(state.peers.len());
        if let Some(underlay) = &self.underlay {
            state.underlay = underlay.latest();
        }
        if let Some(stats) = &self.stats {
            for (network, lost) in state.networks.iter_mut().zip(stats.networks.latest()) {
                network.lost = lost;
            }
        }
        for (peer, index) in state.peers.iter_mut().zip(0..) {
            let (endpoint, path_mtu) = self.reader.peer_path(index)?;
            if peer.endpoint != endpoint {
                peer.use_endpoint(endpoint);
            }
            path_mtus.push(path_mtu);
        }
        Ok(Snapshot {
            path_mtus,
            state,
            traffic,
            drops,
            usage: self.reader.usage(),
            observed: (0..self.state.peers.len())
                .map(|peer| self.observed_data(peer))
                .collect::<Result<_, _>>()?,
            reports: self.reports.latest(),
            round_trips: self.round_trips.clone(),
            longest_turn: self.stats.as_ref().map(|stats| stats.longest_turn.latest()),
            lost_lines: self.stats.as_ref().map(|stats| stats.lost_lines.get()),
            reload: None,
            at: SystemTime::now(),
        })
    }

    /// Returns what is observed of the data packets of a peer.
    pub fn observed_data(&self, peer: usize) -> Result<ObservedData, DataPlaneError> {
        let members = self.members.get(peer).into_iter().flatten();
        let learned = members.map(|index| self.reader.learned(*index));
        Ok(ObservedData::from_learned(&learned.collect::<Result<Vec<_>, _>>()?, uptime()))
    }

    /// Reads the drops of peers in networks that they are not members of, by peer and VNI.
    fn non_members(&self) -> Result<Vec<DropCount>, DataPlaneError> {
        let seen = self.reader.non_members()?;
        let named = seen.into_iter().map(|entry| DropCount {
            reason: DropReason::Rx(RxDrop::NotAMember),
            peer: Some(entry.peer.into()),
            vni: Some(entry.vni),
            packets: entry.packets,
        });
        Ok(named.collect())
    }
}
