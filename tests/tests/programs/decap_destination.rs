//! Inner destinations that are not on or behind this host: a peer is not served transit.

use vxlan_common::reason::RxDrop::InnerDestinationDenied;

use crate::prelude::*;

fn denied(name: impl Into<String>, inner: &Packet) -> Row {
    Row::refused(name, &from_aws(inner).build(), InnerDestinationDenied, AWS_43)
}

#[test]
fn ip_destinations() {
    let to = |mac: Mac, destination: Ipv4Addr| {
        let eth = Eth::new(mac, AWS_MAC);
        Packet::new().with(eth).with(ipv4().dst(destination)).with(Icmp::echo_request(1, 1))
    };
    let to6 = |destination: Ipv6Addr| {
        Packet::new().with(eth()).with(ipv6().dst(destination)).with(Icmp::echo_request_v6(1, 1))
    };
    let mut rows = Vec::new();
    for (what, destination) in [
        ("nobody's", NOWHERE),
        ("office's: transit", OFFICE_HOST),
        ("lone's: transit", LONE_HOST),
        ("its own", AWS_HOST),
        ("the other network's, local", GCP_OTHER_HOST),
        ("the other network's, office", OFFICE_OTHER_HOST),
        ("this host's outer one", GCP_PRIVATE),
        ("loopback", Ipv4Addr::LOCALHOST),
        ("unspecified", Ipv4Addr::UNSPECIFIED),
    ] {
        rows.push(denied(format!("{what} ({destination})"), &to(GCP_MAC, destination)));
        let name = format!("{what} ({destination}), in a broadcast");
        rows.push(denied(name, &to(BROADCAST, destination)));
    }
    for (what, destination) in
        [("multicast", Ipv4Addr::new(239, 1, 2, 3)), ("limited broadcast", Ipv4Addr::BROADCAST)]
    {
        rows.push(denied(format!("{what} to this host's MAC"), &to(GCP_MAC, destination)));
    }
    for (what, destination) in [
        ("lone's: transit", LONE_HOST6),
        ("its own", AWS_HOST6),
        ("loopback", Ipv6Addr::LOCALHOST),
        ("link-local, not discovery", GCP_LINK_LOCAL),
        ("multicast, to this host's MAC", Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 9)),
    ] {
        rows.push(denied(format!("{what} ({destination})"), &to6(destination)));
    }
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn mac_destinations() {
    let to = |mac: Mac| Packet::new().with(Eth::new(mac, AWS_MAC)).with(ipv4());
    let rows = [
        denied("nobody's MAC", &to(STRANGE_MAC)),
        denied("office's MAC", &to(OFFICE_MAC)),
        denied("its own MAC", &to(AWS_MAC)),
        denied("the other network's MAC", &to(OTHER_MAC)),
        denied("MAC of zeros", &to([0; 6])),
        denied("a multicast MAC that is not the address'", &to([1, 0, 0x5e, 0, 0, 5])),
        denied("one bit off this host's MAC", &to([2, 0, 0, 0, 0x43, 0])),
    ];
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn targets_of_arp_and_discovery() {
    let arp = |mac, arp| Packet::new().with(Eth::new(mac, AWS_MAC)).with(arp);
    let request = |mac, target: Ipv4Addr| arp(mac, Arp::request(AWS_MAC, AWS_HOST, target));
    let solicitation = |target: Ipv6Addr| {
        Packet::new()
            .with(Eth::new(SOLICITED_MAC, AWS_MAC))
            .with(Ipv6::new(AWS_HOST6, SOLICITED).hop_limit(255))
            .with(Icmp::neighbour_solicitation(target, AWS_MAC))
    };
    // What a forwarding host would route on, as its IP header says.
    let detour = Packet::new()
        .with(eth())
        .with(Ipv6::new(AWS_HOST6, LONE_HOST6).hop_limit(255))
        .with(Icmp::neighbour_solicitation(GCP_HOST6, AWS_MAC));
    let advertisement = Packet::new()
        .with(eth())
        .with(Ipv6::new(AWS_HOST6, LONE_HOST6).hop_limit(255))
        .with(Icmp::neighbour_advertisement(AWS_HOST6, AWS_MAC));
    let reply = Arp::reply(AWS_MAC, AWS_HOST, OFFICE_MAC, OFFICE_HOST);
    let rows = [
        denied("who has office's address", &request(BROADCAST, OFFICE_HOST)),
        denied("who has nobody's address", &request(BROADCAST, NOWHERE)),
        denied("who has 0.0.0.0", &request(BROADCAST, Ipv4Addr::UNSPECIFIED)),
        denied("ARP request to another MAC", &request(STRANGE_MAC, GCP_HOST)),
        denied("announcement to this host alone", &request(GCP_MAC, AWS_HOST)),
        denied("ARP reply to office's MAC", &arp(OFFICE_MAC, reply.clone())),
        denied("ARP reply to office's address", &arp(GCP_MAC, reply)),
        denied("solicitation of lone's address", &solicitation(LONE_HOST6)),
        denied("solicitation of this host's address to lone's: transit", &detour),
        denied("ARP request to a multicast MAC", &request([1, 0, 0x5e, 0, 0, 5], GCP_HOST)),
        denied("solicitation of its own address", &solicitation(AWS_HOST6)),
        denied("advertisement to lone's address", &advertisement),
    ];
    check(&mut Bench::gcp(), Program::Decap, &rows);
}
