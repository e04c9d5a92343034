//! Estimates from rounds: the median, and the interval in which it lies.
//!
//! Arms are compared within a round, where what disturbs one disturbs the other: the ratio is taken
//! in each round, then its median over the rounds. The interval is a percentile bootstrap (Efron
//! and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): rounds are drawn with
//! replacement, as many as there are, and the medians of many such draws are put in order. Its
//! random numbers start from a fixed seed, so that a report always gives the same figures.

use super::measurement::{Better, Measured};

/// Fewer values have no interval worth the name: even the range of 4 holds their law's median in
/// but 7 of 8 cases.
const MIN_ROUNDS: usize = 4;
/// How often rounds are drawn.
const RESAMPLES: usize = 2000;
/// How much of the resampled medians lies within the interval.
const CONFIDENCE: f64 = 0.95;
const SEED: u64 = 0x5eed_0fbe_9c45_0001;

/// A median with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    /// How many rounds it is from.
    pub rounds: usize,
}

impl Estimate {
    /// Of values, one a round; none of too few.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.len() < MIN_ROUNDS {
            return None;
        }
        let median = median(values)?;
        let mut random = SplitMix64(SEED);
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let draw = |_| values[random.below(values.len())];
                median_of((0..values.len()).map(draw).collect())
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let at = |share: f64| medians[((RESAMPLES - 1) as f64 * share).round() as usize];
        Some(Self { median, low: at(tail), high: at(1.0 - tail), rounds: values.len() })
    }

    /// How far the interval reaches from the median, the farther side: what this run cannot tell
    /// from nothing.
    pub fn noise(&self) -> f64 {
        (self.high - self.median).max(self.median - self.low)
    }
}

/// How many times as good an arm is as its base: above 1, the arm is better. A round in which
/// either has no valid sample has no pair. None of too few
/// pairs.
pub fn ratio(measured: &Measured, arm: &str, base: &str) -> Option<Estimate> {
    let ratios: Vec<f64> = measured
        .rounds
        .iter()
        .filter_map(|round| {
            let (arm, base) = (round.value(arm)?, round.value(base)?);
            let ratio = match measured.bench.better {
                Better::More => arm / base,
                Better::Less => base / arm,
            };
            ratio.is_finite().then_some(ratio)
        })
        .collect();
    Estimate::of(&ratios)
}

/// What an arm had, over the rounds in which it has a valid sample.
pub fn value(measured: &Measured, arm: &str) -> Option<Estimate> {
    let values: Vec<f64> = measured.rounds.iter().filter_map(|round| round.value(arm)).collect();
    Estimate::of(&values)
}

fn median(values: &[f64]) -> Option<f64> {
    median_of(values.to_vec())
}

/// The middle value, or the mean of the two in the middle.
fn median_of(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = *values.get(half)?;
    Some(if values.len() % 2 == 1 { upper } else { values[half - 1].midpoint(upper) })
}

/// Steele, Lea and Flood's generator (Fast Splittable Pseudorandom Number Generators, 2014): the
/// same numbers on every machine and with every version of every crate.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, by the multiplication of Lemire without its rejection: `bound` is so
    /// small that what is left of bias is below 2⁻⁵⁰.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::measurement::{Bench, Round, Sample};
    use super::*;

    fn measured(better: Better, rounds: &[&[(&str, f64, Option<&str>)]]) -> Measured {
        let sample = |&(arm, value, void): &(&str, f64, Option<&str>)| Sample {
            arm: arm.to_owned(),
            value,
            void: void.map(str::to_owned),
            retaken: 0,
        };
        let round = |samples: &&[_]| Round { samples: samples.iter().map(sample).collect() };
        Measured {
            bench: Bench {
                name: "test".to_owned(),
                condition: String::new(),
                unit: "ns/packet".to_owned(),
                better,
                baseline: "kernel".to_owned(),
                arms: Vec::new(),
            },
            rounds: rounds.iter().map(round).collect(),
        }
    }

    #[test]
    fn the_random_numbers_are_those_of_the_reference_implementation() {
        // splitmix64.c of prng.di.unimi.it, state 1234567.
        let mut random = SplitMix64(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([random.next(), random.next()], expected);
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn the_ratio_is_paired_within_a_round_and_above_1_when_the_arm_is_better() {
        // The machine slows down from round to round: medians that are not paired lose that.
        let rounds: [&[_]; 4] = [
            &[("ours", 10.0, None), ("kernel", 15.0, None)],
            &[("ours", 12.0, None), ("kernel", 18.0, None)],
            &[("kernel", 30.0, None), ("ours", 20.0, None)],
            &[("ours", 30.0, None), ("kernel", 45.0, None)],
        ];
        for (better, expected) in [(Better::Less, 1.5), (Better::More, 1.0 / 1.5)] {
            let found = ratio(&measured(better, &rounds), "ours", "kernel").expect("four rounds");
            assert_eq!((found.median, found.low, found.high), (expected, expected, expected));
            assert_eq!((found.rounds, found.noise()), (4, 0.0));
        }
    }

    #[test]
    fn what_is_void_or_missing_makes_no_pair() {
        let good: &[_] = &[("ours", 10.0, None), ("kernel", 20.0, None)];
        let bad: [&[_]; 3] = [
            &[("ours", 10.0, None), ("kernel", 90.0, Some("other work on the processor"))],
            &[("kernel", 70.0, None)],
            &[("ours", 0.0, None), ("kernel", 70.0, None)],
        ];
        let all = [[good; 4].as_slice(), bad.as_slice()].concat();
        assert_eq!(ratio(&measured(Better::Less, &all[1..]), "ours", "kernel"), None);
        let measured = measured(Better::Less, &all);
        let found = ratio(&measured, "ours", "kernel").expect("four pairs");
        assert_eq!((found.median, found.rounds), (2.0, 4));
        assert_eq!(value(&measured, "kernel").map(|found| found.rounds), Some(6));
        assert_eq!(ratio(&measured, "ours", "empty"), None);
    }

    #[test]
    fn the_interval_is_the_one_of_order_statistics() {
        // Of 15 values the bootstrap's medians follow a binomial law: below the 4th and above the
        // 12th value lie 1.4 % each, below the 5th 5.1 %. So the bounds at 2.5 % are those values.
        let values: Vec<f64> = (1..=15).map(f64::from).collect();
        let found = Estimate::of(&values).expect("15 values");
        assert_eq!((found.median, found.low, found.high), (8.0, 4.0, 12.0));
        assert_eq!(found.noise(), 4.0);
    }

    #[test]
    fn an_interval_follows_the_spread_and_one_outlier_hardly_moves_it() {
        let spread = |by: f64| (0..13).map(move |n| 1.0 + by * (f64::from(n) - 6.0)).collect();
        let noise = |values: Vec<f64>| Estimate::of(&values).expect("values").noise();
        let (narrow, wide): (f64, f64) = (noise(spread(0.01)), noise(spread(0.02)));
        assert!((wide / narrow - 2.0).abs() < 1e-9, "{narrow} {wide}");
        let mut disturbed: Vec<f64> = spread(0.01);
        disturbed[12] = 50.0;
        assert!(noise(disturbed) <= narrow + 1e-9);
    }
}
