//! Full maps: the error tells of what there is too much, and the remedy, comes before anything is
//! written, and a change that does not fit leaves the maps as they were.

use aya::maps::{HashMap, MapData};
use vxlan_common::table::{Mapping, SourceEntry};
use vxlan_user::{
    dataplane::{DataPlane, DataPlaneError, LoadOptions},
    plan::LearnedEndpoint,
};

use crate::{
    learned_endpoints::{BRANCH_43, BRANCH_HOST, NAPT, accepted, text},
    pool::Pooled,
    prelude::*,
};

fn small(capacities: &'static [(&'static str, u32)]) -> LoadOptions {
    LoadOptions { slots: 64, capacities, ..LoadOptions::default() }
}

/// The configuration of `gcp` meets a map that is one entry too small.
fn does_not_fit(
    capacities: &'static [(&'static str, u32)],
    (needed, contents): (usize, &str),
    remedy: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let bench = Bench::gcp();
    let mut plane = DataPlane::load(small(capacities))?;
    let (name, capacity) = capacities[0];
    let sentence = format!(
        "there are {needed} {contents}, and one host has room for {capacity} (map {name}). Nothing \
         was changed. {remedy}"
    );
    // Known before, and what the kernel itself says.
    let predicted = plane.check_capacity(&bench.plan).expect_err("it is too small");
    assert_eq!(predicted.to_string(), sentence);
    let found = plane.fill(&bench.plan).expect_err("it is too small");
    assert!(matches!(found, DataPlaneError::Full { .. }), "{found:?}");
    assert_eq!(found.to_string(), sentence);
    Ok(())
}

/// The kernel's E2BIG.
#[test]
fn a_full_hash() -> Result<(), Box<dyn std::error::Error>> {
    let remedy =
        "Take peers out of networks that they need not be in, or give some to another host";
    does_not_fit(&[("SOURCES", 4)], (5, "addresses of members of networks"), remedy)
}

/// The kernel's ENOSPC.
#[test]
fn a_full_trie() -> Result<(), Box<dyn std::error::Error>> {
    let routes = Bench::gcp().plan.routes.len();
    assert_eq!(routes, 14, "the prefixes of the table below");
    let remedy = "Write fewer or wider prefixes in allowed_ips and local_ips, or give some of the \
                  peers to another host";
    does_not_fit(&[("ROUTES", 13)], (routes, "prefixes in allowed_ips and local_ips"), remedy)
}

#[test]
fn an_array_that_ends() -> Result<(), Box<dyn std::error::Error>> {
    let remedy =
        "Take peers out of networks that they need not be in, or give some to another host";
    does_not_fit(&[("MEMBERS", 3)], (4, "members of networks"), remedy)
}

#[test]
fn what_there_is_room_for_fits() {
    let bench = Bench::gcp();
    let exact: &'static [(&'static str, u32)] =
        &[("SOURCES", 5), ("ROUTES", 14), ("MEMBERS", 4), ("VERSIONS", 3), ("PEERS", 6)];
    let mut plane = DataPlane::load(small(exact)).expect("it loads");
    plane.check_capacity(&bench.plan).expect("there is room");
    plane.fill(&bench.plan).expect("there is room");
}

/// `branch` is where it was learned to be. Then `branch` and `shop` move at once, and there is room
/// for one new mapping: neither does.
#[test]
fn a_move_that_does_not_fit_moves_nobody() {
    crate::bench::own_namespace();
    let mut bench = Bench::with(Pooled::alone(small(&[("MAPPINGS", 2)])), &text(), GCP6);
    bench.learns("branch", Some((SocketAddr::new(NAPT.into(), 1_024), NAPT.into())));
    let before = mappings(&mut bench);
    assert_eq!(before.len(), 1);

    let at = |port| Some(LearnedEndpoint { endpoint: (NAPT, port).into(), sent_from: NAPT.into() });
    let moved = [("branch", 1_025), ("shop", 2_000)];
    let changes = bench.moves(&moved.map(|(peer, port)| (bench.peer(peer) as usize, at(port))));
    let refused = bench.plane.change(&changes).expect_err("there is room for one");
    assert_eq!(
        refused.to_string(),
        "there are 3 ports of members of networks behind a NAT, and one host has room for 2 (map \
         MAPPINGS). Nothing was changed. Take peers out of networks that they need not be in, or \
         give some to another host"
    );
    assert_eq!(mappings(&mut bench), before);
    let row = accepted(&bench, "as before", NAPT, 1_024, (BRANCH_43, BRANCH_HOST));
    check(&mut bench, Program::Decap, &[row]);
    // Where there is room, it does.
    bench.learns("branch", Some((SocketAddr::new(NAPT.into(), 1_025), NAPT.into())));
    let row = accepted(&bench, "moved", NAPT, 1_025, (BRANCH_43, BRANCH_HOST));
    check(&mut bench, Program::Decap, &[row]);
}

/// Ports and members.
fn mappings(bench: &mut Bench) -> Vec<(u16, u32)> {
    let map = bench.plane.maps().map("MAPPINGS").expect("is a map");
    let map: HashMap<&MapData, Mapping, SourceEntry> = map.try_into().expect("is a hash");
    let entry = |entry: Result<(Mapping, SourceEntry), _>| {
        let (key, to) = entry.expect("can be read");
        (u16::from_be_bytes(key.port), to.member)
    };
    let mut all: Vec<_> = map.iter().map(entry).collect();
    all.sort_unstable();
    all
}
