//! Tunnels inside the tunnel: refused, or with `nested_tunnels = "pass"` traffic like any other.

use vxlan_common::reason::RxDrop::{InnerDestinationDenied, NestedTunnel};

use crate::prelude::*;

const OWN_PORT: u16 = 5000;

fn inner(ip: impl Into<Layer>) -> Packet {
    Packet::new().with(eth()).with(ip)
}

fn accepted(bench: &Bench, name: impl Into<String>, inner: &Packet) -> Row {
    let packet = wrap(outer_ip6(), outer_udp().dst_port(OWN_PORT), vxlan(), inner).build();
    Row::accepted(name, bench, &packet, AWS_43, &inner.build()).nat(SrcAddress, AWS_43)
}

fn refused(name: impl Into<String>, inner: &Packet) -> Row {
    let packet = wrap(outer_ip6(), outer_udp().dst_port(OWN_PORT), vxlan(), inner).build();
    Row::refused(name, &packet, NestedTunnel, AWS_43)
}

fn no_transit(name: impl Into<String>, inner: &Packet) -> Row {
    let packet = wrap(outer_ip6(), outer_udp().dst_port(OWN_PORT), vxlan(), inner).build();
    Row::refused(name, &packet, InnerDestinationDenied, AWS_43)
}

fn bench(nested: &str) -> Bench {
    let text = gcp6(&format!("port = {OWN_PORT}\n{PUBLIC6}"));
    let text = text.replace("vni = 43", &format!("vni = 43\nnested_tunnels = \"{nested}\""));
    // Its endpoint's port follows ours.
    Bench::new(&text.replace(":4789", ""), GCP6)
}

/// UDP to that port over either family: whole, as the first fragment, and with options.
fn datagrams(port: u16, v4: Ipv4, v6: Ipv6) -> Vec<(String, Packet)> {
    let udp = || Udp::new(50_000, port);
    let datagram = Packet::new().with(udp()).payload(&[8; 40]).build();
    let fragment = |field: [u8; 2]| {
        let header = [&[17, 0][..], &field, &[0, 0, 0, 9]].concat();
        [&header[..], &datagram].concat()
    };
    let v6_fragment = |field| inner(v6.clone().next_header(Some(44))).payload(&fragment(field));
    [
        ("IPv4", inner(v4.clone()).with(udp()).payload(&[8; 40])),
        ("IPv4, header alone", inner(v4.clone()).with(udp())),
        ("IPv4, ports alone", inner(v4.clone().protocol(Some(17))).payload(&datagram[..4])),
        ("IPv4 with options", inner(v4.clone().options(vec![1; 40])).with(udp())),
        ("first fragment", inner(v4.fragment(flags::MF)).with(udp()).payload(&[8; 40])),
        ("IPv6", inner(v6.clone()).with(udp()).payload(&[8; 40])),
        ("IPv6, header alone", inner(v6.clone()).with(udp())),
        ("first fragment of IPv6", v6_fragment([0, 1])),
        ("atomic fragment of IPv6", v6_fragment([0, 0])),
    ]
    .into_iter()
    .map(|(name, frame)| (format!("{name}, port {port}"), frame))
    .collect()
}

/// What looks like it and is none.
fn lookalikes() -> Vec<(&'static str, Packet)> {
    let vxlan = Packet::new().with(Udp::new(50_000, 4789)).payload(&[8; 40]).build();
    let later = [&[17, 0, 0, 8, 0, 0, 0, 9][..], &vxlan].concat();
    let tcp_first = [&[6, 0, 0, 1, 0, 0, 0, 9][..], &vxlan].concat();
    vec![
        ("from port 4789", inner(ipv4()).with(Udp::new(4789, 50_000))),
        ("port 4788", inner(ipv4()).with(Udp::new(50_000, 4788))),
        ("port 4790", inner(ipv6()).with(Udp::new(50_000, 4790))),
        ("port b512", inner(ipv4()).with(Udp::new(50_000, 0xb512))),
        ("TCP to 4789", inner(ipv4()).with(Tcp::new(50_000, 4789))),
        ("TCP to 8472 over IPv6", inner(ipv6()).with(Tcp::new(50_000, 8472))),
        ("last fragment", inner(ipv4().fragment(9).protocol(Some(17))).payload(&vxlan)),
        ("later fragment of IPv6", inner(ipv6().next_header(Some(44))).payload(&later)),
        (
            "first fragment of TCP over IPv6",
            inner(ipv6().next_header(Some(44))).payload(&tcp_first),
        ),
        ("UDP of 3 bytes", inner(ipv4().protocol(Some(17))).payload(&vxlan[..3])),
        ("GRE", inner(ipv4().protocol(Some(47))).payload(&[0; 24])),
        ("IPv4 in IPv4", inner(ipv4()).with(ipv4())),
        ("IPv6 in IPv4", inner(ipv4()).with(ipv6())),
        ("GRE over IPv6", inner(ipv6().next_header(Some(47))).payload(&[0; 24])),
        ("IPv4 in IPv6", inner(ipv6()).with(ipv4())),
        ("IPv6 in IPv6", inner(ipv6()).with(ipv6())),
        ("ESP", inner(ipv4().protocol(Some(50))).payload(&[0; 24])),
    ]
}

fn to_underlay() -> Vec<(&'static str, Layer, u8)> {
    let mut all = Vec::new();
    for protocol in [4, 41, 47] {
        let v4 = |to| Layer::from(ipv4().dst(to).protocol(Some(protocol)));
        let v6 = |to| Layer::from(ipv6().dst(to).next_header(Some(protocol)));
        all.push(("our private address", v4(GCP_PRIVATE), protocol));
        all.push(("our public address", v4(GCP_PUBLIC), protocol));
        all.push(("our private IPv6 address", v6(GCP_PRIVATE6), protocol));
        all.push(("our public IPv6 address", v6(GCP_PUBLIC6), protocol));
        let first = ipv4().dst(GCP_PRIVATE).protocol(Some(protocol)).fragment(flags::MF);
        all.push(("our private address, first fragment", first.into(), protocol));
    }
    all
}

#[test]
fn refused_where_they_are_not_wanted() {
    let mut bench = bench("drop");
    let mut rows = Vec::new();
    for port in [4789, 8472, OWN_PORT] {
        for (name, frame) in datagrams(port, ipv4(), ipv6()) {
            rows.push(refused(name, &frame));
        }
        // Whoever it is for.
        for (name, frame) in datagrams(port, ipv4().dst(GCP_PRIVATE), ipv6().dst(GCP_PUBLIC6)) {
            rows.push(refused(format!("{name}, to the underlay"), &frame));
        }
        for (name, frame) in datagrams(port, ipv4().dst(OFFICE_HOST), ipv6().dst(LONE_HOST6)) {
            rows.push(refused(format!("{name}, to another member"), &frame));
        }
    }
    for (name, ip, protocol) in to_underlay() {
        let frame = inner(ip).payload(&[0x45; 40]);
        rows.push(refused(format!("protocol {protocol} to {name}"), &frame));
    }
    rows.extend(lookalikes().iter().map(|(name, frame)| accepted(&bench, *name, frame)));
    let office = inner(ipv4().dst(OFFICE_HOST).protocol(Some(47))).payload(&[0; 24]);
    rows.push(no_transit("GRE to another member", &office));
    let ping = inner(ipv4().dst(GCP_PRIVATE).protocol(Some(1))).payload(&[8; 8]);
    rows.push(no_transit("no tunnel, to the underlay", &ping));
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn taken_where_they_are() {
    let mut bench = bench("pass");
    let mut rows = Vec::new();
    for port in [4789, 8472, OWN_PORT] {
        for (name, frame) in datagrams(port, ipv4(), ipv6()) {
            rows.push(accepted(&bench, name, &frame));
        }
        for (v4, v6) in [(GCP_PRIVATE, GCP_PRIVATE6), (GCP_PUBLIC, GCP_PUBLIC6)] {
            for (name, frame) in datagrams(port, ipv4().dst(v4), ipv6().dst(v6)) {
                rows.push(refused(format!("{name}, to {v4} or {v6}"), &frame));
            }
        }
        for (name, frame) in datagrams(port, ipv4().dst(OFFICE_HOST), ipv6().dst(LONE_HOST6)) {
            rows.push(no_transit(format!("{name}, to another member"), &frame));
        }
    }
    for (name, ip, protocol) in to_underlay() {
        let frame = inner(ip).payload(&[0x45; 40]);
        rows.push(refused(format!("protocol {protocol} to {name}"), &frame));
    }
    rows.extend(lookalikes().iter().map(|(name, frame)| accepted(&bench, *name, frame)));
    check(&mut bench, Program::Decap, &rows);
}

/// The other network keeps to the default.
#[test]
fn each_network_for_itself() {
    let mut bench = bench("pass");
    let frame = Packet::new()
        .with(Eth::new(OTHER_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_OTHER_HOST, GCP_OTHER_HOST))
        .with(Udp::new(1, 4789));
    let ip = outer_ip6().src(OFFICE6);
    let packet = wrap(ip, outer_udp().dst_port(OWN_PORT), vxlan().vni(OTHER_VNI), &frame).build();
    let row = Row::refused("there", &packet, NestedTunnel, Who::Member("office", OTHER_VNI));
    check(&mut bench, Program::Decap, &[row]);
}
