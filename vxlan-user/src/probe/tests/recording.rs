//! Somebody records all that two hosts ever send, delivered or not, and sends it again, in any
//! order, at any later time, to either of them, whoever of them has started anew in between.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Host, Random, carry};
use crate::probe::{
    Probe, ProbeKind, Purpose, REPLY_TIMEOUT, RequestVerdict,
    association::OFFER_LIFE,
    sessions::{DRIFT, LATENESS},
};

struct Recorded {
    probe: Probe,
    to: usize,
    sent: Duration,
    /// How often the receiver had started when this was sent.
    starts: u64,
}

struct World {
    hosts: [Host; 2],
    starts: [u64; 2],
    now: Duration,
    random: Random,
    /// Everything ever sent.
    recording: Vec<Recorded>,
    /// What is on its way: indices.
    flying: Vec<usize>,
    /// What has counted: session and sequence, of the request or of the one answered.
    counted: BTreeSet<(ProbeKind, u64, u64)>,
    accepted: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            hosts: [Host::new("a", "b", 2 * seed), Host::new("b", "a", 2 * seed + 1)],
            starts: [0; 2],
            now: Duration::from_secs(1),
            random: Random::new(seed ^ 0x5555),
            recording: Vec::new(),
            flying: Vec::new(),
            counted: BTreeSet::new(),
            accepted: 0,
        }
    }

    fn send(&mut self, to: usize, probe: Probe) {
        self.flying.push(self.recording.len());
        let starts = self.starts[to];
        self.recording.push(Recorded { probe, to, sent: self.now, starts });
    }

    fn arrive(&mut self, index: usize) {
        let Recorded { ref probe, to, sent, starts } = self.recording[index];
        let (counts, sends) = self.hosts[to].receive(probe, self.now);
        if counts {
            let (session, sequence) = match probe.kind {
                ProbeKind::Request => (probe.session, probe.sequence),
                ProbeKind::Reply => (probe.echoed_session, probe.echoed_sequence),
            };
            let first = self.counted.insert((probe.kind, session, sequence));
            assert!(first, "{:?} {sequence} counts twice", probe.kind);
            assert_eq!(starts, self.starts[to], "made for who was there before");
            let limit = match probe.kind {
                ProbeKind::Request => LATENESS + OFFER_LIFE + self.now / DRIFT as u32,
                ProbeKind::Reply => REPLY_TIMEOUT,
            };
            assert!(self.now - sent <= limit, "held back for {:?}", self.now - sent);
            self.accepted += 1;
        }
        for probe in sends {
            self.send(1 - to, probe);
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..20 => {
                let longest = [10, 1000, 20_000, 200_000][self.random.below(4)];
                self.now += Duration::from_millis(self.random.below(longest) as u64);
            }
            20..35 => {
                let from = self.random.below(2);
                let kinds = [Purpose::Counted, Purpose::Size, Purpose::Unsolicited];
                self.hosts[from].association.expire(self.now + self.hosts[from].clock);
                let purpose = kinds[self.random.below(3)];
                let probe = self.hosts[from].ask(purpose, self.now);
                self.send(1 - from, probe);
            }
            35..70 if !self.flying.is_empty() => {
                let index = self.random.below(self.flying.len());
                let index = self.flying.swap_remove(index);
                self.arrive(index);
            }
            70..73 if !self.flying.is_empty() => {
                let index = self.random.below(self.flying.len());
                self.flying.swap_remove(index);
            }
            73 => {
                let which = self.random.below(2);
                let (name, peer) = [("a", "b"), ("b", "a")][which];
                self.starts[which] += 1;
                self.hosts[which] = Host::new(name, peer, self.random.number());
            }
            74..99 if !self.recording.is_empty() => self.replay(),
            99 => self.come_together(),
            _ => {}
        }
    }

    /// Plays some of the recording, in a row or not; sends some back to who has made it.
    fn replay(&mut self) {
        let start = self.random.below(self.recording.len());
        for number in 0..self.random.below(8) {
            let index = if self.random.flip() {
                self.random.below(self.recording.len())
            } else {
                (start + number).min(self.recording.len() - 1)
            };
            if self.random.below(4) > 0 {
                self.arrive(index);
                continue;
            }
            let Recorded { ref probe, to, .. } = self.recording[index];
            let (counts, sends) = self.hosts[1 - to].receive(probe, self.now);
            assert!(!counts && sends.is_empty(), "reflected");
        }
    }

    /// However confused they are: once somebody asks, both know each other.
    fn come_together(&self) {
        for from in [0, 1] {
            let mut hosts = self.hosts.clone();
            // The recording may have used up the answers of this second.
            let now = self.now + Duration::from_secs(1);
            carry(&mut hosts, from, now);
            let request = hosts[from].ask(Purpose::Counted, now);
            let verdict = hosts[1 - from].judge(&request, now);
            assert!(
                matches!(verdict, RequestVerdict::Accepted { newest: true, .. }),
                "{verdict:?}"
            );
        }
    }
}

#[test]
fn nothing_counts_twice_or_after_it_was_held_back() {
    let mut accepted = 0;
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..2000 {
            world.step();
        }
        accepted += world.accepted;
    }
    assert!(accepted > 5_000, "the honest ones must get through: {accepted}");
}

#[test]
fn a_whole_recording_played_at_any_later_time_counts_for_nothing() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        let mut random = Random::new(seed);
        for round in 0..40 {
            if round % 10 == 9 {
                world.hosts[round % 2] =
                    Host::new(["a", "b"][round % 2], ["b", "a"][round % 2], random.number());
            }
            world.now += Duration::from_secs(5);
            let probe = world.hosts[round % 2].ask(Purpose::Counted, world.now);
            world.send(1 - round % 2, probe);
            while let Some(index) = world.flying.pop() {
                world.arrive(index);
            }
        }
        let before = world.accepted;
        assert!(before > 80, "{before}");
        for wait in [0, 1, 100, 86_400, 86_400 * 365] {
            world.now += Duration::from_secs(wait);
            let [a, b] = [0, 1].map(|host| world.hosts[host].association.received());
            for _ in 0..2 * world.recording.len() {
                let index = random.below(world.recording.len());
                world.arrive(index);
            }
            for index in 0..world.recording.len() {
                world.arrive(index);
            }
            assert_eq!([a, b], [0, 1].map(|host| world.hosts[host].association.received()));
        }
        assert_eq!(world.accepted, before);
        world.come_together();
    }
}
