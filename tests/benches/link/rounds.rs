//! Has the arms of a benchmark take turns: content first, a warm-up, then rounds in random order.

use std::{collections::BTreeMap, io::IsTerminal as _, time::Instant};

use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rand::{SeedableRng as _, rngs::SmallRng, seq::SliceRandom as _};
use vxlan_tests::bench::{Measured, Round, Sample};

use crate::{
    args::Args,
    room::{Entry, Room, Size},
};

/// A void sample is taken again, so many times in its round.
const TRIES: u32 = 3;

pub(crate) fn run(entry: &Entry, args: &Args) -> Result<Vec<Measured>> {
    let bar = bar(&entry.name);
    let size = if args.quick { Size::Quick } else { Size::Full };
    let start = Instant::now();
    bar.set_message("preparing");
    let mut room = (entry.make)(size)?;
    let benches = room.benches();
    let first = benches.first().context("a benchmark that measures nothing")?;
    let mut arms: Vec<_> = first.arms.iter().map(|arm| arm.name.clone()).collect();
    bar.set_length(((args.rounds() + 1) * arms.len()) as u64);
    for arm in &arms {
        bar.set_message(format!("{arm}: are the bytes right?"));
        room.check(arm).with_context(|| format!("what {arm} delivers"))?;
    }
    // Of the name too: alone it has the same order as among others.
    let mut rng = SmallRng::seed_from_u64(args.seed ^ digest(&entry.name));
    let mut measured: Vec<_> =
        benches.into_iter().map(|bench| Measured { bench, rounds: Vec::new() }).collect();
    for round in 0..=args.rounds() {
        arms.shuffle(&mut rng);
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); measured.len()];
        for arm in &arms {
            bar.set_message(format!("{arm}: round {round} of {}", args.rounds()));
            sample(&bar, room.as_mut(), arm, &mut samples)?;
            bar.inc(1);
        }
        // The first one warms up.
        if round > 0 {
            for (measured, samples) in measured.iter_mut().zip(samples) {
                measured.rounds.push(Round { samples });
            }
        }
    }
    bar.finish_and_clear();
    eprintln!("{}: {:.0?}", entry.name, start.elapsed());
    Ok(measured)
}

/// Takes one sample of an arm, which is void only where each try was.
fn sample(
    bar: &ProgressBar,
    room: &mut dyn Room,
    arm: &str,
    samples: &mut [Vec<Sample>],
) -> Result<()> {
    let mut reading = room.measure(arm).with_context(|| arm.to_owned())?;
    let mut retaken = 0;
    while let Some(reason) = &reading.void
        && retaken + 1 < TRIES
    {
        let line = format!("{arm}: void, again: {reason}");
        // A bar that is not displayed displays no lines either.
        if bar.is_hidden() {
            eprintln!("{line}")
        } else {
            bar.println(line)
        }
        retaken += 1;
        reading = room.measure(arm).with_context(|| arm.to_owned())?;
    }
    ensure!(reading.values.len() == samples.len(), "{arm}: {} values", reading.values.len());
    for (samples, value) in samples.iter_mut().zip(reading.values) {
        let void = reading.void.clone();
        samples.push(Sample { arm: arm.to_owned(), value, void, retaken });
    }
    Ok(())
}

/// A first look; the report has the intervals.
pub(crate) fn print(measured: &Measured) {
    let bench = &measured.bench;
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut void = 0;
    for sample in measured.rounds.iter().flat_map(|round| &round.samples) {
        void += sample.retaken + u32::from(sample.void.is_some());
        if sample.void.is_none() {
            values.entry(&sample.arm).or_default().push(sample.value);
        }
    }
    println!("{}, {} ({void} void)", bench.name, bench.unit);
    for arm in &bench.arms {
        let Some(values) = values.get_mut(arm.name.as_str()) else {
            println!("  {:14} void", arm.name);
            continue;
        };
        values.sort_by(f64::total_cmp);
        let [low, median, high] =
            [0.25, 0.5, 0.75].map(|at| values[((values.len() - 1) as f64 * at).round() as usize]);
        let digits = if median < 10.0 { 3 } else { 1 };
        println!("  {:14} {median:9.digits$} ({low:.digits$} to {high:.digits$})", arm.name);
    }
}

fn bar(name: &str) -> ProgressBar {
    // Elsewhere there is a line when it is done.
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(1), target).with_prefix(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {eta} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// FNV-1a.
fn digest(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
