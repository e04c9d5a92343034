//! Peers whose endpoint is learned: identified by address and port together, also beside others at
//! the same address. The daemon learns the endpoint; the programs only match it.

use vxlan_common::reason::RxDrop::{
    BadChecksum, InnerSourceDenied, InvalidVxlanHeader, MalformedOuter, UnknownSource,
};

use crate::prelude::*;

pub(crate) const BRANCH_43: Who = Who::Member("branch", VNI);
const SHOP_43: Who = Who::Member("shop", VNI);
/// In front of both.
pub(crate) const NAPT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 70);
const NAPT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x70);
/// What `branch` has behind it.
const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 5);
const BEHIND6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 5);
const BRANCH_MAC: Mac = [2, 0, 0, 0, 0x47, 1];
pub(crate) const BRANCH_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 47, 1);
const SHOP_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 48, 1);

/// The hosts of `world6`, and `branch` and `shop`, both members of network 43 only.
pub(crate) fn text() -> String {
    let member = |peer, prefix| {
        format!("[[network.member]]\npeer = \"{peer}\"\nallowed_ips = [\"{prefix}\"]\n")
    };
    let peer = |name| {
        format!("[[peer]]\nname = \"{name}\"\nendpoint = \"learn\"\nkey_file = \"/{name}.key\"\n")
    };
    let text = gcp6(&format!("{PUBLIC6}\nsource_port = \"fixed\""));
    let second = "[[network]]\n        vni = 1193046";
    let first = "[[network]]\n        vni = 43";
    assert!(text.contains(first) && text.contains(second));
    let members = member("branch", "192.168.47.0/24") + &member("shop", "192.168.48.0/24");
    let text = text.replacen(second, &format!("{members}{second}"), 1);
    text.replacen(first, &format!("{}{}{first}", peer("branch"), peer("shop")), 1)
}

fn bench() -> Bench {
    Bench::new(&text(), GCP6)
}

fn inner(host: Ipv4Addr) -> Packet {
    let eth = Eth::new(GCP_MAC, BRANCH_MAC);
    Packet::new().with(eth).with(Ipv4::new(host, GCP_HOST)).with(Icmp::echo_request(1, 1))
}

fn ip(from: impl Into<IpAddr>) -> Layer {
    match from.into() {
        IpAddr::V4(v4) => outer_ip().src(v4).into(),
        IpAddr::V6(v6) => outer_ip6().src(v6).into(),
    }
}

pub(crate) fn packet(from: impl Into<IpAddr>, port: u16, vni: u32, host: Ipv4Addr) -> Vec<u8> {
    let udp = outer_udp().src_port(port);
    wrap(ip(from), udp, Vxlan::new(vni), &inner(host)).build().to_vec()
}

/// A packet from there is `who`'s, whose host that is; its port, which our own is not, is
/// rewritten.
pub(crate) fn accepted(
    bench: &Bench,
    name: &str,
    from: impl Into<IpAddr>,
    port: u16,
    (who, host): (Who, Ipv4Addr),
) -> Row {
    let frame = inner(host).build();
    let row = Row::accepted(name, bench, &packet(from, port, VNI, host), who, &frame);
    if port == 4789 { row } else { row.nat(SrcPort, who) }
}

fn unknown(name: &str, from: impl Into<IpAddr>, port: u16) -> Row {
    Row::refused(name, &packet(from, port, VNI, BRANCH_HOST), UnknownSource, NETWORK)
}

#[test]
fn by_address_and_port() {
    let mut bench = bench();
    for (at, other) in
        [(IpAddr::from(NAPT), IpAddr::from(STRANGER)), (NAPT6.into(), STRANGER6.into())]
    {
        check(&mut bench, Program::Decap, &[unknown("not learned yet", at, 1_024)]);
        bench.learns("branch", Some((SocketAddr::new(at, 1_024), at)));
        bench.learns("shop", Some((SocketAddr::new(at, 2_000), at)));
        let rows = [
            accepted(&bench, "right", at, 1_024, (BRANCH_43, BRANCH_HOST)),
            unknown("one more", at, 1_025),
            unknown("one less", at, 1_023),
            unknown("bytes exchanged", at, 4),
            unknown("our port", at, 4_789),
            unknown("no port", at, 0),
            unknown("another address", other, 1_024),
            Row::refused(
                "another's inner source",
                &packet(at, 1_024, VNI, SHOP_HOST),
                InnerSourceDenied,
                BRANCH_43,
            ),
        ];
        check(&mut bench, Program::Decap, &rows);
        // It moves, and moves back.
        bench.learns("branch", Some((SocketAddr::new(at, 1_025), at)));
        let rows = [
            unknown("where it was", at, 1_024),
            accepted(&bench, "where it is", at, 1_025, (BRANCH_43, BRANCH_HOST)),
        ];
        check(&mut bench, Program::Decap, &rows);
        bench.learns("branch", Some((SocketAddr::new(other, 1_024), at)));
        let row = accepted(&bench, "at another address", other, 1_024, (BRANCH_43, BRANCH_HOST));
        check(&mut bench, Program::Decap, &[row.nat(SrcAddress, BRANCH_43)]);
        bench.learns("branch", None);
        bench.learns("shop", None);
        check(&mut bench, Program::Decap, &[unknown("nowhere", other, 1_024)]);
    }
}

#[test]
fn two_behind_one_address() {
    let mut bench = bench();
    for at in [IpAddr::from(NAPT), IpAddr::from(NAPT6)] {
        bench.learns("branch", Some((SocketAddr::new(at, 1_024), at)));
        bench.learns("shop", Some((SocketAddr::new(at, 1_025), at)));
        let rows = [
            accepted(&bench, "branch", at, 1_024, (BRANCH_43, BRANCH_HOST)),
            accepted(&bench, "shop", at, 1_025, (SHOP_43, SHOP_HOST)),
            unknown("neither", at, 1_026),
            Row::refused(
                "one as the other",
                &packet(at, 1_025, VNI, BRANCH_HOST),
                InnerSourceDenied,
                SHOP_43,
            ),
            Row::refused(
                "the other as the one",
                &packet(at, 1_024, VNI, SHOP_HOST),
                InnerSourceDenied,
                BRANCH_43,
            ),
        ];
        check(&mut bench, Program::Decap, &rows);
        bench.learns("shop", None);
        let row = accepted(&bench, "branch alone", at, 1_024, (BRANCH_43, BRANCH_HOST));
        check(&mut bench, Program::Decap, &[row]);
    }
}

/// `aws`, which is known by its address alone, and learned peers at that address.
#[test]
fn beside_a_declared_peer() {
    let mut bench = bench();
    let from_aws = |bench: &Bench, name: &str, at: IpAddr, port, endpoint| {
        let udp = outer_udp().src_port(port);
        let packet = wrap(ip(at), udp, vxlan(), &ping()).build();
        let row = Row::accepted(name, bench, &packet, AWS_43, &ping().build());
        let row = if endpoint { row.nat(SrcAddress, AWS_43) } else { row };
        if port < 32_768 { row.nat(SrcPort, AWS_43) } else { row }
    };
    for (at, endpoint) in
        [(IpAddr::from(AWS_PUBLIC), true), (AWS_PUBLIC6.into(), true), (AWS_PRIVATE.into(), false)]
    {
        let row = from_aws(&bench, "alone", at, 1_024, endpoint);
        check(&mut bench, Program::Decap, &[row]);
        bench.learns("branch", Some((SocketAddr::new(at, 1_024), at)));
        let rows = [
            accepted(&bench, "the port of branch", at, 1_024, (BRANCH_43, BRANCH_HOST)),
            from_aws(&bench, "any other port", at, 50_000, endpoint),
            from_aws(&bench, "one more", at, 1_025, endpoint),
            from_aws(&bench, "our port", at, 4_789, endpoint),
            Row::refused(
                "aws from the port of branch",
                &wrap(ip(at), outer_udp().src_port(1_024), vxlan(), &ping()).build(),
                InnerSourceDenied,
                BRANCH_43,
            ),
            Row::refused(
                "branch from another port",
                &packet(at, 1_025, VNI, BRANCH_HOST),
                InnerSourceDenied,
                AWS_43,
            ),
        ];
        check(&mut bench, Program::Decap, &rows);
        bench.learns("shop", Some((SocketAddr::new(at, 1_025), at)));
        let rows = [
            accepted(&bench, "branch", at, 1_024, (BRANCH_43, BRANCH_HOST)),
            accepted(&bench, "shop", at, 1_025, (SHOP_43, SHOP_HOST)),
            from_aws(&bench, "and aws", at, 50_000, endpoint),
        ];
        check(&mut bench, Program::Decap, &rows);
        bench.learns("branch", None);
        bench.learns("shop", None);
        let row = from_aws(&bench, "alone again", at, 1_024, endpoint);
        check(&mut bench, Program::Decap, &[row]);
    }
}

/// A learned peer is nobody but by address, port and network: what is there else, anybody behind
/// the same NAT may have sent.
#[test]
fn in_no_other_network() {
    let mut bench = bench();
    bench.learns("branch", Some((SocketAddr::new(NAPT.into(), 1_024), NAPT.into())));
    let bad = |port| {
        let packet =
            wrap(ip(NAPT), outer_udp().src_port(port), vxlan().flags(0), &inner(BRANCH_HOST));
        packet.build().to_vec()
    };
    let short = wrap(ip(NAPT), outer_udp().length(Some(7)), vxlan(), &inner(BRANCH_HOST));
    let other = Who::Network(OTHER_VNI);
    let rows = [
        Row::refused(
            "its port",
            &packet(NAPT, 1_024, OTHER_VNI, BRANCH_HOST),
            UnknownSource,
            other,
        ),
        Row::refused(
            "another port",
            &packet(NAPT, 1_025, VNI, BRANCH_HOST),
            UnknownSource,
            NETWORK,
        ),
        Row::refused("a bad header", &bad(1_024), InvalidVxlanHeader, Who::Nobody),
        Row::refused("a bad length", &short.build(), MalformedOuter, Who::Nobody),
    ];
    check(&mut bench, Program::Decap, &rows);
    // An address that two have says nothing.
    bench.learns("shop", Some((SocketAddr::new(NAPT.into(), 1_025), NAPT.into())));
    let rows = [
        Row::refused("a bad header of two", &bad(1_024), InvalidVxlanHeader, Who::Nobody),
        Row::refused("a bad length of two", &short.build(), MalformedOuter, Who::Nobody),
    ];
    check(&mut bench, Program::Decap, &rows);
}

/// Its probes say what it sends from: that is what its packets are compared with.
#[test]
fn what_its_probes_say() {
    let mut bench = bench();
    let to_private = Layer::from(outer_ip().src(NAPT).dst(GCP_PRIVATE));
    let to_private6 = Layer::from(outer_ip6().src(NAPT6).dst(GCP_PRIVATE6));
    for (at, behind, to_private) in [
        (IpAddr::from(NAPT), IpAddr::from(BEHIND), to_private),
        (NAPT6.into(), BEHIND6.into(), to_private6),
    ] {
        let own = SocketAddr::new(at, 4_789);
        let moved = SocketAddr::new(at, 1_024);
        let frame = inner(BRANCH_HOST).build();
        bench.learns("branch", Some((own, at)));
        let plain = accepted(&bench, "no NAT", at, 4_789, (BRANCH_43, BRANCH_HOST));
        check(&mut bench, Program::Decap, &[plain]);
        bench.learns("branch", Some((own, behind)));
        let kept = accepted(&bench, "its address is another", at, 4_789, (BRANCH_43, BRANCH_HOST));
        check(&mut bench, Program::Decap, &[kept.nat(SrcAddress, BRANCH_43)]);
        bench.learns("branch", Some((moved, behind)));
        let both = accepted(&bench, "its port, too", at, 1_024, (BRANCH_43, BRANCH_HOST));
        let udp = outer_udp().src_port(1_024);
        let third = wrap(to_private, udp, vxlan(), &inner(BRANCH_HOST)).build();
        let third = Row::accepted("and ours", &bench, &third, BRANCH_43, &frame)
            .nat(SrcPort, BRANCH_43)
            .nat(DstAddress, BRANCH_43);
        let rows = [both, third].map(|row| row.nat(SrcAddress, BRANCH_43));
        check(&mut bench, Program::Decap, &rows);
    }
}

/// With a checksum, which such a peer may send if its section says so.
#[test]
fn a_wrong_checksum_is_explained() {
    let text = text().replacen("/branch.key\"", "/branch.key\"\nudp_checksum = \"any\"", 1);
    let mut bench = Bench::new(&text, GCP6);
    for (at, behind, stranger, checksum_at) in [
        (IpAddr::from(NAPT), IpAddr::from(BEHIND), IpAddr::from(STRANGER), 40),
        (NAPT6.into(), BEHIND6.into(), STRANGER6.into(), 60),
    ] {
        let with = |from, port, checksum| {
            let udp = Udp::vxlan(port).checksum(checksum);
            wrap(ip(from), udp, vxlan(), &inner(BRANCH_HOST)).build()
        };
        let sum = |from, port| {
            let packet = with(from, port, Checksum::Right);
            Checksum::Value(u16::from_be_bytes([packet[checksum_at], packet[checksum_at + 1]]))
        };
        let row = |name: &str, sum, counted| {
            let row = Row::refused(name, &with(at, 1_024, sum), BadChecksum, BRANCH_43);
            if counted { row.nat(Mended, BRANCH_43) } else { row }
        };
        bench.learns("branch", Some((SocketAddr::new(at, 1_024), behind)));
        let rows = [
            row("by its address", sum(behind, 1_024), true),
            row("by its port", sum(at, 4_789), true),
            row("by both", sum(behind, 4_789), true),
            row("by no port of its", sum(at, 4_790), false),
            row("by another address", sum(stranger, 1_024), false),
        ];
        check(&mut bench, Program::Decap, &rows);
        // Nothing is known to have been rewritten.
        bench.learns("branch", Some((SocketAddr::new(at, 1_024), at)));
        let rows = [
            row("its address is this one", sum(behind, 1_024), false),
            row("its port alone", sum(at, 4_789), true),
        ];
        check(&mut bench, Program::Decap, &rows);
    }
}
