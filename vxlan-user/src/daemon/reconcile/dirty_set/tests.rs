//! Which peers an event concerns, each rule once.

use std::collections::HashMap;

use super::*;
use crate::{
    daemon::paths::resolved::{PathResult, ResolvedPeer},
    host::{Neighbour, NeighbourState, Route},
};

const UNDERLAY: u32 = 2;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn route(prefix: &str) -> HostEvent {
    HostEvent::Route(Route {
        prefix: prefix.parse().expect("a prefix"),
        ifindex: Some(UNDERLAY),
        gateway: None,
        preferred_source: None,
        metric: 0,
        protocol: 4,
        unicast: true,
        blackhole: false,
        mtu: None,
    })
}

fn neighbour(at: &str, state: NeighbourState) -> HostEvent {
    let mac = Some([2, 0, 0, 0, 0, 1]);
    HostEvent::Neighbour(Neighbour { ifindex: UNDERLAY, address: address(at), mac, state })
}

fn resolved(peer: usize, next_hop: &str) -> ResolvedPeer {
    let path: PathResult = Err(String::new());
    ResolvedPeer { peer, path, next_hops: vec![address(next_hop)] }
}

/// Peers 0 and 1 behind one router, 2 behind another, 3 with two addresses on the link.
fn four() -> DirtySet {
    let mut dirty = DirtySet::new(4);
    let addresses: [&[&str]; 4] =
        [&["198.51.100.1"], &["198.51.100.130"], &["203.0.113.1"], &["192.0.2.9", "2001:db8::9"]];
    for (peer, its_addresses) in addresses.iter().enumerate() {
        dirty.set_addresses(peer, its_addresses.iter().map(|at| address(at)).collect());
    }
    let hops = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.9"];
    let next_hop_states: HashMap<_, _> =
        hops.iter().map(|at| (address(at), NextHopState::Resolved)).collect();
    let peers = hops.iter().enumerate().map(|(peer, hop)| resolved(peer, hop)).collect();
    dirty.record(&ResolvedPaths { mtu: 1_500, peers, next_hop_states });
    assert!(dirty.is_empty());
    dirty
}

fn after(event: &HostEvent) -> Vec<usize> {
    let mut dirty = four();
    dirty.mark_event(event, UNDERLAY);
    dirty.take(9)
}

#[test]
fn a_route_concerns_the_peers_within_its_prefix() {
    assert_eq!(after(&route("198.51.100.0/25")), [0]);
    assert_eq!(after(&route("198.51.100.0/24")), [0, 1]);
    assert_eq!(after(&route("0.0.0.0/0")), [3, 0, 1, 2]);
    assert_eq!(after(&route("::/0")), [3]);
    assert!(after(&route("10.0.0.0/8")).is_empty());
}

#[test]
fn a_neighbour_concerns_the_peers_behind_it_if_its_state_has_changed() {
    let stale = neighbour("192.0.2.1", NeighbourState::Stale);
    assert!(after(&stale).is_empty(), "usable as before");
    assert_eq!(after(&neighbour("192.0.2.1", NeighbourState::Failed)), [0, 1]);
    assert_eq!(after(&neighbour("192.0.2.2", NeighbourState::Incomplete)), [2]);
    let gone = |ifindex| HostEvent::NeighbourRemoved { ifindex, address: address("192.0.2.9") };
    assert_eq!(after(&gone(UNDERLAY)), [3]);
    assert!(after(&gone(9)).is_empty(), "of another interface");
    assert!(
        after(&neighbour("192.0.2.77", NeighbourState::Failed)).is_empty(),
        "not a next hop of any peer"
    );
}

#[test]
fn the_underlay_concerns_every_peer() {
    let down = |ifindex| HostEvent::Link {
        ifindex,
        name: "eth0".to_owned(),
        mac: None,
        mtu: 1_500,
        up: false,
        carrier: false,
    };
    assert_eq!(after(&down(UNDERLAY)), [0, 1, 2, 3]);
    assert!(after(&down(9)).is_empty());
    assert_eq!(after(&HostEvent::Overrun), [0, 1, 2, 3]);
}

/// Resolution of one peer finds that the router has failed; the path of the other peer behind the
/// router was made before.
#[test]
fn a_state_found_for_one_peer_marks_the_others() {
    let mut dirty = four();
    let next_hop_states = [(address("192.0.2.1"), NextHopState::Failed)].into();
    dirty.record(&ResolvedPaths {
        mtu: 1_500,
        peers: vec![resolved(0, "192.0.2.1")],
        next_hop_states,
    });
    let mut found = dirty.take(9);
    found.sort_unstable();
    assert_eq!(found, [0, 1]);
}

#[test]
fn a_peer_that_has_moved_is_found_by_its_new_addresses() {
    let mut dirty = four();
    dirty.set_addresses(2, vec![address("198.51.100.77")]);
    let next_hop_states = [(address("192.0.2.1"), NextHopState::Resolved)].into();
    dirty.record(&ResolvedPaths {
        mtu: 1_500,
        peers: vec![resolved(2, "192.0.2.1")],
        next_hop_states,
    });
    dirty.mark_event(&route("203.0.113.0/24"), UNDERLAY);
    dirty.mark_event(&neighbour("192.0.2.2", NeighbourState::Failed), UNDERLAY);
    assert!(dirty.is_empty());
    dirty.mark_event(&neighbour("192.0.2.1", NeighbourState::Failed), UNDERLAY);
    assert_eq!(dirty.take(9), [0, 1, 2]);
}

#[test]
fn each_peer_is_queued_once_and_has_a_turn() {
    let mut dirty = four();
    dirty.mark(2);
    dirty.mark_all();
    dirty.mark(2);
    dirty.mark(99);
    assert_eq!(dirty.take(3), [2, 0, 1]);
    dirty.mark(2);
    assert_eq!(dirty.take(9), [3, 2]);
    // Of the peers without a path, two at a time.
    (0..4).for_each(|peer| dirty.set_improvable(peer, true));
    dirty.set_improvable(1, false);
    dirty.mark_improvable(2);
    assert_eq!(dirty.take(9), [0, 2]);
    dirty.mark_improvable(2);
    assert_eq!(dirty.take(9), [3, 0]);
    dirty.mark_improvable(9);
    assert_eq!(dirty.take(9), [2, 3, 0]);
}
