//! Peers with two endpoints, an underlay of both families, and every value that is not a default.

use super::{plan as planned, *};

/// Everything that is not a default, and both families.
const BOTH_FAMILIES: &str = r#"
    [node]
    name = "north"
    [underlay]
    interface = "eth0"
    public_address = ["203.0.113.10", "2001:db8:ff::10"]
    ttl = "inherit"
    dscp = "inherit"
    reserved_bits = "ignore"
    udp_checksum = "ignore"
    [[peer]]
    name = "south"
    endpoint = ["[2001:db8:2::20]:8472", "198.51.100.20"]
    private_address = ["10.0.0.119", "2001:db8:2::20"]
    accept_private = true
    packets_per_second = 1000
    [[peer]]
    name = "west"
    endpoint = "192.0.2.7"
    private_address = "fd00::7"
    accept_private = true
    bytes_per_second = 1000
    [[network]]
    vni = 7
    interface = "sites"
    addresses = ["fe80::1/64", "2001:db8:7::1/64", "10.7.0.1/24", "10.8.0.1/31", "10.9.0.1/16"]
    broadcast_rate = 5
    unknown_unicast = "drop"
    nested_tunnels = "pass"
    max_stations = 12
    [[network.member]]
    peer = "south"
    allowed_ips = ["10.7.1.0/24", "10.9.255.255/32"]
    [[network]]
    vni = 8
    interface = "other"
    local_ips = ["10.20.0.0/24"]
    [[network.member]]
    peer = "west"
    allowed_ips = ["10.21.0.0/24"]
    mac = "02:00:00:00:44:01"
"#;

fn ipv6(text: &str) -> Address {
    Address::ipv6(text.parse::<Ipv6Addr>().expect("an address").octets())
}

#[test]
fn settings_say_what_the_configuration_says() {
    let plain = planned(TWO_CLOUDS).settings;
    assert_eq!((plain.ttl, plain.dscp), (64, 0));
    assert_eq!((plain.ignore_reserved_bits, plain.ignore_udp_checksum), (0, 0));
    assert_eq!((plain.address, plain.public_address), ([10, 0, 0, 2], [203, 0, 113, 10]));
    assert_eq!((plain.address6, plain.public_address6), (Address::ZERO, Address::ZERO));

    let config = config::parse(BOTH_FAMILIES, Path::new("test.toml")).expect("valid");
    let underlay = UnderlayFacts { v6: Some("2001:db8:1::10".parse().expect("one")), ..UNDERLAY };
    let settings =
        Plan::new(&config, &underlay, &[], &Inherited::default(), &mut Counting(0)).settings;
    assert_eq!((settings.ttl, settings.dscp), (0, DSCP_INHERIT));
    assert_eq!((settings.ignore_reserved_bits, settings.ignore_udp_checksum), (1, 1));
    assert_eq!((settings.address, settings.public_address), ([10, 0, 0, 2], [203, 0, 113, 10]));
    assert_eq!(settings.address6, ipv6("2001:db8:1::10"));
    assert_eq!(settings.public_address6, ipv6("2001:db8:ff::10"));

    let no_ipv4 = UnderlayFacts { v4: None, ..underlay };
    let settings =
        Plan::new(&config, &no_ipv4, &[], &Inherited::default(), &mut Counting(0)).settings;
    assert_eq!((settings.address, settings.address6), ([0; 4], ipv6("2001:db8:1::10")));

    let fixed = TWO_CLOUDS.replace("[[peer]]", "ttl = 1\ndscp = 46\n[[peer]]");
    let settings = planned(&fixed).settings;
    assert_eq!((settings.ttl, settings.dscp), (1, 46));
}

#[test]
fn an_address_is_rewritten_only_if_another_one_of_its_family_is_declared() {
    let plan = planned(BOTH_FAMILIES);
    let seen: Vec<_> = plan
        .senders
        .sources
        .iter()
        .map(|(key, source)| (key.vni[2], key.family, key.address, source.member, source.flags))
        .collect();
    assert_eq!(
        seen,
        [
            (7, IPV6, ipv6("2001:db8:2::20"), 0, 0),
            (7, IPV4, Address::ipv4([198, 51, 100, 20]), 0, SourceEntry::REWRITTEN),
            (7, IPV4, Address::ipv4([10, 0, 0, 119]), 0, 0),
            (8, IPV4, Address::ipv4([192, 0, 2, 7]), 1, 0),
            (8, IPV6, ipv6("fd00::7"), 1, 0),
        ]
    );
    let peers: Vec<_> = plan
        .senders
        .peer_addresses
        .iter()
        .map(|(key, owner)| (key.family, key.address, owner.peer, owner.flags))
        .collect();
    let own = [
        (IPV6, ipv6("2001:db8:2::20"), 0, 0),
        (IPV4, Address::ipv4([198, 51, 100, 20]), 0, 0),
        (IPV4, Address::ipv4([10, 0, 0, 119]), 0, 0),
        (IPV4, Address::ipv4([192, 0, 2, 7]), 1, 0),
        (IPV6, ipv6("fd00::7"), 1, 0),
    ];
    assert_eq!(peers, own);
}

#[test]
fn a_private_address_of_two_peers_identifies_neither() {
    let plan = planned(&BOTH_FAMILIES.replace("\"fd00::7\"", "\"2001:db8:2::20\""));
    let shared = ipv6("2001:db8:2::20");
    assert!(plan.senders.peer_addresses.iter().all(|(key, _)| key.address != shared));
    assert_eq!(plan.senders.sources.iter().filter(|(key, _)| key.address == shared).count(), 2);
}

#[test]
fn a_private_address_without_the_right_is_a_peer_s_unless_another_has_it() {
    let owners = |text: &str, address| {
        let all = planned(text).senders.peer_addresses;
        let of = all.into_iter().filter(|(key, _)| key.address == address);
        of.map(|(_, owner)| (owner.peer, owner.flags)).collect::<Vec<_>>()
    };
    let without = BOTH_FAMILIES.replace("accept_private = true", "");
    let private = Address::ipv4([10, 0, 0, 119]);
    assert_eq!(owners(&without, private), [(0, AddressOwner::PRIVATE)]);
    // The endpoint that the peer also carries itself stays its own by right.
    assert_eq!(owners(&without, ipv6("2001:db8:2::20")), [(0, 0)]);
    assert_eq!(owners(&without, ipv6("fd00::7")), [(1, AddressOwner::PRIVATE)]);
    let both = without.replace("\"fd00::7\"", "\"10.0.0.119\"");
    assert_eq!(owners(&both, private), []);
    let by_right = without.replace("\"192.0.2.7\"", "\"10.0.0.119\"");
    assert_eq!(owners(&by_right, private), [(1, 0)]);
}

#[test]
fn a_network_has_its_flags_addresses_and_rate() {
    let plan = planned(BOTH_FAMILIES);
    let [sites, other] = plan.networks.as_slice() else { panic!("{:?}", plan.networks) };
    assert_eq!(sites.flags, NetworkEntry::PASS_NESTED);
    assert_eq!(sites.address, [10, 7, 0, 1]);
    // Not the link-local address: beyond the link it does not identify this host.
    assert_eq!(sites.address6, ipv6("2001:db8:7::1"));
    assert_eq!(sites.bum_limit, RateLimit::per_second(5, 100_000_000, 1));
    // Its `local_ips` are written.
    assert_eq!(other.flags, NetworkEntry::FLOOD_UNKNOWN | NetworkEntry::STATIONS);
    let behind = plan.routes.iter().filter(|route| route.owner == LOCAL_STATIONS);
    let behind: Vec<_> = behind.map(|route| route.address.address.first()).collect();
    assert_eq!(behind, [[10, 20, 0, 0]]);
    let no_address = "interface = \"other\"\n    unspecified_source = \"pass\"";
    let taken = planned(&BOTH_FAMILIES.replace("interface = \"other\"", no_address));
    assert_eq!(taken.networks[1].flags, other.flags | NetworkEntry::PASS_UNSPECIFIED);
    assert_eq!((other.address, other.address6), ([0; 4], Address::ZERO));
    assert_eq!(other.bum_limit, RateLimit::per_second(1_000, 100_000_000, 1));
    let only_link_local = planned(&BOTH_FAMILIES.replace("\"2001:db8:7::1/64\", ", ""));
    assert_eq!(only_link_local.networks[0].address6, ipv6("fe80::1"));
}

#[test]
fn the_broadcast_address_of_an_own_prefix_is_local_unless_a_member_has_it() {
    let plan = planned(BOTH_FAMILIES);
    let owner = |octets: [u8; 4]| {
        let whole = |route: &&RouteEntry| {
            route.bits == NetworkAddress::IPV4_BITS
                && route.address.vni == [0, 0, 7]
                && route.address.family == IPV4
                && route.address.address == Address::ipv4(octets)
        };
        let found: Vec<_> = plan.routes.iter().filter(whole).map(|route| route.owner).collect();
        assert!(found.len() <= 1, "{octets:?}: {found:?}");
        found.first().copied()
    };
    assert_eq!(owner([10, 7, 0, 255]), Some(LOCAL));
    assert_eq!(owner([10, 9, 255, 255]), Some(0));
    // Two addresses, and both are hosts.
    assert_eq!(owner([10, 8, 0, 0]), None);
    assert_eq!(owner([10, 8, 0, 1]), Some(LOCAL));
    // `local_ips` are no interface's.
    assert!(plan.routes.iter().all(|route| route.address.address.first() != [10, 20, 0, 255]));
}

#[test]
fn limits_reach_members_and_peers() {
    let plan = planned(BOTH_FAMILIES);
    let members: Vec<_> = plan.members.iter().map(|m| (m.flags, m.max_stations)).collect();
    let flags = MemberEntry::LIMITED | MemberEntry::FLOW_PORTS | MemberEntry::ZERO_CHECKSUM;
    assert_eq!(members, [(flags, 12), (flags, 256)]);
    assert_eq!(plan.peers[0].packets, RateLimit::per_second(1_000, 100_000_000, 32));
    assert_eq!(plan.peers[0].bytes, RateLimit::NONE);
    assert_eq!(plan.peers[1].packets, RateLimit::NONE);
    assert_eq!(plan.peers[1].bytes, RateLimit::per_second(1_000, 100_000_000, 131_072));
    let config = config::parse(BOTH_FAMILIES, Path::new("test.toml")).expect("valid");
    assert_eq!(Plan::fdb_entries_for(&config), 12 + 256 + 1);
    assert_eq!(Plan::neighbours_for(&config), 32);

    let unlimited = planned(TWO_CLOUDS);
    let flags = MemberEntry::FLOW_PORTS | MemberEntry::ZERO_CHECKSUM;
    assert_eq!((unlimited.members[0].flags, unlimited.members[0].max_stations), (flags, 256));
    assert_eq!(
        (unlimited.peers[0].packets, unlimited.peers[0].bytes),
        (RateLimit::NONE, RateLimit::NONE)
    );
}

#[test]
fn a_peer_s_entry_is_of_the_family_of_its_path() {
    let config = config::parse(BOTH_FAMILIES, Path::new("test.toml")).expect("valid");
    let peer = &config.peers[0];
    let over = |endpoint: usize, gateway: &str| PeerPath {
        endpoint: peer.endpoints[endpoint].value,
        gateway: gateway.parse().expect("an address"),
        resolved: true,
        mtu: 9_000,
    };
    let entry = peer_entry(peer, &UNDERLAY, Some(&over(0, "fe80::1")), None, 1);
    assert_eq!((entry.family, entry.endpoint), (IPV6, ipv6("2001:db8:2::20")));
    assert_eq!((entry.gateway, entry.port), (ipv6("fe80::1"), 8472_u16.to_be_bytes()));
    // Never more than the interface takes.
    assert_eq!((entry.ifindex, entry.mtu), (2, 1460));
    let entry = peer_entry(peer, &UNDERLAY, Some(&over(1, "10.0.0.1")), None, 1);
    assert_eq!((entry.family, entry.endpoint), (IPV4, Address::ipv4([198, 51, 100, 20])));
    assert_eq!((entry.gateway, entry.port), (Address::ipv4([10, 0, 0, 1]), [0x12, 0xb5]));
    // A next hop of the other family is the kernel's to find.
    let entry = peer_entry(peer, &UNDERLAY, Some(&over(1, "fe80::1")), None, 1);
    assert_eq!((entry.family, entry.gateway, entry.ifindex), (IPV4, Address::ZERO, 2));
    let entry = peer_entry(peer, &UNDERLAY, None, None, 1);
    assert_eq!((entry.family, entry.ifindex, entry.mtu), (IPV6, 0, 1460));
}

#[test]
fn an_overlay_leaves_room_for_the_longest_headers_of_its_members() {
    let config = config::parse(BOTH_FAMILIES, Path::new("test.toml")).expect("valid");
    let underlay = UnderlayFacts { mtu: 1500, ..UNDERLAY };
    let mtus: Vec<_> =
        config.networks.iter().map(|of| default_overlay_mtu(&config, of, &underlay)).collect();
    assert_eq!(mtus, [1430, 1450]);
}
