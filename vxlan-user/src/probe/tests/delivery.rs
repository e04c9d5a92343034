//! Whether data arrives, by the counters of both ends: what is found, and what must not be.

use std::time::Duration;

use crate::probe::delivery::{DeliveryTracker, PeerCounts};

const SECOND: u64 = 1000;

/// Two hosts, in ms. This one reads its counters once in a second, the peer does too, half a second
/// later.
struct Link {
    tracker: DeliveryTracker,
    now: u64,
    sent: u64,
    received: u64,
    peer: Counters,
    /// What the peer has read last.
    read: Counters,
    session: u64,
    /// Time that a report takes.
    transit: u64,
    in_flight: Vec<(u64, PeerCounts)>,
}

#[derive(Clone, Copy, Default)]
struct Counters {
    received: u64,
    sent: u64,
}

/// Traffic per second, and which share of it arrives, in tenths.
#[derive(Clone, Copy)]
struct Traffic {
    tx: u64,
    tx_arrives: u64,
    rx: u64,
    rx_arrives: u64,
}

const BOTH: Traffic = Traffic { tx: 100, tx_arrives: 10, rx: 40, rx_arrives: 10 };
const IDLE: Traffic = Traffic { tx: 0, tx_arrives: 10, rx: 0, rx_arrives: 10 };

impl Link {
    fn new() -> Self {
        Self {
            tracker: DeliveryTracker::default(),
            now: 1_000_000,
            sent: 5,
            received: 9,
            peer: Counters { received: 1_000, sent: 2_000 },
            read: Counters { received: 1_000, sent: 2_000 },
            session: 1,
            transit: 40,
            in_flight: Vec::new(),
        }
    }

    /// Runs for some seconds, with a report each 2.4 s.
    fn run(&mut self, seconds: u64, traffic: Traffic) {
        for _ in 0..seconds * 100 {
            self.now += 10;
            let due = |rate: u64| rate != 0 && self.now % (1000 / rate.min(100)) < 10;
            let counts = |n: u64, arrives: u64| u64::from(n % 10 < arrives);
            if due(traffic.tx) {
                self.sent += 1;
                self.peer.received += counts(self.sent, traffic.tx_arrives);
            }
            if due(traffic.rx) {
                self.peer.sent += 1;
                self.received += counts(self.peer.sent, traffic.rx_arrives);
            }
            if self.now % SECOND == 500 {
                self.read = self.peer;
            }
            if self.now.is_multiple_of(SECOND) {
                self.tracker.sample(self.time(), self.sent, self.received);
            }
            if self.now.is_multiple_of(2400) {
                let report = PeerCounts {
                    session: self.session,
                    sent_at: (self.now + 7_000_000) * 1_000_000,
                    received: self.read.received,
                    sent: self.read.sent,
                };
                self.in_flight.push((self.now + self.transit, report));
            }
            while let Some(index) = self.in_flight.iter().position(|(at, _)| *at <= self.now) {
                let (_, report) = self.in_flight.remove(index);
                self.tracker.report(&report, self.time());
            }
        }
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    /// Whether data is lost: transmit, receive.
    fn lost(&self) -> (bool, bool) {
        let delivery = self.tracker.delivery(self.time());
        (delivery.tx.is_some(), delivery.rx.is_some())
    }

    /// Runs for some seconds in which nothing must be found.
    fn run_whole(&mut self, seconds: u64, traffic: Traffic) {
        for _ in 0..seconds {
            self.run(1, traffic);
            assert_eq!(self.lost(), (false, false), "at {}", self.now);
        }
    }

    /// Returns after how many seconds this is the case.
    fn until(&mut self, traffic: Traffic, lost: (bool, bool)) -> u64 {
        for second in 1..60 {
            self.run(1, traffic);
            if self.lost() == lost {
                return second;
            }
        }
        panic!("{:?}, not {lost:?}", self.lost());
    }
}

#[test]
fn what_arrives_is_not_lost() {
    let mut link = Link::new();
    link.run_whole(60, BOTH);
    link.run_whole(60, IDLE);
    link.run_whole(10, Traffic { rx: 0, ..BOTH });
    for _ in 0..40 {
        // Bursts, and pauses of any length.
        link.run_whole(1, BOTH);
        link.run_whole(1 + link.now / SECOND % 7, IDLE);
    }
    let delivery = link.tracker.delivery(link.time());
    let counts = delivery.counts.expect("reports came");
    assert!(counts.peer_received.abs_diff(counts.sent) < 200, "{counts:?}");
    assert_eq!(delivery.peer_received, Some(link.peer.received));
}

#[test]
fn half_is_loss_and_no_dead_link() {
    let mut link = Link::new();
    link.run_whole(120, Traffic { tx_arrives: 5, rx_arrives: 2, ..BOTH });
}

#[test]
fn a_direction_that_dies_is_found_within_15_seconds_and_recovers() {
    for rate in [1, 2, 4, 50] {
        for (tx_arrives, rx_arrives) in [(0, 10), (10, 0), (0, 0)] {
            let whole = Traffic { tx: rate, rx: rate, ..BOTH };
            let dead = Traffic { tx_arrives, rx_arrives, ..whole };
            let lost = (tx_arrives == 0, rx_arrives == 0);
            let mut link = Link::new();
            link.run_whole(30, whole);
            let took = link.until(dead, lost);
            assert!(took <= 15, "{rate} packets a second: after {took} s");
            for _ in 0..60 {
                link.run(1, dead);
                assert_eq!(link.lost(), lost, "it stays so");
            }
            // A pause changes nothing.
            link.run(30, Traffic { tx: 0, rx: 0, ..whole });
            assert_eq!(link.lost(), lost);
            let took = link.until(whole, (false, false));
            assert!(took <= 15, "{rate} packets a second: recovered after {took} s");
            link.run_whole(60, whole);
        }
    }
}

#[test]
fn a_link_that_was_dead_from_the_start_is_found() {
    let mut link = Link::new();
    let dead = Traffic { tx_arrives: 0, rx_arrives: 0, ..BOTH };
    let took = link.until(dead, (true, true));
    assert!(took <= 15, "{took}");
    let lost = link.tracker.delivery(link.time()).tx.expect("it is lost");
    assert!(lost.sent >= 100 && lost.arrived == 0, "{lost:?}");
}

#[test]
fn a_few_stray_packets_are_no_loss() {
    let mut link = Link::new();
    for _ in 0..50 {
        // Four that the other end refuses, as a host's own announcements are.
        link.run_whole(2, Traffic { tx: 2, tx_arrives: 0, ..IDLE });
        link.run_whole(28, IDLE);
    }
}

#[test]
fn counters_that_begin_anew_are_no_loss() {
    let mut link = Link::new();
    link.run_whole(30, BOTH);
    (link.peer, link.session) = (Counters::default(), 2);
    link.run_whole(30, BOTH);
    // Counters that go back in the same session, and those of this host.
    link.peer = Counters { received: 10, ..link.peer };
    link.run_whole(30, BOTH);
    (link.sent, link.received) = (0, 0);
    link.run_whole(30, BOTH);
}

#[test]
fn a_loss_is_forgotten_with_the_session_and_in_time() {
    let dead = Traffic { tx_arrives: 0, ..BOTH };
    let mut link = Link::new();
    link.run_whole(30, BOTH);
    link.until(dead, (true, false));
    link.run(280, IDLE);
    assert_eq!(link.lost(), (true, false));
    link.run(40, IDLE);
    assert_eq!(link.lost(), (false, false), "nobody can say whether it still is");
    link.until(dead, (true, false));
    link.session = 2;
    link.run(4, IDLE);
    assert_eq!(link.lost(), (false, false));
}

#[test]
fn reports_that_are_late_are_as_old_as_they_are_late() {
    let mut link = Link::new();
    link.run_whole(30, BOTH);
    for transit in [4_000, 30, 9_000, 30, 30, 20_000, 700, 30] {
        link.transit = transit;
        link.run_whole(9, BOTH);
    }
}
