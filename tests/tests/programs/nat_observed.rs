//! The observed outer source of a member: address, rewritten port and TTL of the latest packet, how
//! often and when they changed, and how many mappings there were.

use vxlan_common::{
    reason::RxDrop::{BadChecksum, InnerSourceDenied},
    table::ObservedEndpoint,
};

use crate::{daemon, learned_endpoints, prelude::*};

fn bench(keys: &str) -> Bench {
    Bench::new(&with_peer(&gcp6(PUBLIC6), "aws", keys), GCP6)
}

/// A packet from there, with that TTL.
fn packet(from: IpAddr, port: u16, ttl: u8, inner: &Packet) -> Vec<u8> {
    let udp = outer_udp().src_port(port);
    let packet = match from {
        IpAddr::V4(v4) => wrap(outer_ip().src(v4).ttl(ttl), udp, vxlan(), inner),
        IpAddr::V6(v6) => wrap(outer_ip6().src(v6).hop_limit(ttl), udp, vxlan(), inner),
    };
    packet.build().to_vec()
}

fn sends(bench: &mut Bench, from: impl Into<IpAddr>, port: u16, ttl: u8) -> ObservedEndpoint {
    let packet = packet(from.into(), port, ttl, &ping());
    assert_eq!(bench.run(Program::Decap, Context::DEFAULT, &packet).verdict, XDP_PASS);
    bench.observed(AWS_43)
}

/// Address, port, TTL, changes and number of mappings.
type Summary = (IpAddr, u16, u8, u32, u32);

fn summary(observed: &ObservedEndpoint) -> Summary {
    let address = daemon::address_of(observed.family, &observed.address);
    let mappings = ObservedEndpoint::mappings(&observed.seen);
    assert_eq!(observed.pad, 0);
    (address, observed.port, observed.ttl, observed.changes, mappings)
}

#[test]
fn the_latest_and_what_changed() {
    let mut bench = bench("source_port = \"any\"");
    assert_eq!(bench.observed(AWS_43).family, 0, "nothing yet");
    let (public, public6): (IpAddr, IpAddr) = (AWS_PUBLIC.into(), AWS_PUBLIC6.into());
    let private = IpAddr::from(AWS_PRIVATE);
    for (when, (from, port, ttl), expected) in [
        (10, (public, 50_000, 60), (public, 0, 60, 0, 1)),
        (11, (public, 50_000, 60), (public, 0, 60, 0, 1)),
        // As sent from another of its ports, which is no mapping of a NAT's.
        (12, (public, 50_001, 60), (public, 0, 60, 0, 1)),
        (13, (public, 50_001, 59), (public, 0, 59, 0, 1)),
        (14, (public, 1_024, 59), (public, 1_024, 59, 1, 2)),
        (15, (public, 1_024, 59), (public, 1_024, 59, 1, 2)),
        (16, (public, 1_025, 59), (public, 1_025, 59, 2, 3)),
        (17, (private, 50_000, 64), (private, 0, 64, 3, 4)),
        (18, (public6, 50_000, 1), (public6, 0, 1, 4, 5)),
        (19, (public6, 1_024, 255), (public6, 1_024, 255, 5, 6)),
        // Seen before: a change, and no other mapping.
        (20, (public, 1_024, 255), (public, 1_024, 255, 6, 6)),
        (21, (public, 50_000, 0), (public, 0, 0, 7, 6)),
    ] {
        bench.set_clock(when);
        let before = bench.observed(AWS_43);
        let observed = sends(&mut bench, from, port, ttl);
        assert_eq!(summary(&observed), expected, "at {when}");
        if observed.changes != before.changes {
            assert_eq!(observed.changed, when);
        } else if before.family != 0 {
            assert_eq!(observed.changed, before.changed, "at {when}");
        }
    }
}

#[test]
fn a_bit_for_each_mapping() {
    let mut bench = bench("source_port = \"any\"");
    let mut bits = Vec::new();
    for (from, port) in [(AWS_PUBLIC, 50_000), (AWS_PUBLIC, 1), (AWS_PUBLIC, 2), (AWS_PRIVATE, 2)] {
        let recorded = if port < 32_768 { port } else { 0 };
        let address = vxlan_common::addr::Address::ipv4(from.octets());
        bits.push(ObservedEndpoint::bit_for(&address, recorded));
        let observed = sends(&mut bench, from, port, 64);
        let mut expected = [0; 8];
        bits.iter().for_each(|bit| expected[*bit as usize / 64] |= 1 << (bit % 64));
        assert_eq!(observed.seen, expected);
    }
}

/// A symmetric NAT, or one that forgets all the time.
#[test]
fn many_mappings_are_estimated() {
    let mut bench = bench("source_port = \"fixed\"");
    let mut last = None;
    for port in 0..200 {
        last = Some(sends(&mut bench, AWS_PUBLIC, 10_000 + port * 7, 64));
    }
    let (.., changes, mappings) = summary(&last.expect("some"));
    assert_eq!(changes, 199);
    assert!((170..=230).contains(&mappings), "{mappings}");
}

/// With a port for each flow, a NAT that gives each another one has as many mappings.
#[test]
fn ports_of_flows() {
    let mut bench = bench("source_port = \"flow\"");
    let right = port_of(&ping().build());
    assert_eq!(summary(&sends(&mut bench, AWS_PUBLIC, right, 9)).1, 0);
    assert_eq!(summary(&sends(&mut bench, AWS_PUBLIC, right ^ 1, 9)).1, right ^ 1);
    let other = Packet::new()
        .with(eth())
        .with(ipv4().src(Ipv4Addr::new(192, 168, 44, 2)))
        .with(Icmp::echo_request(1, 1));
    let port = port_of(&other.build());
    let packet = packet(AWS_PUBLIC.into(), port, 9, &other);
    assert_eq!(bench.run(Program::Decap, Context::DEFAULT, &packet).verdict, XDP_PASS);
    assert_eq!(summary(&bench.observed(AWS_43)), (AWS_PUBLIC.into(), 0, 9, 2, 2));
}

/// Whoever is refused moves nothing.
#[test]
fn refused_packets_are_not_recorded() {
    let mut bench = bench("source_port = \"flow\"");
    let stolen =
        Packet::new().with(eth()).with(ipv4().src(OFFICE_HOST)).with(Icmp::echo_request(1, 1));
    let rows = |bench: &mut Bench| {
        let bad = wrap(outer_ip(), outer_udp().checksum(Checksum::Wrong), vxlan(), &ping()).build();
        let rows = [
            Row::refused(
                "stolen",
                &packet(AWS_PUBLIC.into(), 7, 1, &stolen),
                InnerSourceDenied,
                AWS_43,
            ),
            Row::refused("bad checksum", &bad, BadChecksum, AWS_43).nat(Mended, AWS_43),
        ];
        check(bench, Program::Decap, &rows);
    };
    rows(&mut bench);
    assert_eq!(bench.observed(AWS_43).family, 0);
    let recorded = sends(&mut bench, AWS_PUBLIC, 9, 64);
    rows(&mut bench);
    assert_eq!(bench.observed(AWS_43), recorded);
}

/// Each member has its own; a learned one's port is that of its mapping.
#[test]
fn of_a_learned_peer() {
    let mut bench = Bench::new(&learned_endpoints::text(), GCP6);
    let at = IpAddr::from(STRANGER);
    let frame = Packet::new()
        .with(eth())
        .with(ipv4().src(Ipv4Addr::new(192, 168, 47, 1)))
        .with(Icmp::echo_request(1, 1));
    for (port, expected) in
        [(4_789, (at, 0, 64, 0, 1)), (1_024, (at, 1_024, 64, 1, 2)), (1_025, (at, 1_025, 64, 2, 3))]
    {
        bench.learns("branch", Some((SocketAddr::new(at, port), at)));
        let packet = packet(at, port, 64, &frame);
        assert_eq!(bench.run(Program::Decap, Context::DEFAULT, &packet).verdict, XDP_PASS);
        assert_eq!(summary(&bench.observed(Who::Member("branch", VNI))), expected);
    }
    assert_eq!(bench.observed(AWS_43).family, 0);
}
