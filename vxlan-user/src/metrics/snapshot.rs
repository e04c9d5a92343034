//! What is counted at one moment, with names in place of indices. The common ground of `/metrics` and
//! `vxlan show`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use vxlan_common::{
    counters::{Counters, UNATTRIBUTED_SLOT},
    reason::{DropReason, RxDrop, TxDrop},
};

use super::{LastReload, RoundTrips};
use crate::{
    dataplane::{DataPlaneError, MapUsage, Reader, uptime},
    plan::SlotOwner,
    probe::{Heard, Report, SharedReports},
    state::{self, State},
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
    pub peer: Option<Arc<str>>,
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
    pub usage: Vec<MapUsage>,
    /// Of the way to each peer, in the order of the state's.
    pub path_mtus: Vec<u32>,
    /// Of each peer's data packets, in the order of the state's.
    pub heard: Vec<Heard>,
    /// What the prober says; none without one.
    pub reports: Arc<[Report]>,
    pub round_trips: Option<RoundTrips>,
    /// How the daemon's latest reload ended; absent without one.
    pub reload: Option<LastReload>,
    /// When it was taken, by the wall clock.
    pub at: SystemTime,
}

impl Snapshot {
    /// The traffic of each peer, by its name.
    pub fn by_peer(&self) -> HashMap<&str, Vec<&Link>> {
        let mut peers: HashMap<&str, Vec<&Link>> = HashMap::new();
        for link in &self.links {
            peers.entry(&link.peer).or_default().push(link);
        }
        peers
    }

    /// The Unix time, in whole seconds, so many seconds before the snapshot was taken.
    pub fn before(&self, seconds: f64) -> i64 {
        let ago = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let at = self.at.checked_sub(ago).unwrap_or(UNIX_EPOCH);
        at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs_f64().round() as i64)
    }
}

/// How the underlay interface stands, told by the daemon that follows it.
#[derive(Clone, Debug)]
pub struct SharedUnderlay(Arc<Mutex<state::Underlay>>);

impl SharedUnderlay {
    pub fn new(now: state::Underlay) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    pub fn put(&self, now: &state::Underlay) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(now);
    }

    pub fn latest(&self) -> state::Underlay {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where snapshots come from.
pub struct Source {
    reader: Reader,
    state: State,
    /// By peer: the indices of its members.
    members: Vec<Vec<u32>>,
    underlay: Option<SharedUnderlay>,
    reports: SharedReports,
    round_trips: Option<RoundTrips>,
}

impl Source {
    pub fn new(reader: Reader, state: State) -> Self {
        let mut members = vec![Vec::new(); state.peers.len()];
        for (member, index) in state.members.iter().zip(0..) {
            if let Some(of_peer) = members.get_mut(member.peer) {
                of_peer.push(index);
            }
        }
        let reports = SharedReports::default();
        Self { reader, state, members, underlay: None, reports, round_trips: None }
    }

    /// With what a prober reports.
    pub fn with_prober(self, reports: SharedReports, round_trips: RoundTrips) -> Self {
        Self { reports, round_trips: Some(round_trips), ..self }
    }

    /// With what a daemon tells of the underlay.
    pub fn with_underlay(self, underlay: SharedUnderlay) -> Self {
        Self { underlay: Some(underlay), ..self }
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
        for (number, owner) in self.reader.names().owners() {
            let counters = self.reader.counters(number)?;
            let peer: Option<Arc<str>> = owner.peer.as_deref().map(Arc::from);
            for reason in DropReason::all() {
                let packets = counters.dropped(reason);
                if packets != 0 || is_counted_for(reason, number, owner) {
                    let (peer, vni) = (peer.clone(), owner.vni);
                    drops.push(Drop { reason, peer, vni, packets });
                }
            }
            if let (Some(peer), Some(vni)) = (&owner.peer, owner.vni) {
                links.push(Link { peer: peer.clone(), vni, counters });
            }
        }
        drops.extend(self.non_members()?);
        let mut state = self.state.clone();
        let mut path_mtus = Vec::with_capacity(state.peers.len());
        if let Some(underlay) = &self.underlay {
            state.underlay = underlay.latest();
        }
        for (peer, index) in state.peers.iter_mut().zip(0..) {
            let (endpoint, path_mtu) = self.reader.peer_path(index)?;
            peer.use_endpoint(endpoint);
            path_mtus.push(path_mtu);
        }
        Ok(Snapshot {
            path_mtus,
            state,
            links,
            drops,
            usage: self.reader.usage(),
            heard: (0..self.state.peers.len())
                .map(|peer| self.heard(peer))
                .collect::<Result<_, _>>()?,
            reports: self.reports.latest(),
            round_trips: self.round_trips.clone(),
            reload: None,
            at: SystemTime::now(),
        })
    }

    /// What data packets of a peer have shown.
    pub fn heard(&self, peer: usize) -> Result<Heard, DataPlaneError> {
        let members = self.members.get(peer).into_iter().flatten();
        let learned = members.map(|index| self.reader.learned(*index));
        Ok(Heard::of(&learned.collect::<Result<Vec<_>, _>>()?, uptime()))
    }

    /// Peers in networks that they are not members of: there every pair can be dropped.
    fn non_members(&self) -> Result<Vec<Drop>, DataPlaneError> {
        let seen = self.reader.non_members()?;
        let named = seen.into_iter().map(|entry| Drop {
            reason: DropReason::Rx(RxDrop::NotAMember),
            peer: Some(entry.peer.into()),
            vni: Some(entry.vni),
            packets: entry.packets,
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
                | RxDrop::ProbeDenied
                | RxDrop::Aggregate
        )
    );
    // Probes have a tag, which is always a peer's, and no network.
    let of_probes = reason == DropReason::Rx(RxDrop::RateLimited);
    // And after: the UDP checksum; a VLAN tag that the driver took off; what was merged and is no probe.
    let late_too = matches!(
        reason,
        DropReason::Rx(RxDrop::BadChecksum | RxDrop::MalformedOuter | RxDrop::Aggregate)
    );
    let network_only = matches!(
        reason,
        DropReason::Rx(RxDrop::UnknownSource)
            | DropReason::Tx(TxDrop::NoRoute | TxDrop::MalformedInner | TxDrop::RateLimited)
    );
    let overflow = reason == DropReason::Rx(RxDrop::NotAMember);
    match (&owner.peer, owner.vni) {
        (None, None) => early && slot == UNATTRIBUTED_SLOT,
        (Some(_), None) => early || overflow || of_probes,
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
            (UNATTRIBUTED_SLOT, owner(false, false)),
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
            (RxDrop::RateLimited, "-x-x"),
            (RxDrop::ProbeDenied, "xx--"),
            (RxDrop::Aggregate, "xx-x"),
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
