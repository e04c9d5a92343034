//! The programs against the model of `docs/packets.md` (`vxlan_tests::model`), on frames that
//! nobody thought of: verdict and bytes of every packet, counters and forwarding table after every
//! batch.
//!
//! `VXLAN_FUZZ_PACKETS` says how many, `VXLAN_FUZZ_SEED` repeats a run. A disagreement is reported
//! with the seed, the frame, and a line for `regressions.txt`, which is replayed each time. Not
//! fuzzed: rates, which depend on the clock; GSO, which has no bytes; and of a flooded frame all
//! copies but the last, which leave by the overlay interface.
//!
//! `setups` is the configurations, `generate` and `mutate` make frames (`outer` and `nat` what is
//! around them, `inner`, `addresses` and `transport` what is in them), `plane` runs a program and
//! reads what it counted, `comparison` has both decide and compares.

mod addresses;
mod comparison;
mod generate;
mod inner;
mod mutate;
mod nat;
mod outer;
mod plane;
mod setups;
mod text;
mod transport;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    thread,
};

use comparison::{Comparison, Failure};
use generate::Generator;
use setups::Setup;
use vxlan_common::{
    counters::NatField,
    reason::{DropReason, RxDrop, TxDrop},
};

use crate::bench::{Program, own_namespace};

/// How many packets, where the environment does not say.
const PACKETS: u64 = 2_000_000;
/// A data plane and a model live as long: what they learned shall not fill up.
const SEGMENT: u64 = 50_000;
/// Counters and forwarding table are compared after each.
const BATCH: u64 = 1_000;
/// As many as the machines this is made for have.
const THREADS: u64 = 2;

fn from_environment(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Packets from one seed, on a data plane of its own.
#[derive(Clone, Copy)]
struct Segment<'a> {
    setup: &'a Setup,
    /// `decap_tc` stands for `decap`.
    in_tc: bool,
    seed: u64,
    packets: u64,
}

impl Segment<'_> {
    /// `look_closely`: counters are compared after every packet of that batch.
    ///
    /// What was counted of anybody.
    fn run(self, look_closely: Option<u64>) -> Result<BTreeSet<String>, Failure> {
        let mut generator = Generator::new(self.setup, self.seed);
        // Enough entries, or one for all: what is remembered is met by packets of every other pair.
        let entries = (self.seed % 2 == 1).then_some(1);
        let mut comparison = Comparison::new(self.setup, self.in_tc, entries);
        for number in 0..self.packets {
            let (program, frame) = generator.frame();
            if let Some(peer) = comparison.compare(program, &frame)? {
                generator.accepted(&frame, peer);
            }
            if let Some(peer) = generator.moves() {
                comparison.moves(peer);
            }
            let closely = look_closely == Some(number / BATCH);
            if closely || number % BATCH == BATCH - 1 || number + 1 == self.packets {
                comparison.compare_state(closely.then_some((program, &frame[..])))?;
            }
        }
        Ok(comparison.kinds())
    }

    fn first_failure(self) -> Result<BTreeSet<String>, Failure> {
        let failure = match self.run(None) {
            Ok(kinds) => return Ok(kinds),
            Err(failure) => failure,
        };
        // Counters that differ after a batch do not say whose frame it was.
        let batch = failure.number / BATCH;
        let closer = failure.frame.is_none().then(|| self.run(Some(batch)).err());
        Err(closer.flatten().unwrap_or(failure))
    }
}

#[test]
fn programs_and_model_agree() {
    let packets = from_environment("VXLAN_FUZZ_PACKETS").unwrap_or(PACKETS);
    let seed = from_environment("VXLAN_FUZZ_SEED").unwrap_or_else(rand::random);
    println!("VXLAN_FUZZ_SEED={seed} VXLAN_FUZZ_PACKETS={packets}");
    let setups = setups::all();
    let segments: Vec<_> = (0..packets.div_ceil(SEGMENT))
        .map(|index| Segment {
            setup: &setups[(index % setups.len() as u64) as usize],
            in_tc: index / setups.len() as u64 % 2 == 1,
            seed: seed.wrapping_add(index.wrapping_mul(0x9e37_79b9)),
            packets: SEGMENT.min(packets - index * SEGMENT),
        })
        .collect();
    let fight = |thread: u64| {
        own_namespace();
        let mine = segments.iter().skip(thread as usize).step_by(THREADS as usize);
        mine.map(|segment| segment.first_failure()).collect::<Vec<_>>()
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || fight(n))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let (mut kinds, mut failures) = (BTreeSet::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(counted) => kinds.extend(counted),
            Err(failure) => failures.push(failure),
        }
    }
    assert!(failures.is_empty(), "VXLAN_FUZZ_SEED={seed}\n{}", report(&failures));
    if packets >= PACKETS {
        let all = everything_counted();
        let unseen: Vec<_> = all.difference(&kinds).collect();
        assert!(unseen.is_empty(), "VXLAN_FUZZ_SEED={seed}\nnever seen: {unseen:?}");
    }
}

/// What packets by themselves can make the programs count.
fn everything_counted() -> BTreeSet<String> {
    let reasons = DropReason::all().map(|reason| (reason, reason.direction(), reason.label()));
    // By a clock, by a driver, by the kernel; or by nothing that there is.
    let elsewhere = |reason| match reason {
        DropReason::Rx(reason) => matches!(
            reason,
            RxDrop::RateLimited
                | RxDrop::NoHeadroom
                | RxDrop::RedirectFailed
                | RxDrop::TtlExpired
                | RxDrop::Aggregate
        ),
        DropReason::Tx(reason) => {
            matches!(reason, TxDrop::RateLimited | TxDrop::EncapFailed | TxDrop::RedirectFailed)
        }
    };
    let drops = reasons.filter(|(reason, ..)| !elsewhere(*reason));
    let drops = drops.map(|(_, direction, label)| format!("{direction} {label}"));
    let nat = NatField::ALL.iter().map(|field| format!("nat {}", field.label()));
    let others = ["tx_packets", "tx_bytes", "neighbour_replies", "too_big_sent", "probes"]
        .map(str::to_owned);
    drops.chain(nat).chain(others).collect()
}

/// One of each kind, the most frequent first.
fn report(failures: &[Failure]) -> String {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    for failure in failures {
        kinds.entry(&failure.kind).or_default().push(failure);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, failures)| usize::MAX - failures.len());
    let mut text = String::new();
    for (kind, failures) in kinds {
        let _ = writeln!(text, "{} times: {kind}\n{}", failures.len(), failures[0].text);
    }
    text
}

/// Frames that once disagreed: a comment that says why, then program, configuration, bytes. What
/// follows each other without a comment between runs on the same data plane.
#[test]
fn regressions() {
    own_namespace();
    for in_tc in [false, true] {
        replay(in_tc);
    }
}

fn replay(in_tc: bool) {
    let setups = setups::all();
    let mut comparison = None;
    let (mut frames, mut failures) = (0, Vec::new());
    for line in include_str!("regressions.txt").lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            comparison = None;
            continue;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let [program, name, hex] = words[..] else { panic!("not three words: {line}") };
        let setup = setups.iter().find(|setup| setup.name == name);
        let setup = setup.unwrap_or_else(|| panic!("no such configuration: {line}"));
        let program = match program {
            "decap" => Program::Decap,
            "encap" => Program::Encap,
            _ => panic!("no such program: {line}"),
        };
        let bytes: Option<Vec<_>> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
            .collect();
        let frame = bytes.unwrap_or_else(|| panic!("not hex: {line}"));
        let comparison = comparison.get_or_insert_with(|| Comparison::new(setup, in_tc, None));
        let outcome = comparison.compare(program, &frame);
        let outcome = outcome.and_then(|_| comparison.compare_state(Some((program, &frame))));
        failures.extend(outcome.err());
        frames += 1;
    }
    assert!(failures.is_empty(), "{}", report(&failures));
    println!("{frames} frames");
}
