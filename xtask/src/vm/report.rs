//! How one guest goes: gathered from its console line by line, and printed job by job as they end.

use std::{
    fs::File,
    io::{Write as _, stderr},
    time::{Duration, Instant},
};

use super::{guest::Mark, job::Job, kernel::Kernel, outcome::Outcome, tally::Tally};
use crate::progress;

/// Lines of output that are shown of what failed.
const TAIL: usize = 150;

/// How one guest went.
#[derive(Debug)]
pub(crate) struct Report {
    pub(super) release: String,
    series: &'static str,
    live: bool,
    /// Gets all that the guest prints, as it comes.
    log: Option<File>,
    booted: Instant,
    /// The job that is at work began then.
    since: Instant,
    /// The job that is at work, what it has left behind and what the kernel complained of.
    now: Option<(String, Vec<String>)>,
    /// What was printed since the last mark.
    output: Vec<String>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) notes: Vec<String>,
    /// The guest that was started last has come as far as a job.
    begun: bool,
    done: bool,
}

impl Report {
    /// `live`: what guests print is shown at once.
    pub(crate) fn new(kernel: &Kernel, live: bool, log: Option<File>) -> Self {
        let now = Instant::now();
        Self {
            series: kernel.series.name(),
            release: kernel.release.clone(),
            live,
            log,
            booted: now,
            since: now,
            now: None,
            output: Vec::new(),
            outcomes: Vec::new(),
            notes: Vec::new(),
            begun: false,
            done: false,
        }
    }

    /// A guest is started, for the jobs that are left.
    pub(crate) fn boots(&mut self) {
        self.booted = Instant::now();
        self.since = self.booted;
        self.output.clear();
        self.begun = false;
        self.done = false;
    }

    /// Of these jobs, those that have not come to an end, nor a guest with them.
    pub(crate) fn remaining(&self, jobs: &[Job]) -> Vec<Job> {
        let is_left = |job: &&Job| !self.outcomes.iter().any(|outcome| outcome.name == job.name);
        jobs.iter().filter(is_left).cloned().collect()
    }

    pub(crate) fn is_good(&self) -> bool {
        self.done && self.outcomes.iter().all(|outcome| outcome.problems.is_empty())
    }

    /// Any line, before it is taken for what it is; with the seconds since the boot, by our clock.
    pub(crate) fn log(&mut self, line: &str) {
        if let Some(file) = &mut self.log {
            // A full disk is no failure of the guest.
            let _ = writeln!(file, "{:7.1} {line}", self.booted.elapsed().as_secs_f32());
        }
    }

    /// A line that is not a mark.
    pub(crate) fn line(&mut self, line: String) {
        if self.live && self.now.is_some() {
            println!("{line}");
        }
        self.output.push(line);
    }

    pub(crate) fn mark(&mut self, mark: &Mark<'_>, jobs: &[Job]) {
        match mark {
            Mark::Begin(name) => {
                if !self.begun {
                    self.begun = true;
                    self.note(&format!("{} is up after {}", self.release, seconds(self.since)));
                }
                self.output.clear();
                self.since = Instant::now();
                self.now = Some(((*name).to_owned(), Vec::new()));
            }
            Mark::Left(what) => self.problems(format!("left behind: {what}")),
            Mark::Kernel(what) => self.problems(format!("the kernel logged: {what}")),
            Mark::Note(what) => {
                self.note(&format!("the kernel: {what}"));
                self.notes.push((*what).to_owned());
            }
            Mark::End(name, code) => {
                let job = jobs.iter().find(|job| job.name == *name);
                self.end(*code, job.and_then(|job| job.tests));
            }
            Mark::Done => self.done = true,
        }
    }

    fn problems(&mut self, what: String) {
        if let Some((_, problems)) = &mut self.now {
            problems.push(what);
        }
    }

    /// The job that is at work has ended; `tests`: so many tests it must have run at least.
    fn end(&mut self, code: i32, tests: Option<usize>) {
        let Some((name, mut problems)) = self.now.take() else { return };
        let tally = Tally::from_output(&self.output);
        match code {
            0 => {}
            124 | 137 => problems.push("did not end in time".to_owned()),
            _ if tally.failed > 0 => problems.push(format!("{} tests failed", tally.failed)),
            _ => problems.push(format!("ended with exit code {code}")),
        }
        let ran = tally.passed + tally.failed + tally.left_out.len();
        if tests.is_some_and(|tests| ran < tests) {
            problems.push(format!("ran {ran} tests, fewer than were named"));
        }
        let outcome = Outcome { name, tally, took: self.since.elapsed(), problems };
        self.note(&outcome.sentence());
        if !outcome.problems.is_empty() && !self.live {
            self.print_tail();
        }
        self.outcomes.push(outcome);
        self.output.clear();
    }

    /// The guest has ended, in good order or not.
    pub(crate) fn ended(&mut self, how: &str) {
        if self.done {
            return;
        }
        let how = format!("the guest was not through: {how}");
        let name = match self.now.take() {
            Some((name, _)) => name,
            // What the job before has done to the kernel may be why.
            None if self.begun => "between jobs".to_owned(),
            None => {
                self.note(&how);
                self.print_tail();
                return;
            }
        };
        let tally = Tally::from_output(&self.output);
        let outcome = Outcome { name, tally, took: self.since.elapsed(), problems: vec![how] };
        self.note(&outcome.sentence());
        self.print_tail();
        self.outcomes.push(outcome);
    }

    /// No guest is started any more, for what is left.
    pub(crate) fn close(&mut self, left: &[Job]) {
        self.outcomes.extend(left.iter().map(|job| Outcome {
            name: job.name.clone(),
            tally: Tally::default(),
            took: Duration::ZERO,
            problems: vec!["has not run".to_owned()],
        }));
    }

    fn note(&self, text: &str) {
        progress::note(&format!("{:<5} {text}", self.series));
    }

    /// The end of what was printed since the last mark; in one piece, as the other guest prints
    /// too.
    fn print_tail(&self) {
        let skipped = self.output.len().saturating_sub(TAIL);
        let mut text = String::new();
        for line in self.output.iter().skip(skipped) {
            text.push_str(&format!("{:<5} | {line}\n", self.series));
        }
        // Where stderr is closed, nobody reads it.
        let _ = stderr().lock().write_all(text.as_bytes());
    }
}

fn seconds(since: Instant) -> String {
    format!("{:.0?}", since.elapsed())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::kernel::Series;
    use super::*;

    fn job(name: &str) -> Job {
        Job { name: name.into(), command: "".into(), limit: None, tests: Some(2) }
    }

    pub(crate) fn report(lines: &[&str]) -> Report {
        let kernel = Kernel {
            series: Series::V6_1,
            release: "6.1.0-x".into(),
            image: "/i".into(),
            tree: "/t".into(),
        };
        let mut report = Report::new(&kernel, false, None);
        let tests = job("nat");
        for line in lines {
            match Mark::parse(line) {
                Some(mark) => report.mark(&mark, std::slice::from_ref(&tests)),
                None => report.line((*line).to_owned()),
            }
        }
        report
    }

    pub(crate) const RESULT: &str = "test result: ok. 2 passed; 0 failed; 0 ignored";

    #[test]
    fn a_guest_is_good_only_when_it_is_through_and_nothing_is_wrong() {
        let good = ["vm: begin nat", RESULT, "vm: end nat 0", "vm: done"];
        assert!(report(&good).is_good());
        assert!(!report(&good[..3]).is_good(), "no line reports its end");
        for (index, line, why) in [
            (2, "vm: left /run/netns/x", "left behind: /run/netns/x"),
            (2, "vm: kernel BUG: y", "the kernel logged: BUG: y"),
            (2, "vm: end nat 124", "did not end in time"),
            (2, "vm: end nat 2", "ended with exit code 2"),
        ] {
            let mut lines = good.to_vec();
            lines.insert(index, line);
            let report = report(&lines);
            assert!(!report.is_good() && report.outcomes[0].problems == [why], "{report:?}");
        }
        let few = ["vm: begin nat", "test result: ok. 1 passed;", "vm: end nat 0", "vm: done"];
        assert_eq!(report(&few).outcomes[0].problems, ["ran 1 tests, fewer than were named"]);
    }

    #[test]
    fn the_death_of_a_guest_is_attributed_to_its_job() {
        let mut report = report(&["vm: begin nat", "Kernel panic"]);
        report.ended("qemu ended with exit status: 0");
        assert_eq!(report.outcomes[0].name, "nat");
        assert!(!report.is_good() && report.begun);
        // That one is not done again; and what the next guest does well mends nothing.
        assert!(
            report.remaining(&[job("nat")]).is_empty()
                && report.remaining(&[job("daemon")]).len() == 1
        );
        report.boots();
        report.mark(&Mark::Done, &[]);
        assert!(!report.is_good() && report.outcomes.len() == 1, "{report:?}");
    }

    #[test]
    fn a_guest_that_dies_at_boot_leaves_its_jobs() {
        let mut report = report(&["double fault"]);
        report.ended("qemu ended with exit status: 0");
        assert!(!report.is_good() && !report.begun && report.outcomes.is_empty());
        report.boots();
        report.mark(&Mark::Done, &[]);
        report.close(&report.remaining(&[job("nat")]));
        assert_eq!(report.outcomes[0].problems, ["has not run"]);
        assert!(!report.is_good());
    }

    #[test]
    fn a_guest_that_dies_between_jobs_is_not_forgiven() {
        let mut report = report(&["vm: begin nat", RESULT, "vm: end nat 0"]);
        report.ended("qemu ended with exit status: 0");
        report.boots();
        report.mark(&Mark::Done, &[]);
        assert!(!report.is_good() && report.remaining(&[job("nat")]).is_empty());
    }
}
