//! Two probers and what is between them. Each scenario asserts the verdict of both, and what
//! follows.

mod boxes;
mod faults;
mod network;
mod rewriting;

use std::time::Duration;

use self::{boxes::NatBox, network::Network};
use crate::{nat::NatVerdict, probe::Report};

const HUB: &str = "192.0.2.1";
const OFFICE: &str = "10.0.0.2";
const OFFICE_PUBLIC: &str = "198.51.100.20";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Asserts the verdict, and that each of these parts of a sentence is in the evidence.
#[track_caller]
fn assert_verdict(report: &Report, verdict: NatVerdict, sentences: &[&str]) {
    assert_eq!(report.nat, verdict, "{:#?}", report.evidence);
    for wanted in sentences {
        let found = report.evidence.iter().any(|sentence| sentence.contains(wanted));
        assert!(found, "no {wanted:?} in {:#?}", report.evidence);
    }
}

/// A hub that learns where the office is, behind that box.
fn office(nat: NatBox) -> (Network, [usize; 2]) {
    let mut network = Network::new();
    network.boxes.push(nat);
    let ends = network.pair([("hub", HUB, None), ("office", OFFICE, Some(HUB))], true);
    (network, ends)
}
