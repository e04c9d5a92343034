//! The overlay interface as a port of a bridge: which hosts behind it a member may reach by MAC
//! addresses of their own, and what hosts without an address may send.

use vxlan_common::reason::RxDrop::{InnerDestinationDenied, InnerSourceDenied, NoHeadroom};

use crate::{bench::AWS_SECRET_MAC, prelude::*};

/// Of a host behind this one.
const STATION: Mac = [2, 0, 0, 0, 0x43, 7];
const STATION_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 43, 7);
const STATION_HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x43, 0, 0, 0, 0, 7);
const STATION_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x43, 7);

/// `keys` are further ones of network 43, whose `local_ips` are written.
fn text(underlay: &str, keys: &str) -> String {
    let local = "local_ips = [\"192.168.43.0/24\", \"2001:db8:43::/64\"]";
    gcp(underlay).replacen("vni = 43", &format!("vni = 43\n{local}\n{keys}"), 1)
}

fn bridged() -> Bench {
    Bench::new(&text(PUBLIC, ""), GCP)
}

fn v4(mac: Mac, destination: Ipv4Addr) -> Packet {
    let eth = Eth::new(mac, AWS_MAC);
    Packet::new().with(eth).with(ipv4().dst(destination)).with(Icmp::echo_request(1, 1))
}

fn v6(mac: Mac, destination: Ipv6Addr) -> Packet {
    let eth = Eth::new(mac, AWS_MAC);
    Packet::new().with(eth).with(ipv6().dst(destination)).with(Icmp::echo_request_v6(1, 1))
}

fn arp(mac: Mac, arp: Arp) -> Packet {
    Packet::new().with(Eth::new(mac, AWS_MAC)).with(arp)
}

fn solicitation(mac: Mac, from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr) -> Packet {
    let ip = Ipv6::new(from, to).hop_limit(255);
    let icmp = Icmp::neighbour_solicitation(target, AWS_MAC);
    Packet::new().with(Eth::new(mac, AWS_MAC)).with(ip).with(icmp)
}

fn advertisement(mac: Mac, to: Ipv6Addr) -> Packet {
    let ip = Ipv6::new(AWS_HOST6, to).hop_limit(255);
    let icmp = Icmp::neighbour_advertisement(AWS_HOST6, AWS_MAC);
    Packet::new().with(Eth::new(mac, AWS_MAC)).with(ip).with(icmp)
}

/// What members send to hosts behind the bridge.
fn to_stations() -> Vec<(&'static str, Packet)> {
    let fragment = Packet::new()
        .with(Eth::new(STATION, AWS_MAC))
        .with(ipv4().dst(STATION_HOST).fragment(9).protocol(Some(17)))
        .payload(&[7; 40]);
    vec![
        ("IPv4", v4(STATION, STATION_HOST)),
        ("a later fragment", fragment),
        ("IPv6", v6(STATION, STATION_HOST6)),
        ("ARP reply", arp(STATION, Arp::reply(AWS_MAC, AWS_HOST, STATION, STATION_HOST))),
        ("ARP request", arp(STATION, Arp::request(AWS_MAC, AWS_HOST, STATION_HOST))),
        ("solicitation", solicitation(STATION, AWS_HOST6, STATION_HOST6, STATION_HOST6)),
        ("advertisement", advertisement(STATION, STATION_HOST6)),
        ("link-local advertisement", advertisement(STATION, STATION_LINK_LOCAL)),
    ]
}

fn accepted(bench: &Bench, name: impl Into<String>, inner: &Packet) -> Row {
    let packet = from_aws(inner).build();
    Row::accepted(name, bench, &packet, AWS_43, &inner.build()).nat(SrcAddress, AWS_43)
}

fn denied(name: impl Into<String>, inner: &Packet) -> Row {
    Row::refused(name, &from_aws(inner).build(), InnerDestinationDenied, AWS_43)
}

#[test]
fn hosts_in_local_ips_are_reached_by_their_own_mac() {
    let mut bench = bridged();
    let rows: Vec<_> =
        to_stations().iter().map(|(name, frame)| accepted(&bench, *name, frame)).collect();
    check(&mut bench, Program::Decap, &rows);
}

/// Without a written `local_ips` this host alone is behind the interface, by its own MAC.
#[test]
fn without_local_ips_nobody_is() {
    let rows: Vec<_> = to_stations().iter().map(|(name, frame)| denied(*name, frame)).collect();
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn other_destinations_stay_denied() {
    let request = |target: Ipv4Addr| Arp::request(AWS_MAC, AWS_HOST, target);
    let detour = solicitation(STATION, AWS_HOST6, LONE_HOST6, STATION_HOST6);
    let rows = [
        denied("office's address: transit", &v4(STATION, OFFICE_HOST)),
        denied("nobody's address", &v4(STATION, NOWHERE)),
        denied("its own address", &v4(STATION, AWS_HOST)),
        denied("the other network's", &v4(STATION, GCP_OTHER_HOST)),
        denied("this host's outer one", &v4(STATION, GCP_PRIVATE)),
        denied("this host's own address at another MAC", &v4(STATION, GCP_HOST)),
        denied("the broadcast address at a MAC", &v4(STATION, [192, 168, 43, 255].into())),
        denied("MAC of zeros", &v4([0; 6], STATION_HOST)),
        denied("multicast", &v4(STATION, [239, 1, 2, 3].into())),
        denied("limited broadcast", &v4(STATION, [255; 4].into())),
        denied("lone's IPv6 address", &v6(STATION, LONE_HOST6)),
        denied("this host's own IPv6 address at another MAC", &v6(STATION, GCP_HOST6)),
        denied("link-local, not discovery", &v6(STATION, STATION_LINK_LOCAL)),
        denied("who has office's address", &arp(STATION, request(OFFICE_HOST))),
        denied("a group's MAC that is not the address'", &v4([1, 0, 0x5e, 0, 0, 5], STATION_HOST)),
        denied("solicitation of a station to lone's address", &detour),
    ];
    check(&mut bridged(), Program::Decap, &rows);
    // Behind a bridge a member's rights as a source are what they were.
    let spoofed = Packet::new()
        .with(Eth::new(STATION, AWS_MAC))
        .with(Ipv4::new(STATION_HOST, STATION_HOST))
        .with(Icmp::echo_request(1, 1));
    let row = Row::refused("source", &from_aws(&spoofed).build(), InnerSourceDenied, AWS_43);
    check(&mut bridged(), Program::Decap, &[row]);
}

/// The secret MAC stands for one address alone.
#[test]
fn a_secret_mac_has_no_room_for_a_station() {
    let bench = || Bench::new(&text(PUBLIC_MAC_TAG, ""), GCP);
    let no_room = |(name, frame): &(&'static str, Packet)| {
        Row::refused(*name, &from_aws(frame).build(), NoHeadroom, AWS_43)
    };
    if crate::in_tc::is_on() {
        // One program does without a tag.
        return;
    }
    let mut rows: Vec<_> = to_stations().iter().map(no_room).collect();
    let mut frame = ping().build().to_vec();
    frame[..6].copy_from_slice(&AWS_SECRET_MAC);
    let own = Row::accepted_with_mac("its own", &from_aws(&ping()).build(), AWS_43, &frame);
    rows.push(own.nat(SrcAddress, AWS_43));
    check(&mut bench(), Program::Decap, &rows);
}

/// Frames of hosts that have no address yet, as they come from members.
fn without_address() -> Vec<(&'static str, Packet)> {
    let none = Ipv4Addr::UNSPECIFIED;
    let dhcp = Packet::new()
        .with(Eth::new(BROADCAST, AWS_MAC))
        .with(Ipv4::new(none, Ipv4Addr::BROADCAST))
        .with(Udp::new(68, 67))
        .payload(&[1; 240]);
    let detect = |target| solicitation(SOLICITED_MAC, Ipv6Addr::UNSPECIFIED, SOLICITED, target);
    vec![
        ("DHCP", dhcp),
        ("probe of an address of its own", arp(BROADCAST, Arp::request(AWS_MAC, none, AWS_HOST))),
        ("probe of a station's", arp(BROADCAST, Arp::request(AWS_MAC, none, STATION_HOST))),
        ("probe of this host's", arp(BROADCAST, Arp::request(AWS_MAC, none, GCP_HOST))),
        ("detection of an address of its own", detect(AWS_HOST6)),
        ("detection of this host's", detect(GCP_HOST6)),
        ("detection of a link-local address", detect(AWS_LINK_LOCAL)),
    ]
}

#[test]
fn hosts_without_an_address_are_denied_unless_the_network_takes_them() {
    let denied = |(name, frame): &(&'static str, Packet)| {
        Row::refused(*name, &from_aws(frame).build(), InnerSourceDenied, AWS_43)
    };
    let rows: Vec<_> = without_address().iter().map(denied).collect();
    check(&mut bridged(), Program::Decap, &rows);
    let mut bench = Bench::new(&text(PUBLIC, "unspecified_source = \"pass\""), GCP);
    let rows: Vec<_> =
        without_address().iter().map(|(name, frame)| accepted(&bench, *name, frame)).collect();
    check(&mut bench, Program::Decap, &rows);
    // 0.0.0.0 is at no MAC: a request for it is not answered in anybody's name.
    let ask = arp(BROADCAST, Arp::request(GCP_MAC, GCP_HOST, Ipv4Addr::UNSPECIFIED));
    let row = Row::not_sent(
        "who has 0.0.0.0",
        &ask.build(),
        vxlan_common::reason::TxDrop::NoRoute,
        NETWORK,
    );
    check(&mut bench, Program::Encap, &[row]);
}

#[test]
fn no_other_frame_comes_from_nowhere() {
    let none = Ipv4Addr::UNSPECIFIED;
    let none6 = Ipv6Addr::UNSPECIFIED;
    let to_all = |ip: Ipv4, udp: Udp| {
        Packet::new().with(Eth::new(BROADCAST, AWS_MAC)).with(ip).with(udp).payload(&[1; 30])
    };
    let dhcp = || Ipv4::new(none, Ipv4Addr::BROADCAST);
    let detect = |mac, to, target| solicitation(mac, none6, to, target);
    let borrowed = Packet::new()
        .with(Eth::new(BROADCAST, AWS_MAC))
        .with(Arp::request(OFFICE_MAC, none, AWS_HOST));
    let of_group = Packet::new()
        .with(Eth::new(BROADCAST, [3, 0, 0, 0, 0x44, 1]))
        .with(dhcp())
        .with(Udp::new(68, 67));
    let rows = [
        ("DHCP of a server", to_all(dhcp(), Udp::new(67, 68))),
        ("any other UDP", to_all(dhcp(), Udp::new(68, 69))),
        ("a first fragment", to_all(dhcp().fragment(flags::MF), Udp::new(68, 67))),
        ("DHCP to one host", to_all(Ipv4::new(none, GCP_HOST), Udp::new(68, 67))),
        ("DHCP in 0/8", to_all(Ipv4::new([0, 0, 0, 1], [255; 4]), Udp::new(68, 67))),
        (
            "TCP",
            Packet::new().with(Eth::new(BROADCAST, AWS_MAC)).with(dhcp()).with(Tcp::new(68, 67)),
        ),
        ("DHCP from a group's MAC", of_group),
        ("a probe of office's address", arp(BROADCAST, Arp::request(AWS_MAC, none, OFFICE_HOST))),
        ("a probe of nobody's address", arp(BROADCAST, Arp::request(AWS_MAC, none, NOWHERE))),
        ("a probe of 0.0.0.0", arp(BROADCAST, Arp::request(AWS_MAC, none, none))),
        ("a probe to this host alone", arp(GCP_MAC, Arp::request(AWS_MAC, none, AWS_HOST))),
        ("a probe for another MAC", borrowed),
        ("detection of lone's address", detect(SOLICITED_MAC, SOLICITED, LONE_HOST6)),
        ("detection of a group", detect(SOLICITED_MAC, SOLICITED, ALL_NODES)),
        ("detection to one host", detect(GCP_MAC, GCP_HOST6, GCP_HOST6)),
        ("detection to lone, as a broadcast", detect(BROADCAST, LONE_HOST6, AWS_HOST6)),
    ];
    let rows: Vec<_> = rows
        .iter()
        .map(|(name, frame)| {
            Row::refused(*name, &from_aws(frame).build(), InnerSourceDenied, AWS_43)
        })
        .collect();
    let mut bench = Bench::new(&text(PUBLIC, "unspecified_source = \"pass\""), GCP);
    check(&mut bench, Program::Decap, &rows);
    // A member without IPv6 detects no addresses.
    let link_local = detect(SOLICITED_MAC, SOLICITED, AWS_LINK_LOCAL);
    let office =
        Row::refused("office", &from_office(&link_local).build(), InnerSourceDenied, OFFICE_43);
    check(&mut bench, Program::Decap, &[office]);
}
