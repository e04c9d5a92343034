//! Whether data arrives in each network: two hosts that report their networks in turn.

use std::time::Duration;

use super::sample;
use crate::{
    observation::MemberCounts,
    probe::{Probe, network_delivery::NetworkDeliveries},
};

/// A host with its networks.
struct Side {
    networks: NetworkDeliveries,
    counts: Vec<MemberCounts>,
    session: u64,
}

impl Side {
    fn new(vnis: &[u32], session: u64) -> Self {
        let counts = vnis.iter().map(|vni| MemberCounts { vni: *vni, sent: 7, received: 1 << 40 });
        Self { networks: NetworkDeliveries::default(), counts: counts.collect(), session }
    }

    /// Sends a packet in a network. `false`: it has no such network.
    fn count(&mut self, vni: u32, change: fn(&mut MemberCounts)) -> bool {
        let found = self.counts.iter_mut().find(|counts| counts.vni == vni);
        found.map(change).is_some()
    }

    fn probe(&mut self, now: Duration) -> Probe {
        let (network, networks) = self.networks.next_report().unzip();
        let sent_at = u64::try_from(now.as_nanos()).expect("a short time");
        let networks = networks.unwrap_or(0);
        Probe { session: self.session, sent_at, network, networks, ..sample() }
    }

    fn lost(&self, now: Duration) -> Vec<(u32, bool, bool)> {
        let lost = self.networks.lost(now);
        lost.iter()
            .map(|network| (network.vni, network.tx.is_some(), network.rx.is_some()))
            .collect()
    }
}

/// Runs for some seconds. Both send twice in a second in each of their networks; `passes` says
/// which packets the network and the receiver let through. Probes come each 2.5 s.
fn run(
    sides: &mut [Side; 2],
    from: u64,
    seconds: u64,
    passes: impl Fn(usize, u32) -> bool,
) -> Duration {
    let mut now = Duration::ZERO;
    for tick in from * 2..(from + seconds) * 2 {
        now = Duration::from_millis(1_000_000 + tick * 500);
        for sender in [0, 1] {
            let vnis: Vec<u32> = sides[sender].counts.iter().map(|counts| counts.vni).collect();
            for vni in vnis {
                sides[sender].count(vni, |counts| counts.sent += 1);
                if passes(sender, vni) {
                    sides[1 - sender].count(vni, |counts| counts.received += 1);
                }
            }
        }
        for side in sides.iter_mut().filter(|_| tick % 2 == 0) {
            side.networks.sample(now, &side.counts.clone());
        }
        if tick % 5 == 0 {
            let [a, b] = sides;
            let [to_b, to_a] = [a.probe(now), b.probe(now)];
            b.networks.report(&to_b, now);
            a.networks.report(&to_a, now);
        }
    }
    now
}

#[test]
fn one_network_of_several_dies_and_recovers() {
    for others in 1..6 {
        let vnis: Vec<u32> = (43..=43 + others).collect();
        let mut sides = [Side::new(&vnis, 1), Side::new(&vnis, 2)];
        let now = run(&mut sides, 0, 120, |_, _| true);
        assert_eq!(sides[0].lost(now), []);
        let now = run(&mut sides, 120, 60, |sender, vni| sender == 1 || vni != 44);
        assert_eq!(sides[0].lost(now), [(44, true, false)], "{others} others");
        assert_eq!(sides[1].lost(now), [(44, false, true)], "{others} others");
        let now = run(&mut sides, 180, 120, |_, _| true);
        assert_eq!((sides[0].lost(now), sides[1].lost(now)), (vec![], vec![]), "{others} others");
    }
}

#[test]
fn two_networks_are_watched_within_15_seconds() {
    let mut sides = [Side::new(&[43, 44], 1), Side::new(&[43, 44], 2)];
    run(&mut sides, 0, 60, |_, _| true);
    let now = run(&mut sides, 60, 15, |sender, vni| sender == 1 || vni != 44);
    assert_eq!(sides[0].lost(now), [(44, true, false)]);
}

#[test]
fn a_network_that_the_other_end_does_not_have() {
    let mut sides = [Side::new(&[43, 44], 1), Side::new(&[43, 45], 2)];
    let now = run(&mut sides, 0, 20, |_, vni| vni == 43);
    assert_eq!(sides[0].lost(now), [(44, true, false), (45, false, true)]);
    assert_eq!(sides[1].lost(now), [(44, false, true), (45, true, false)]);
    // It gets it.
    sides[1].counts[1].vni = 44;
    let now = run(&mut sides, 20, 60, |_, _| true);
    assert_eq!((sides[0].lost(now), sides[1].lost(now)), (vec![], vec![]));
}

#[test]
fn an_earlier_version_that_does_not_report_networks_says_nothing() {
    let mut sides = [Side::new(&[43, 44], 1), Side::new(&[], 2)];
    let now = run(&mut sides, 0, 60, |_, _| false);
    assert_eq!(sides[0].lost(now), []);
}

#[test]
fn counters_that_wrap_or_begin_anew_are_no_loss() {
    let mut sides = [Side::new(&[43, 44], 1), Side::new(&[43, 44], 2)];
    for side in &mut sides {
        side.counts[0].received = u64::from(u32::MAX) - 20;
        side.counts[1].sent = (3 << 32) - 60;
    }
    for second in 0..120 {
        let now = run(&mut sides, second, 1, |_, _| true);
        assert_eq!((sides[0].lost(now), sides[1].lost(now)), (vec![], vec![]), "{second}");
        if second == 80 {
            sides[1].counts[0] = MemberCounts { vni: 43, sent: 0, received: 0 };
        }
    }
}
