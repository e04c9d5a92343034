//! Tests of the comparison: a host on which everything is right, with one thing changed.

use std::collections::HashMap;

use super::*;
use crate::host::{
    address::InterfaceAddress,
    main_table::MainTable,
    overlay_spec::Made,
    route::{BLACKHOLE_METRIC, ROUTE_PROTOCOL},
};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OVERLAY: u32 = 10;
const HIDDEN: u32 = 11;
const UNDERLAY: u32 = 2;

/// What is on the host.
#[derive(Clone)]
struct Present {
    links: Vec<Link>,
    addresses: HashMap<u32, Vec<InterfaceAddress>>,
    routes: Vec<Route>,
    proxy_delay: u64,
}

impl Present {
    /// Everything as [`spec`] has it, as this program has made it.
    fn right() -> Self {
        let overlay = Link {
            mac: Some(MAC),
            accept_local: true,
            proxy_arp: true,
            ..link(OVERLAY, "vxlan43", End::Overlay, HIDDEN)
        };
        let hidden = link(HIDDEN, "vxport43", End::Hidden, OVERLAY);
        let underlay =
            Link { kind: None, group: 0, alias: None, ..link(UNDERLAY, "eth0", End::Hidden, 0) };
        Self {
            links: vec![underlay, overlay, hidden],
            addresses: HashMap::from([(OVERLAY, vec![address("192.0.2.1/24")])]),
            routes: vec![route("198.51.100.0/24", OVERLAY), blackhole("198.51.100.0/24")],
            proxy_delay: 0,
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut present = Self::right();
        change(&mut present);
        present
    }

    fn overlay(&mut self) -> &mut Link {
        &mut self.links[1]
    }

    fn hidden(&mut self) -> &mut Link {
        &mut self.links[2]
    }

    fn steps(&self, spec: &OverlaySpec) -> Vec<String> {
        let difference = self.difference(spec);
        let conflicts = difference
            .conflicts
            .iter()
            .chain(&difference.name_taken)
            .map(|error| format!("conflict: {error}"));
        difference.steps.iter().map(ToString::to_string).chain(conflicts).collect()
    }

    fn difference(&self, spec: &OverlaySpec) -> Difference {
        let delays = HashMap::from([(OVERLAY, self.proxy_delay)]);
        let routes = MainTable::new(self.routes.clone());
        difference(spec, &HostView::new(self.links.clone(), self.addresses.clone(), routes, delays))
    }
}

fn spec() -> OverlaySpec {
    OverlaySpec {
        name: "vxlan43".to_owned(),
        hidden_name: "vxport43".to_owned(),
        vni: 43,
        mac: MAC,
        mtu: 1450,
        addresses: vec![net("192.0.2.1/24")],
        ipv6: false,
        proxy_arp: true,
        routes: vec![RouteSpec { prefix: net("198.51.100.0/24"), source: None, mtu: None }],
        any_route_mtu: false,
        blackholes: true,
        clsact: false,
        made: Made {
            mac: Some(MAC),
            addresses: vec![net("192.0.2.1/24")],
            routes: vec![net("198.51.100.0/24")],
            proxy_arp: true,
            ifindex: Some(OVERLAY),
        },
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn address(text: &str) -> InterfaceAddress {
    InterfaceAddress {
        address: net(text),
        secondary: false,
        deprecated: false,
        tentative: false,
        duplicate: false,
    }
}

fn link(ifindex: u32, name: &str, end: End, peer: u32) -> Link {
    Link {
        ifindex,
        name: name.to_owned(),
        mac: None,
        mtu: 1450,
        up: true,
        carrier: true,
        layer: "Ether".to_owned(),
        kind: Some("veth".to_owned()),
        bus: None,
        qdisc: Some("blackhole".to_owned()),
        alias: Some(end.alias(43)),
        group: end.group(43),
        peer: Some(peer),
        peer_is_elsewhere: false,
        generates_ipv6: Some(false),
        ipv6_disabled: false,
        accept_local: false,
        proxy_arp: false,
        xdp: None,
    }
}

fn route(prefix: &str, ifindex: u32) -> Route {
    Route {
        prefix: net(prefix),
        ifindex: Some(ifindex),
        gateway: None,
        preferred_source: None,
        metric: 0,
        protocol: ROUTE_PROTOCOL,
        unicast: true,
        blackhole: false,
        mtu: None,
    }
}

fn blackhole(prefix: &str) -> Route {
    Route {
        ifindex: None,
        metric: BLACKHOLE_METRIC,
        unicast: false,
        blackhole: true,
        ..route(prefix, 0)
    }
}

#[test]
fn what_is_right_needs_no_step() {
    assert!(Present::right().steps(&spec()).is_empty());
}

#[test]
fn each_difference_has_its_step() {
    type Change = fn(&mut Present);
    let rows: &[(Change, &[&str])] = &[
        (|host| host.overlay().up = false, &["vxlan43 is set up"]),
        (|host| host.hidden().up = false, &["vxport43 is set up"]),
        (|host| host.hidden().qdisc = None, &["vxport43 can send nothing"]),
        (|host| host.overlay().name = "old".to_owned(), &["old is renamed to vxlan43"]),
        (|host| host.hidden().name = "old".to_owned(), &["old is renamed to vxport43"]),
        (|host| host.overlay().mac = Some([2; 6]), &["vxlan43 gets MAC 02:00:00:00:00:01"]),
        (|host| host.overlay().mtu = 1500, &["vxlan43 gets MTU 1450"]),
        (|host| host.hidden().mtu = 1500, &["vxport43 gets MTU 1450"]),
        (|host| host.overlay().accept_local = false, &["vxlan43 gets accept_local and proxy_arp"]),
        (|host| host.overlay().proxy_arp = false, &["vxlan43 gets accept_local and proxy_arp"]),
        (|host| host.proxy_delay = 800, &["vxlan43 gets proxy_delay 0"]),
        (
            |host| host.overlay().generates_ipv6 = Some(true),
            &["vxlan43 gets no link-local address"],
        ),
        (|host| host.addresses.clear(), &["address 192.0.2.1/24 is added"]),
        (|host| host.routes.truncate(1), &["blackhole 198.51.100.0/24 is added"]),
        (
            |host| host.routes.clear(),
            &["route 198.51.100.0/24 is added", "blackhole 198.51.100.0/24 is added"],
        ),
        (
            |host| host.routes[0].preferred_source = Some([192, 0, 2, 9].into()),
            &["route 198.51.100.0/24 is added"],
        ),
        (|host| host.routes[0].mtu = Some(1300), &["route 198.51.100.0/24 is added"]),
        // Somebody has replaced it.
        (
            |host| {
                host.routes[0].ifindex = Some(UNDERLAY);
                host.routes[0].protocol = 3;
            },
            &["route 198.51.100.0/24 is added"],
        ),
        // The other end is in another namespace, or belongs to another pair.
        (
            |host| {
                host.links.truncate(2);
                host.overlay().peer = None;
            },
            &["vxlan43 is removed, its other end has gone", "the interface is made"],
        ),
        (
            |host| {
                host.links.remove(1);
                host.links[1].peer = None;
            },
            &["vxport43 is removed, its other end has gone", "the interface is made"],
        ),
        (|host| host.links.truncate(1), &["the interface is made"]),
    ];
    for (change, expected) in rows {
        let host = Present::with(*change);
        assert_eq!(host.steps(&spec()), *expected);
    }
}

#[test]
fn what_others_have_put_there_stays() {
    type Change = fn(&mut Present);
    let rows: &[Change] = &[
        |host| host.overlay().alias = Some("uplink to the cloud".to_owned()),
        |host| host.overlay().group = 7,
        |host| host.addresses.entry(OVERLAY).or_default().push(address("192.0.2.100/32")),
        |host| host.routes.push(route("203.0.113.0/24", OVERLAY)),
        |host| host.routes.push(Route { metric: 5, ..route("198.51.100.0/24", UNDERLAY) }),
    ];
    for change in rows {
        let host = Present::with(*change);
        assert_eq!(host.steps(&spec()), [""; 0]);
    }
    // Nobody here has switched it on, so nobody here switches it off.
    let mut wanted = spec();
    (wanted.proxy_arp, wanted.made.proxy_arp) = (false, false);
    assert_eq!(Present::right().steps(&wanted), [""; 0]);
    wanted.made.proxy_arp = true;
    assert_eq!(Present::right().steps(&wanted), ["vxlan43 gets accept_local and proxy_arp"]);
}

#[test]
fn what_is_somebody_else_s_is_in_the_way() {
    let stranger = |name: &str| Link { group: 0, alias: None, ..link(20, name, End::Hidden, 21) };
    let host = Present::with(|host| {
        host.links.truncate(1);
        host.links.push(stranger("vxlan43"));
    });
    let [conflict] = &host.steps(&spec())[..] else { panic!("one conflict") };
    assert!(conflict.contains("interface vxlan43 exists already"), "{conflict}");
    // The pair is there, under another name.
    let host = Present::with(|host| {
        host.overlay().name = "old".to_owned();
        host.overlay().up = false;
        host.links.push(stranger("vxlan43"));
    });
    let difference = host.difference(&spec());
    assert!(difference.conflicts.is_empty() && difference.name_taken.is_some());
    assert_eq!(difference.steps.len(), 1, "{:?}", difference.steps);
    // An alias alone, and no record of the interface: it is no proof.
    let host = Present::with(|host| {
        host.links.truncate(1);
        host.links.push(Link { alias: Some(End::Overlay.alias(43)), ..stranger("vxlan43") });
    });
    assert!(!host.difference(&spec()).conflicts.is_empty());
    let host = Present::with(|host| {
        host.routes[0] = Route { protocol: 3, ..route("198.51.100.0/24", UNDERLAY) };
    });
    let mut first = spec();
    first.made.routes.clear();
    let [conflict] = &host.steps(&first)[..] else { panic!("one conflict") };
    assert!(conflict.contains("a route for 198.51.100.0/24, and it is not ours"), "{conflict}");
}

#[test]
fn a_route_before_ours_is_told() {
    let host = Present::with(|host| {
        host.routes.insert(0, Route { protocol: 3, ..route("198.51.100.0/24", UNDERLAY) });
    });
    let [conflict] = &host.steps(&spec())[..] else { panic!("one conflict") };
    assert!(conflict.contains("a route for 198.51.100.0/24"), "{conflict}");
    // Behind ours it takes no packet.
    let host = Present::with(|host| {
        host.routes.push(Route { protocol: 3, ..route("198.51.100.0/24", UNDERLAY) });
    });
    assert_eq!(host.steps(&spec()), [""; 0]);
}

#[test]
fn a_pair_of_an_older_version_is_known_by_record_and_alias() {
    let mut host = Present::right();
    (host.overlay().group, host.hidden().group) = (0, 0);
    assert_eq!(
        host.steps(&spec()),
        ["vxlan43 gets group 1979711531", "vxport43 gets group 1996488747"]
    );
    let mut unrecorded = spec();
    unrecorded.made.ifindex = None;
    assert!(!host.difference(&unrecorded).conflicts.is_empty());
}

#[test]
fn the_end_that_sends_less_does_so_first() {
    let mut wanted = spec();
    wanted.mtu = 1400;
    let host = Present::right();
    assert_eq!(host.steps(&wanted), ["vxlan43 gets MTU 1400", "vxport43 gets MTU 1400"]);
    wanted.mtu = 1500;
    assert_eq!(host.steps(&wanted), ["vxport43 gets MTU 1500", "vxlan43 gets MTU 1500"]);
}

/// While it is up, adding the qdisc would stop the interface for a moment; with the filter it comes
/// anyway.
#[test]
fn the_place_for_filters_is_made_while_the_interface_is_down() {
    let mut wanted = spec();
    wanted.clsact = true;
    assert_eq!(Present::right().steps(&wanted), [""; 0]);
    let down = Present::with(|host| host.overlay().up = false);
    assert_eq!(down.steps(&wanted), ["vxlan43 gets a clsact qdisc", "vxlan43 is set up"]);
    assert_eq!(down.steps(&spec()), ["vxlan43 is set up"]);
}

#[test]
fn addresses_come_in_the_order_of_the_spec() {
    let mut host = Present::right();
    host.addresses
        .insert(OVERLAY, ["203.0.113.1/24", "192.0.2.1/24", "203.0.113.2/24"].map(address).into());
    let mut wanted = spec();
    wanted.made.addresses = vec![net("203.0.113.1/24"), net("192.0.2.1/24"), net("203.0.113.2/24")];
    wanted.addresses = vec![net("192.0.2.1/24"), net("203.0.113.1/24"), net("203.0.113.2/24")];
    assert_eq!(
        host.steps(&wanted),
        [
            "address 203.0.113.1/24 is removed",
            "address 192.0.2.1/24 is removed",
            "address 203.0.113.2/24 is removed",
            "address 192.0.2.1/24 is added",
            "address 203.0.113.1/24 is added",
            "address 203.0.113.2/24 is added",
        ]
    );
    // What was made and is no longer wanted goes; what is somebody else's goes with the primary
    // address of its prefix, and comes back.
    wanted.addresses = vec![net("203.0.113.2/24")];
    wanted.made.addresses = vec![net("203.0.113.1/24")];
    assert_eq!(
        host.steps(&wanted),
        ["address 203.0.113.1/24 is removed", "address 203.0.113.2/24 is added"]
    );
}

#[test]
fn the_route_of_the_own_address_becomes_ours_for_a_narrow_path() {
    let mut host = Present::right();
    host.routes[0].protocol = 2;
    host.routes[0].preferred_source = Some([192, 0, 2, 1].into());
    assert_eq!(host.steps(&spec()), [""; 0]);
    let mut narrow = spec();
    narrow.routes[0].mtu = Some(1250);
    assert_eq!(host.steps(&narrow), ["route 198.51.100.0/24 is added with MTU 1250"]);
    // As at a start, before the paths are known.
    host.routes[0] = Route { mtu: Some(1300), ..route("198.51.100.0/24", OVERLAY) };
    assert_eq!(host.steps(&spec()), ["route 198.51.100.0/24 is added"]);
    assert_eq!(host.steps(&OverlaySpec { any_route_mtu: true, ..spec() }), [""; 0]);
}

#[test]
fn ipv6_is_switched_on_by_going_down_for_a_moment() {
    let mut wanted = spec();
    wanted.ipv6 = true;
    assert_eq!(
        Present::right().steps(&wanted),
        [
            "vxlan43 is set down for a moment",
            "vxlan43 gets a link-local address",
            "vxlan43 is set up",
        ]
    );
    // No IPv6 at all, as with an MTU that is too small for it: nothing can be switched on.
    let host = Present::with(|host| host.overlay().generates_ipv6 = None);
    assert_eq!(host.steps(&wanted), [""; 0]);
}
