//! What is run in a guest: every suite, or of each the part that a kernel can change most.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::job::{Job, quoted};
use crate::build::{self, TestBinary};

/// No suite of these packages needs a kernel, or all of them do.
const PACKAGES: [&str; 2] = ["tests#vxlan-tests@", "vxlan-user#"];
/// Suites that do not run in a guest, and why.
const WITHOUT: [(&str, &str); 2] = [
    ("docs", "holds documents to the code and calls nothing of the kernel"),
    ("systemd", "needs systemd, which a guest does not have"),
];

/// A test binary that runs in guests.
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
    ("programs", &["cost::", "deliver::", "round_trip::", "mss_clamp::on_", "encap::"]),
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
/// million packets, or start many daemons under strace, which takes an emulated processor many
/// minutes each.
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

/// Builds what runs in the guests.
pub(crate) fn build() -> Result<Vec<Suite>> {
    let suites = suites_among(build::tests()?);
    ensure!(!suites.is_empty(), "no test binary is a suite of {}", PACKAGES.join(" or "));
    Ok(suites)
}

fn suites_among(binaries: Vec<TestBinary>) -> Vec<Suite> {
    let mut found: Vec<_> = binaries.into_iter().filter_map(suite).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn suite(binary: TestBinary) -> Option<Suite> {
    let TestBinary { package, name, program } = binary;
    let ours = PACKAGES.iter().any(|ours| package.contains(ours));
    let left_out = WITHOUT.iter().any(|(without, _)| *without == name);
    (ours && !left_out).then_some(Suite { name, program })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_the_tests_of_two_packages_that_need_a_kernel() {
        let binary = |package: &str, name: &str| TestBinary {
            package: format!("path+file:///w/{package}"),
            name: name.to_owned(),
            program: format!("/t/{name}-1").into(),
        };
        let found = suites_among(vec![
            binary("tests#vxlan-tests@0.1.0", "nat"),
            binary("tests#vxlan-tests@0.1.0", "daemon"),
            binary("vxlan-user#0.1.0", "docs"),
            binary("vxlan-user#0.1.0", "host"),
            binary("xtask#0.1.0", "other"),
        ]);
        let names: Vec<_> = found.iter().map(|suite| &*suite.name).collect();
        assert_eq!(names, ["daemon", "host", "nat"]);
        assert_eq!(found[2].program, PathBuf::from("/t/nat-1"));
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
