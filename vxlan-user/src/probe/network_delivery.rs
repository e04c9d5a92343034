//! Whether data arrives in each network that two hosts share. A probe has the counters of one
//! network of its sender; the networks take turns. Pure, like the prober.

use std::{collections::BTreeMap, time::Duration};

use super::{
    delivery::{DeliveryTracker, PeerCounts},
    message::{NetworkCounts, Probe},
};
use crate::observation::{LostNetwork, MemberCounts};

/// With more networks than this only the sums over all of them are compared.
const MAX_NETWORKS: usize = 64;
/// Each network's turn comes after all others'; reports of it are remembered for longer then.
const MEMORY_PER_NETWORK: Duration = Duration::from_secs(10);

/// The networks that this host shares with a peer, and those that the peer says it shares.
#[derive(Clone, Debug, Default)]
pub(super) struct NetworkDeliveries {
    /// Counters of this host, in the order of its networks.
    own: Vec<MemberCounts>,
    /// The network whose turn is next: of all, and of those whose counters have moved.
    turn: usize,
    turn_moved: usize,
    /// What was reported to the peer of each network.
    reported: BTreeMap<u32, (u64, u64)>,
    /// Networks of the peer, by VNI.
    named: BTreeMap<u32, Named>,
    /// How many networks the peer has with this host; 0: it does not say, or they are too many.
    count: u8,
    session: u64,
    trackers: BTreeMap<u32, DeliveryTracker>,
}

/// A network that the peer has reported.
#[derive(Clone, Copy, Debug)]
struct Named {
    at: Duration,
    /// The counters as reported, which wrap, and what they add up to.
    latest: NetworkCounts,
    received: u64,
    sent: u64,
}

impl NetworkDeliveries {
    /// Records what this host has counted in each network.
    pub(super) fn sample(&mut self, now: Duration, own: &[MemberCounts]) {
        self.own.clear();
        if own.len() <= MAX_NETWORKS {
            self.own.extend_from_slice(own);
        }
        let networks = self.all();
        // With one network on both sides the sums say the same.
        if networks.len() < 2 {
            self.trackers.clear();
            return;
        }
        let memory = MEMORY_PER_NETWORK * u32::try_from(networks.len()).unwrap_or(1);
        self.trackers.retain(|vni, _| networks.contains(vni));
        for vni in networks {
            let counts = self.own.iter().find(|own| own.vni == vni);
            let (sent, received) = counts.map_or((0, 0), |own| (own.sent, own.received));
            let tracker = self.trackers.entry(vni).or_default();
            tracker.remember_for(memory);
            tracker.sample(now, sent, received);
        }
    }

    /// Returns the counters of the network whose turn it is: every other time of one that has
    /// something new to report.
    pub(super) fn next_report(&mut self) -> Option<(NetworkCounts, u8)> {
        let networks = self.own.len();
        let count = u8::try_from(networks).ok().filter(|count| *count != 0)?;
        let moved =
            |own: &MemberCounts| self.reported.get(&own.vni) != Some(&(own.received, own.sent));
        let after = self.turn_moved;
        let next_moved =
            (1..=networks).map(|step| (after + step) % networks).find(|at| moved(&self.own[*at]));
        self.turn = self.turn.wrapping_add(1);
        let at = match next_moved {
            Some(at) if self.turn.is_multiple_of(2) => {
                self.turn_moved = at;
                at
            }
            _ => self.turn / 2 % networks,
        };
        let own = self.own.get(at)?;
        self.reported.insert(own.vni, (own.received, own.sent));
        let low = |count: u64| (count & u64::from(u32::MAX)) as u32;
        let counts =
            NetworkCounts { vni: own.vni, received: low(own.received), sent: low(own.sent) };
        Some((counts, count))
    }

    /// Records an accepted probe, which came at `arrived`.
    pub(super) fn report(&mut self, probe: &Probe, arrived: Duration) {
        if self.session != probe.session {
            self.session = probe.session;
            self.named.clear();
            self.trackers.clear();
        }
        let Some(latest) = probe.network else { return };
        self.count = probe.networks;
        let named = self.named.entry(latest.vni).or_insert(Named {
            at: arrived,
            latest,
            received: 0,
            sent: 0,
        });
        // What went back has begun anew, which the tracker sees as well.
        let added = |now: u32, before: u32| {
            let added = now.wrapping_sub(before);
            if added <= u32::MAX / 2 { Some(u64::from(added)) } else { None }
        };
        let received = added(latest.received, named.latest.received);
        let sent = added(latest.sent, named.latest.sent);
        named.received = received.map_or(0, |added| named.received + added);
        named.sent = sent.map_or(0, |added| named.sent + added);
        (named.at, named.latest) = (arrived, latest);
        let counts = |received, sent| PeerCounts {
            session: probe.session,
            sent_at: probe.sent_at,
            received,
            sent,
        };
        let of_network = counts(named.received, named.sent);
        if let Some(tracker) = self.trackers.get_mut(&latest.vni) {
            tracker.report(&of_network, arrived);
        }
        self.forget_oldest();
        // A network that the peer does not have gets nothing there.
        if self.count != 0 && self.named.len() == usize::from(self.count) {
            let absent = self.trackers.iter_mut().filter(|(vni, _)| !self.named.contains_key(vni));
            absent.for_each(|(_, tracker)| tracker.report(&counts(0, 0), arrived));
        }
    }

    /// Returns the networks in which data is lost, at `now`.
    pub(super) fn lost(&self, now: Duration) -> Vec<LostNetwork> {
        let each = self.trackers.iter().map(|(vni, tracker)| {
            let delivery = tracker.delivery(now);
            LostNetwork { vni: *vni, tx: delivery.tx, rx: delivery.rx }
        });
        each.filter(|network| network.tx.is_some() || network.rx.is_some()).collect()
    }

    /// Lists the networks of both sides.
    fn all(&self) -> Vec<u32> {
        let own = self.own.iter().map(|own| own.vni);
        let mut all: Vec<u32> = own.chain(self.named.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(MAX_NETWORKS);
        all
    }

    /// Forgets the networks that the peer has no longer: those named longest ago, as far as there
    /// are more than it says.
    fn forget_oldest(&mut self) {
        let count = if self.count == 0 { MAX_NETWORKS } else { self.count.into() };
        while self.named.len() > count {
            let oldest = self.named.iter().min_by_key(|(_, named)| named.at);
            let Some(vni) = oldest.map(|(vni, _)| *vni) else { return };
            self.named.remove(&vni);
        }
    }
}
