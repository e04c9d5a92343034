//! Tests of the path MTU search: over paths of any MTU, with loss, and with events in any order.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::probe::dplpmtud::{
    BASE_PLPMTU_IPV4, CONFIRMATION_TIMER, Dplpmtud, MAX_PROBES, MAX_SIZES, PMTU_RAISE_TIMER,
};

/// A path, its clock, and what went over it.
struct Path {
    mtu: u16,
    /// Share of probes that get lost, whatever their size.
    loss: f64,
    random: StdRng,
    now: Duration,
    probes: u32,
}

impl Path {
    fn new(mtu: u16) -> Self {
        Self {
            mtu,
            loss: 0.0,
            random: StdRng::seed_from_u64(8899),
            now: Duration::from_secs(1_000_000),
            probes: 0,
        }
    }

    /// One probe, if one is due.
    fn step(&mut self, search: &mut Dplpmtud) -> Option<u16> {
        let size = search.poll_transmit(self.now)?;
        assert_eq!(search.poll_transmit(self.now), None, "one at a time");
        self.probes += 1;
        self.now += Duration::from_millis(20);
        if size <= self.mtu && !self.random.random_bool(self.loss) {
            search.probe_acked(size, self.now);
        } else {
            search.probe_lost(size, self.now);
        }
        Some(size)
    }

    /// Until a search ends.
    fn run(&mut self, search: &mut Dplpmtud) -> Option<u32> {
        self.probes = 0;
        loop {
            assert_eq!(search.next_timeout(self.now).map(|due| due <= self.now), Some(true));
            self.step(search);
            assert!(self.probes <= 100, "no end: {search:?}");
            if search.next_timeout(self.now).is_some_and(|due| due > self.now) {
                return search.plpmtu();
            }
        }
    }
}

#[test]
fn every_path_is_found_exactly() {
    let mut random = StdRng::seed_from_u64(1);
    let mut most = 0;
    for mtu in 1200..=9001 {
        let any = random.random_range(BASE_PLPMTU_IPV4..=9001);
        for max in [any, mtu, mtu.saturating_add(1).min(9001), 1500, 9001] {
            let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, max);
            let mut path = Path::new(mtu);
            assert_eq!(path.run(&mut search), Some(u32::from(mtu.min(max))), "{mtu} of {max}");
            most = most.max(path.probes);
        }
        let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, u16::MAX);
        assert_eq!(Path::new(mtu).run(&mut search), Some(u32::from(mtu)));
    }
    assert!(most <= MAX_SIZES * u32::from(MAX_PROBES), "{most}");
}

#[test]
fn usual_paths_cost_little() {
    for (mtu, sizes) in [(1500, 2), (1400, 7), (1460, 7), (1480, 7), (1280, 7)] {
        let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
        let mut path = Path::new(mtu);
        let mut tried = Vec::new();
        while search.is_searching() {
            tried.extend(path.step(&mut search));
        }
        tried.dedup();
        assert!(tried.len() <= sizes, "{mtu}: {tried:?}");
    }
}

#[test]
fn with_loss_it_is_never_above_and_later_exact() {
    let mut low = 0;
    let mut searches = 0;
    for mtu in (1200..=9001).step_by(7) {
        let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 9001);
        let mut path = Path::new(mtu);
        path.random = StdRng::seed_from_u64(u64::from(mtu));
        path.loss = 0.1;
        let mut rounds = 0;
        loop {
            let found = path.run(&mut search);
            assert!(path.probes <= MAX_SIZES * u32::from(MAX_PROBES));
            assert!(found.is_none_or(|found| found <= u32::from(mtu)), "{found:?} over {mtu}");
            searches += 1;
            if found == Some(u32::from(mtu)) {
                break;
            }
            low += 1;
            rounds += 1;
            assert!(rounds <= 3, "{mtu}: still {found:?}");
            path.now += PMTU_RAISE_TIMER;
        }
    }
    // One size in a thousand is lost three times in a row, and a search tries up to 20.
    assert!(low * 50 < searches, "{low} of {searches} ended low");
}

#[test]
fn nothing_is_found_where_the_base_does_not_pass() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
    let mut path = Path::new(1100);
    assert_eq!(path.run(&mut search), None);
    assert_eq!(path.probes, u32::from(MAX_PROBES));
    path.mtu = 1400;
    path.now += CONFIRMATION_TIMER;
    assert_eq!(path.run(&mut search), Some(1400));
}

#[test]
fn a_black_hole_is_noticed_and_searched_anew() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
    let mut path = Path::new(1500);
    path.run(&mut search);
    path.mtu = 1420;
    path.now += CONFIRMATION_TIMER;
    for _ in 0..MAX_PROBES {
        assert_eq!(search.plpmtu(), Some(1500));
        assert_eq!(path.step(&mut search), Some(1500));
    }
    // What is proved so far is better than what is known to be wrong.
    assert_eq!(search.plpmtu(), Some(1200));
    let mut before = 1200;
    let mut steps = 0;
    while search.is_searching() {
        path.step(&mut search);
        let found = search.plpmtu().unwrap();
        assert!(found >= before && found <= 1420, "{before} {found}");
        steps += u32::from(found > before && search.is_searching());
        before = found;
    }
    assert_eq!(search.plpmtu(), Some(1420));
    assert!(steps > 0, "nothing was said before the end");
}

#[test]
fn two_losses_are_no_black_hole() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
    let mut path = Path::new(1500);
    path.run(&mut search);
    for _ in 0..5 {
        path.now += CONFIRMATION_TIMER;
        path.mtu = 1400;
        path.step(&mut search);
        path.step(&mut search);
        path.mtu = 1500;
        assert_eq!(path.step(&mut search), Some(1500));
        assert_eq!(search.poll_transmit(path.now), None);
        assert_eq!(search.plpmtu(), Some(1500));
    }
}

#[test]
fn silence_of_a_peer_says_nothing_of_sizes() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
    let path = Path::new(1500);
    for _ in 0..10 {
        let size = search.poll_transmit(path.now).unwrap();
        search.probe_abandoned(size);
    }
    assert!(search.is_searching());
    assert_eq!(search.plpmtu(), None);
}

#[test]
fn a_wider_path_is_noticed_after_a_while() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
    let mut path = Path::new(1400);
    path.run(&mut search);
    path.mtu = 1500;
    path.now += PMTU_RAISE_TIMER - CONFIRMATION_TIMER;
    assert_eq!(path.step(&mut search), Some(1400), "only confirmed");
    assert_eq!(search.plpmtu(), Some(1400));
    path.now += CONFIRMATION_TIMER;
    assert_eq!(path.run(&mut search), Some(1500));
}

#[test]
fn a_router_that_names_the_size_saves_the_search() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 9001);
    let mut path = Path::new(1337);
    let mut tried = Vec::new();
    while search.is_searching() {
        let size = path.step(&mut search).unwrap();
        tried.push(size);
        if size > path.mtu {
            search.suspect(path.mtu, path.now);
        }
    }
    assert_eq!(search.plpmtu(), Some(1337));
    tried.dedup();
    assert_eq!(tried, [1200, 9001, 1337, 1338]);
}

/// Anyone can send what a router would: it has the size in use probed, once in a while, and changes
/// nothing.
#[test]
fn a_false_report_changes_nothing() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
    let mut path = Path::new(1500);
    path.run(&mut search);
    let start = path.now;
    let mut probes = 0;
    while path.now < start + Duration::from_secs(10) {
        for mtu in [0, 68, 576, 1200, 1280, 1400, 1499, 1500, 9000] {
            search.suspect(mtu, path.now);
        }
        if let Some(size) = path.step(&mut search) {
            assert_eq!(size, 1500);
            probes += 1;
        }
        assert_eq!(search.plpmtu(), Some(1500));
        assert!(!search.is_searching());
        path.now += Duration::from_millis(1);
    }
    assert!((9..=11).contains(&probes), "{probes} in 10 s");
}

#[test]
fn a_false_report_misleads_no_search() {
    for reported in [0, 1200, 1201, 1280, 1399, 1401, 1499, 1500, 9001] {
        let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
        let mut path = Path::new(1400);
        path.probes = 0;
        while search.is_searching() {
            for mtu in [reported, 1200, 1201, 1300] {
                search.suspect(mtu, path.now);
            }
            path.step(&mut search);
        }
        assert_eq!(search.plpmtu(), Some(1400), "{reported}");
        assert!(path.probes <= MAX_SIZES * u32::from(MAX_PROBES), "{}", path.probes);
    }
}

#[test]
fn a_true_report_has_the_size_found_at_once() {
    for mtu in [1201, 1280, 1337, 1400, 1499] {
        let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
        let mut path = Path::new(1500);
        path.run(&mut search);
        path.mtu = mtu;
        search.suspect(mtu, path.now);
        for _ in 0..MAX_PROBES {
            assert_eq!(search.plpmtu(), Some(1500), "not proved yet");
            assert_eq!(path.step(&mut search), Some(1500));
        }
        assert!(search.follows_report());
        assert_eq!(path.step(&mut search), Some(mtu));
        // Never less than that, which senders would keep for minutes.
        assert_eq!(search.plpmtu(), Some(mtu.into()));
        while search.is_searching() {
            path.step(&mut search);
            assert_eq!(search.plpmtu(), Some(mtu.into()));
        }
        assert!(!search.follows_report());
    }
}

/// A report that is false about the size, of a path that has become narrower indeed.
#[test]
fn a_report_of_another_size_is_put_right() {
    for reported in [0, 576, 1200, 1250, 1399, 1401, 1450, 1499] {
        let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
        let mut path = Path::new(1500);
        path.run(&mut search);
        path.mtu = 1400;
        search.suspect(reported, path.now);
        path.step(&mut search);
        assert_eq!(path.run(&mut search), Some(1400), "{reported}");
    }
}

#[test]
fn a_report_during_a_search_is_followed_when_it_ends() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
    let mut path = Path::new(1450);
    while path.step(&mut search) != Some(1450) {}
    path.mtu = 1400;
    search.suspect(1400, path.now);
    while search.is_searching() {
        path.step(&mut search);
    }
    assert!(search.follows_report());
    assert_eq!(path.run(&mut search), Some(1400));
}

#[test]
fn a_refusal_of_the_kernel_makes_what_passed_smaller() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
    let mut path = Path::new(1500);
    path.run(&mut search);
    path.mtu = 1400;
    search.packet_too_big(1500, path.now);
    assert_eq!(path.run(&mut search), Some(1400));
    // Nobody makes it smaller than the base, or larger than it is.
    search.packet_too_big(600, path.now);
    search.packet_too_big(1450, path.now);
    assert!(!search.is_searching());
    assert_eq!(search.plpmtu(), Some(1400));
}

#[test]
fn the_first_link_may_change() {
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 1500);
    let mut path = Path::new(9000);
    assert_eq!(path.run(&mut search), Some(1500));
    search.set_max_plpmtu(9001, path.now);
    assert_eq!(path.run(&mut search), Some(9000));
    search.set_max_plpmtu(1400, path.now);
    assert_eq!(search.plpmtu(), Some(1400));
    assert!(!search.is_searching());
    search.set_max_plpmtu(1000, path.now);
    assert_eq!(search.plpmtu(), Some(1000));
    let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, 9001);
    assert_eq!(search.poll_transmit(path.now), Some(1200));
    search.probe_acked(1200, path.now);
    assert_eq!(search.poll_transmit(path.now), Some(9001));
    search.set_max_plpmtu(1500, path.now);
    search.probe_lost(9001, path.now);
    assert_eq!(path.run(&mut search), Some(1500));
}

/// Calls in any order, with any sizes: nothing panics, and what is found is within bounds.
#[test]
fn any_order_of_events_is_borne() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut now = Duration::from_secs(1_000_000);
        let mut max = random.random_range(600..=u16::MAX);
        let mut search = Dplpmtud::new(BASE_PLPMTU_IPV4, max);
        let mut last = None;
        for _ in 0..400 {
            now += Duration::from_secs(random.random_range(0..200));
            let any = random.random();
            let size = if random.random() { last.unwrap_or(any) } else { any };
            match random.random_range(0..8) {
                0 => search.probe_acked(size, now),
                1 => search.probe_lost(size, now),
                2 => search.probe_abandoned(size),
                3 if random.random() => search.packet_too_big(size, now),
                3 => search.suspect(size, now),
                4 if random.random_ratio(1, 4) => {
                    max = random.random_range(600..=u16::MAX);
                    search.set_max_plpmtu(max, now);
                }
                _ => {
                    let due = search.next_timeout(now);
                    let next = search.poll_transmit(now);
                    assert_eq!(next.is_some(), due.is_some_and(|due| due <= now), "{search:?}");
                    last = next.or(last);
                    assert!(next.is_none_or(|size| size <= max), "{next:?} of {max}: {search:?}");
                }
            }
            assert!(search.plpmtu().is_none_or(|found| found <= u32::from(max)), "{search:?}");
        }
    }
}
