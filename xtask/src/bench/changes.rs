//! `--check`: which ratios have become worse than in the committed report, beyond the noise that
//! both runs have measured themselves.
//!
//! Only ratios are compared, never times: these follow the machine and what else it does. A ratio
//! is worse when it is lower by more than both intervals' halves together. Where nothing has
//! changed, that happens to 1 ratio in some 300.

use vxlan_tests::bench::{self, Estimate, Measured, Report, Role};

use super::text;

/// What became of one ratio.
#[derive(Debug, PartialEq)]
pub(super) struct Change {
    /// The benchmark, the arm, and what it is compared with.
    what: String,
    before: Estimate,
    now: Option<Estimate>,
}

/// Each arm of this product in each benchmark that both have; and benchmarks that only the
/// committed report has, which were not looked at.
pub(super) fn compare<'a>(committed: &'a Report, run: &Report) -> (Vec<Change>, Vec<&'a str>) {
    let (mut changes, mut absent) = (Vec::new(), Vec::new());
    for before in &committed.measurement.benches {
        match run.bench(&before.bench.name) {
            Some(now) => changes.extend(of_bench(before, now)),
            None => absent.push(before.bench.name.as_str()),
        }
    }
    (changes, absent)
}

fn of_bench(before: &Measured, now: &Measured) -> Vec<Change> {
    let ours = before.bench.arms.iter().filter(|arm| arm.role == Role::Ours);
    ours.filter_map(|arm| {
        let base = before.bench.baseline_of(arm)?;
        Some(Change {
            what: format!("{}: {} against {base}", before.bench.name, arm.name),
            before: bench::ratio(before, &arm.name, base)?,
            now: bench::ratio(now, &arm.name, base),
        })
    })
    .collect()
}

impl Change {
    /// Also where this run has no ratio to compare.
    pub(super) fn is_worse(&self) -> bool {
        self.now.is_none_or(|now| self.before.median - now.median > self.noise(&now))
    }

    fn is_better(&self) -> bool {
        self.now.is_some_and(|now| now.median - self.before.median > self.noise(&now))
    }

    fn noise(&self, now: &Estimate) -> f64 {
        self.before.noise() + now.noise()
    }

    /// One line for a person.
    pub(super) fn line(&self) -> String {
        let before = text::ratio(&self.before);
        let Some(now) = &self.now else {
            return format!("NOT MEASURED  {}: was {before}, has no round that counts", self.what);
        };
        let verdict = match (self.is_worse(), self.is_better()) {
            (true, _) => "WORSE ",
            (_, true) => "better",
            _ => "same  ",
        };
        let percent = (now.median / self.before.median - 1.0) * 100.0;
        let noise = self.noise(now) / self.before.median * 100.0;
        format!(
            "{verdict}  {}: {} after {before}: {percent:+.1} %, noise {noise:.1} %",
            self.what,
            text::ratio(now)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    fn change(before: (f64, f64), now: (f64, f64)) -> Change {
        let reports = [before, now].map(|(ratio, spread)| sample::with_spread(ratio, spread));
        let (mut changes, absent) = compare(&reports[0], &reports[1]);
        assert!(absent.is_empty() && changes.len() == 1, "{changes:?}");
        changes.remove(0)
    }

    #[test]
    fn a_drop_counts_only_beyond_the_noise_of_both_runs() {
        assert!(!change((1.25, 0.0), (1.25, 0.0)).is_worse());
        assert!(change((1.25, 0.0), (1.24, 0.0)).is_worse());
        assert!(!change((1.25, 0.0), (1.30, 0.0)).is_worse());
        // Of 12 rounds within ±0.12 the median's interval is about ±0.07.
        assert!(!change((1.25, 0.12), (1.20, 0.0)).is_worse());
        assert!(!change((1.25, 0.0), (1.20, 0.12)).is_worse());
        assert!(!change((1.25, 0.12), (1.15, 0.12)).is_worse());
        assert!(change((1.25, 0.12), (1.05, 0.12)).is_worse());
    }

    #[test]
    fn the_line_tells_which_and_by_how_much() {
        let line = change((1.25, 0.0), (1.0, 0.0)).line();
        assert_eq!(
            line,
            "WORSE   receive/sink/64B: native against kernel: 1.00 [1.00–1.00] after \
             1.25 [1.25–1.25]: -20.0 %, noise 0.0 %"
        );
        assert!(change((1.0, 0.0), (1.1, 0.0)).line().starts_with("better  "));
    }

    #[test]
    fn what_was_not_measured_is_no_success() {
        let (before, mut now) = (sample::report(1.25), sample::report(1.25));
        for round in &mut now.measurement.benches[0].rounds {
            round.samples.retain(|sample| sample.arm != "kernel");
        }
        let (changes, _) = compare(&before, &now);
        assert!(changes[0].is_worse() && changes[0].line().starts_with("NOT MEASURED"));
        now.measurement.benches.clear();
        assert_eq!(compare(&before, &now), (Vec::new(), vec!["receive/sink/64B"]));
    }
}
