//! What is run in a guest: every suite, or of each the part that a kernel can change most, and how
//! the outcome is read from what a test binary prints.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::guest::quoted;
use crate::{cargo::cargo, progress};

/// No suite of these packages needs a kernel, or all of them do.
const PACKAGES: [&str; 2] = ["tests#vxlan-tests@", "vxlan-user#"];
/// Suites that do not run in a guest, and why.
const WITHOUT: [(&str, &str); 2] = [
    ("docs", "holds papers to the code and asks the kernel nothing"),
    ("systemd", "needs systemd, which a guest does not have"),
];

/// One command in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) command: String,
    /// By the guest's clock.
    pub(crate) limit: Option<Duration>,
    /// For tests: how many there are at least.
    pub(crate) tests: Option<usize>,
}

/// A test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
}

impl Suite {
    /// Where it is in the guest.
    pub(crate) fn path(&self) -> String {
        format!("/suites/{}", self.name)
    }
}

/// The part of each suite that runs in CI, by pieces of its tests' names: what the kernel has the
/// largest share in.
const QUICK: [(&str, &[&str]); 5] = [
    ("programs", &["cost::", "deliver::", "round_trip::", "segments::on_the_way", "encap::"]),
    (
        "daemon",
        &[
            "clsact::",
            "run_makes_what_is_declared",
            "a_restart_loses_no_packet",
            "the_four_capabilities",
        ],
    ),
    ("host", &["links::", "overlays::", "watching::"]),
    ("interop", &["the_first_ping", "full_frames"]),
    ("virtio", &["native_xdp"]),
];

/// Tests that are left to KVM and to the machine itself, by pieces of their names: they carry a
/// million packets, or start many daemons under strace, which takes an emulated processor many minutes
/// each.
const LONG: [&str; 5] =
    ["a_million", "gigabyte::", "a_storm", "programs_and_model_agree", "killed::"];

const LIMIT: Duration = Duration::from_secs(1800);

pub(crate) fn lab(megabytes: u32) -> Job {
    Job {
        name: "lab".to_owned(),
        command: format!("xtask run --once --size {megabytes}"),
        limit: Some(LIMIT),
        tests: None,
    }
}

/// `long`: also the tests that take an emulated processor too long.
pub(crate) fn whole(suite: &Suite, long: bool) -> Job {
    let mut job = part(suite, &[]);
    for test in LONG.iter().filter(|_| !long) {
        job.command.push_str(&format!(" --skip {}", quoted(test)));
    }
    job
}

/// What [`whole`] leaves out, as a sentence.
pub(crate) fn without_long() -> String {
    format!("an emulated guest runs no test named {}", LONG.join(", "))
}

/// Those parts of the suites that are run in CI.
pub(crate) fn quick(suites: &[Suite]) -> Result<Vec<Job>> {
    let part = |(name, tests): &(&str, &[&str])| {
        let suite = suites.iter().find(|suite| suite.name == *name);
        Ok(part(suite.with_context(|| format!("there is no suite {name}"))?, tests))
    };
    QUICK.iter().map(part).collect()
}

/// The tests with one of `tests` in their names, or all when there are none.
fn part(suite: &Suite, tests: &[&str]) -> Job {
    // One at a time: the guest's time does not pass while it waits, so nothing is lost by it.
    let mut command = format!("{} --test-threads=1", quoted(&suite.path()));
    for test in tests {
        command = format!("{command} {}", quoted(test));
    }
    Job { name: suite.name.clone(), command, limit: Some(LIMIT), tests: Some(tests.len().max(1)) }
}

/// Builds what runs in the guests. As `cargo xtask test` does, so that nothing is built twice.
pub(crate) fn build() -> Result<Vec<Suite>> {
    let mut cmd = cargo();
    cmd.args(["test", "--workspace", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let out = cmd.output().with_context(|| format!("cannot start {}", progress::show(&cmd)))?;
    if !out.status.success() {
        bail!("{} ended with {}", progress::show(&cmd), out.status);
    }
    let suites = suites_in(&String::from_utf8_lossy(&out.stdout));
    ensure!(!suites.is_empty(), "{} named no test binary", progress::show(&cmd));
    Ok(suites)
}

/// The test binaries in cargo's messages, one JSON object a line.
fn suites_in(messages: &str) -> Vec<Suite> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found: Vec<_> = messages.filter_map(|message| suite_in(&message)).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn suite_in(message: &Value) -> Option<Suite> {
    let package = message["package_id"].as_str()?;
    let kinds = message.pointer("/target/kind")?.as_array()?;
    let name = message.pointer("/target/name")?.as_str()?;
    let program = message["executable"].as_str()?;
    let ours = PACKAGES.iter().any(|ours| package.contains(ours));
    let left_out = WITHOUT.iter().any(|(without, _)| *without == name);
    (ours && !left_out && kinds.iter().any(|kind| kind == "test"))
        .then(|| Suite { name: name.to_owned(), program: PathBuf::from(program) })
}

/// What a test binary has told of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Tests that passed because they had nothing to test here, and why.
    pub(crate) left_out: Vec<String>,
}

impl Tally {
    pub(crate) fn read(output: &[String]) -> Self {
        let mut tally = Self::default();
        for line in output {
            if let Some(rest) = line.strip_prefix("test result: ") {
                tally.passed += number_before(rest, " passed");
                tally.failed += number_before(rest, " failed");
            } else if let Some((_, why)) = line.split_once("left out: ") {
                tally.left_out.push(why.trim().to_owned());
            }
        }
        tally.passed = tally.passed.saturating_sub(tally.left_out.len());
        tally
    }
}

fn number_before(text: &str, what: &str) -> usize {
    let before = text.split_once(what).map_or("", |(before, _)| before);
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_read_from_cargos_messages() {
        let message = |package: &str, kind: &str, name: &str| {
            format!(
                "{{\"package_id\":\"path+file:///w/{package}\",\"executable\":\"/t/{name}-1\",\
                 \"target\":{{\"kind\":[\"{kind}\"],\"name\":\"{name}\"}}}}"
            )
        };
        let text = [
            message("tests#vxlan-tests@0.1.0", "test", "nat"),
            message("tests#vxlan-tests@0.1.0", "test", "daemon"),
            message("tests#vxlan-tests@0.1.0", "lib", "vxlan_tests"),
            message("vxlan-user#0.1.0", "test", "docs"),
            message("vxlan-user#0.1.0", "bin", "vxlan"),
            message("xtask#0.1.0", "test", "other"),
            "not json".to_owned(),
        ];
        let found = suites_in(&text.join("\n"));
        let names: Vec<_> = found.iter().map(|suite| &*suite.name).collect();
        assert_eq!(names, ["daemon", "nat"]);
        assert_eq!(found[1].program, PathBuf::from("/t/nat-1"));
    }

    #[test]
    fn outcomes_are_read_from_what_tests_print() {
        let lines = [
            "test a ... left out: needs TCX links, Linux 6.6 (e420bed02507); this is 6.1.0",
            "ok",
            "test result: ok. 41 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished",
            "test result: FAILED. 3 passed; 12 failed; 0 ignored",
        ];
        let tally = Tally::read(&lines.map(str::to_owned));
        assert_eq!((tally.passed, tally.failed), (43, 12));
        let why = "needs TCX links, Linux 6.6 (e420bed02507); this is 6.1.0";
        assert_eq!(tally.left_out, [why]);
    }

    #[test]
    fn a_part_of_a_suite_names_its_tests() {
        let suite = Suite { name: "nat".into(), program: "/t/nat-1".into() };
        let job = part(&suite, &["a::b", "c"]);
        assert_eq!(job.command, "'/suites/nat' --test-threads=1 'a::b' 'c'");
        assert_eq!(job.tests, Some(2));
        assert_eq!(whole(&suite, true).tests, Some(1));
        assert!(whole(&suite, false).command.contains("--skip 'a_million'"));
    }
}
