//! A host whose machine is restored from a snapshot: it goes on with the session, the numbers, the
//! tokens and the clock of then. And recordings that are to keep it from being known again.

use std::{net::IpAddr, time::Duration};

use super::{HONEST, Host, carry};
use crate::probe::{
    Probe, Purpose, RequestVerdict,
    answers::{MAX_ANSWERS, MAX_PER_SOURCE},
    association::LIVE_TIME,
};

const START: Duration = Duration::from_secs(1000);
const INTERVAL: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(86_400);

/// Two hosts that send each other requests, and everything that either has sent.
struct World {
    hosts: [Host; 2],
    now: Duration,
    sent: Vec<Probe>,
}

impl World {
    fn new() -> Self {
        let hosts = [Host::new("a", "b", 1), Host::new("b", "a", 2)];
        let mut world = Self { hosts, now: START, sent: Vec::new() };
        carry(&mut world.hosts, 0, world.now);
        world
    }

    /// Either sends a request in each interval.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += INTERVAL;
            for from in [0, 1] {
                let clock = self.hosts[from].clock;
                self.hosts[from].association.expire(self.now + clock);
                let request = self.hosts[from].ask(Purpose::Counted, self.now);
                self.sent.push(request.clone());
                let (counts, sends) = self.hosts[1 - from].receive(&request, self.now);
                assert!(counts, "{from} at {:?}", self.now);
                for reply in sends {
                    self.hosts[from].receive(&reply, self.now);
                }
            }
        }
    }

    /// The clock of a restored host stands where it stood.
    fn restore(&mut self, which: usize, snapshot: &(Host, Duration)) {
        let (host, at) = snapshot;
        let mut host = host.clone();
        let lost = self.now - *at;
        host.clock = host.clock.checked_sub(lost).expect("clocks are years ahead");
        self.hosts[which] = host;
    }

    fn snapshot(&self, which: usize) -> (Host, Duration) {
        (self.hosts[which].clone(), self.now)
    }

    /// Once each has sent a request, either accepts the other's requests.
    fn come_together(&mut self, first: usize) {
        for from in [first, 1 - first] {
            let probes = carry(&mut self.hosts, from, self.now);
            assert!(probes <= 12, "{probes} probes");
        }
        for from in [0, 1] {
            let request = self.hosts[from].ask(Purpose::Counted, self.now);
            let verdict = self.hosts[1 - from].judge(&request, self.now);
            assert!(
                matches!(verdict, RequestVerdict::Accepted { newest: true, .. }),
                "{from}: {verdict:?}"
            );
        }
    }
}

#[test]
fn a_restored_host_is_known_again_at_once() {
    for restored in [0, 1] {
        for first in [0, 1] {
            for lost in [Duration::from_secs(10), Duration::from_secs(3600), DAY] {
                let mut world = World::new();
                world.run(Duration::from_secs(600));
                let snapshot = world.snapshot(restored);
                let session = snapshot.0.association.session();
                world.run(lost);
                world.now += INTERVAL;
                world.restore(restored, &snapshot);
                world.come_together(first);
                let now = world.hosts[restored].association.session();
                assert_ne!(now, session, "what was recorded of that session is over");
                world.run(Duration::from_secs(60));
            }
        }
    }
}

#[test]
fn both_ends_are_restored_to_different_moments() {
    for (first, back) in [(0, [3600, 60]), (1, [3600, 60]), (0, [60, 3600]), (0, [3600, 3600])] {
        let mut world = World::new();
        world.run(Duration::from_secs(600));
        let early = [world.snapshot(0), world.snapshot(1)];
        world.run(Duration::from_secs(3600));
        let late = [world.snapshot(0), world.snapshot(1)];
        world.run(Duration::from_secs(60));
        world.now += INTERVAL;
        for which in [0, 1] {
            let to = if back[which] == 60 { &late[which] } else { &early[which] };
            world.restore(which, to);
        }
        world.come_together(first);
        world.run(Duration::from_secs(60));
    }
}

#[test]
fn a_clock_that_is_set_back_or_ahead_is_followed() {
    for (ahead, back) in [(0, 7200), (7200, 0), (0, 30), (30, 0)] {
        let mut world = World::new();
        world.run(Duration::from_secs(600));
        world.now += INTERVAL;
        let clock = world.hosts[0].clock + Duration::from_secs(ahead);
        world.hosts[0].clock = clock - Duration::from_secs(back);
        world.come_together(0);
        world.run(Duration::from_secs(60));
    }
}

/// Everything that was ever recorded comes again from anywhere, before and while the host is
/// restored: nothing of it counts, and the host is known again from an address of its own.
#[test]
fn recordings_do_not_use_up_the_answers() {
    for sources in [1_u8, 5] {
        let mut world = World::new();
        let mut recorded = Vec::new();
        for seed in 10..20 {
            world.run(Duration::from_secs(60));
            recorded.append(&mut world.sent);
            world.hosts[0] = Host::new("a", "b", seed);
            world.come_together(0);
        }
        world.run(Duration::from_secs(60));
        let snapshot = world.snapshot(0);
        world.run(Duration::from_secs(600));
        recorded.append(&mut world.sent);
        world.now += INTERVAL;
        world.restore(0, &snapshot);
        let before = world.hosts[1].association.received();
        let to_b: Vec<&Probe> = recorded.iter().filter(|of| of.sender != sender(&world)).collect();
        let mut answers = 0;
        for (number, probe) in (0_u16..).zip(to_b.iter().cycle().take(10_000)) {
            let source = IpAddr::from([203, 0, 113, (number % u16::from(sources)) as u8]);
            let (counts, sends) = world.hosts[1].receive_from(probe, source, world.now);
            assert!(!counts);
            answers += sends.len();
        }
        let most = usize::from(sources) * 2 * MAX_PER_SOURCE;
        assert!((1..=most).contains(&answers), "{answers}");
        assert_eq!(world.hosts[1].association.received(), before);
        world.come_together(0);
    }
}

/// The name of `b`, which sends to `a`.
fn sender(world: &World) -> [u8; 8] {
    world.hosts[1].probe(crate::probe::ProbeKind::Request, START, "a").sender
}

/// Recordings of two sessions, one after the other, are no news again and again.
#[test]
fn several_sessions_are_remembered() {
    let mut world = World::new();
    let mut recorded = Vec::new();
    for seed in 10..14 {
        world.run(Duration::from_secs(20));
        recorded.append(&mut world.sent);
        world.hosts[0] = Host::new("a", "b", seed);
        world.come_together(0);
    }
    world.run(Duration::from_secs(20));
    let to_b: Vec<&Probe> = recorded.iter().filter(|of| of.sender != sender(&world)).collect();
    for round in 0..3 {
        for probe in &to_b {
            world.now += Duration::from_secs(2);
            let verdict = world.hosts[1].judge_from(probe, HONEST, world.now);
            assert!(matches!(verdict, RequestVerdict::Stale { .. }), "{round}: {verdict:?}");
        }
    }
}

#[test]
fn a_copy_of_what_a_live_peer_has_sent_is_not_answered() {
    let mut world = World::new();
    let request = world.hosts[0].ask(Purpose::Counted, world.now);
    assert!(world.hosts[1].receive(&request, world.now).0);
    let mut judge = |at: Duration| world.hosts[1].judge(&request, START + at);
    let almost = LIVE_TIME - Duration::from_nanos(1);
    assert_eq!(judge(almost), RequestVerdict::Stale { offered_token: None });
    let verdict = judge(LIVE_TIME);
    let RequestVerdict::Stale { offered_token: Some(token) } = verdict else {
        panic!("{verdict:?}");
    };
    // The token is for who has the key, and lets nobody else do anything.
    let proven = Probe { token, sequence: 1, ..request.clone() };
    assert!(matches!(
        world.hosts[1].judge(&proven, START + LIVE_TIME),
        RequestVerdict::Accepted { newest: true, .. }
    ));
}

#[test]
fn sources_beyond_number_get_so_many_answers_and_no_more() {
    let mut world = World::new();
    let request = world.hosts[0].ask(Purpose::Counted, world.now);
    assert!(world.hosts[1].receive(&request, world.now).0);
    let at = world.now + LIVE_TIME;
    let answered = (0..5_000_u32).filter(|number| {
        let source = IpAddr::from((0xcb00_7100 + number).to_be_bytes());
        let verdict = world.hosts[1].judge_from(&request, source, at);
        matches!(verdict, RequestVerdict::Stale { offered_token: Some(_) })
    });
    assert_eq!(answered.count(), MAX_ANSWERS);
    // What has a new sequence is answered beside.
    let stranger = Probe { session: 7, ..request };
    let verdict = world.hosts[1].judge(&stranger, at);
    assert!(matches!(verdict, RequestVerdict::Unproven { offered_token: Some(_) }), "{verdict:?}");
}
