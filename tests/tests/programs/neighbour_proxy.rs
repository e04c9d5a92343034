//! ARP and neighbour discovery proxy: requests that `encap` answers for the owner, byte for byte,
//! and those that it leaves to the owner.

use crate::{
    encap::{To, sent},
    prelude::*,
};

pub(crate) const REMOTE_MAC: Mac = [2, 0, 0, 0, 0x77, 7];

/// Who has `target`? Asked by this host.
pub(crate) fn arp_for(target: impl Into<Ipv4Addr>) -> Packet {
    let eth = Eth::new(BROADCAST, GCP_MAC);
    Packet::new().with(eth).with(Arp::request(GCP_MAC, GCP_HOST, target))
}

pub(crate) fn arp_reply(target: Ipv4Addr, mac: Mac) -> Packet {
    let eth = Eth::new(GCP_MAC, mac);
    Packet::new().with(eth).with(Arp::reply(mac, target, GCP_MAC, GCP_HOST))
}

pub(crate) fn answered(name: &str, question: &Packet, answer: &Packet, who: Who) -> Row {
    Row::answered(name, &question.build(), &answer.build(), who)
}

fn solicitation(from: Ipv6Addr, icmp: Icmp) -> Packet {
    let eth = Eth::new(SOLICITED_MAC, GCP_MAC);
    Packet::new().with(eth).with(Ipv6::new(from, SOLICITED).hop_limit(255)).with(icmp)
}

pub(crate) fn ns_for(target: Ipv6Addr) -> Packet {
    solicitation(GCP_HOST6, Icmp::neighbour_solicitation(target, GCP_MAC))
}

pub(crate) fn advertisement(target: Ipv6Addr, to: Ipv6Addr, mac: Mac) -> Packet {
    let ip = Ipv6::new(target, to).hop_limit(255);
    let eth = Eth::new(GCP_MAC, mac);
    Packet::new().with(eth).with(ip).with(Icmp::neighbour_advertisement(target, mac))
}

/// `gcp`, where `aws` has declared its MAC too.
fn with_declared_aws() -> Bench {
    let allowed = r#"allowed_ips = ["192.168.44.0/24", "2001:db8:44::/64"]"#;
    let declared = format!("{allowed}\nmac = \"02:00:00:00:44:01\"");
    Bench::new(&gcp(PUBLIC).replace(allowed, &declared), GCP)
}

#[test]
fn arp_for_a_declared_mac() {
    let answer = |target: Ipv4Addr| arp_reply(target, OFFICE_MAC);
    let far = Ipv4Addr::new(192, 168, 45, 254);
    // The asker's MAC in the body is another than that of the frame: a bridge in between.
    let proxied = Packet::new().with(Eth::new(BROADCAST, GCP_MAC)).with(Arp::request(
        REMOTE_MAC,
        [192, 168, 43, 77],
        OFFICE_HOST,
    ));
    let eth = Eth::new(GCP_MAC, OFFICE_MAC);
    let reply = Arp::reply(OFFICE_MAC, OFFICE_HOST, REMOTE_MAC, [192, 168, 43, 77]);
    let proxied_answer = Packet::new().with(eth).with(reply);
    let filled = Arp { target_mac: [0xff; 6], ..Arp::request(GCP_MAC, GCP_HOST, OFFICE_HOST) };
    let filled = Packet::new().with(Eth::new(BROADCAST, GCP_MAC)).with(filled);
    let to_group = Packet::new().with(Eth::new([1, 0, 0x5e, 0, 0, 1], GCP_MAC)).with(Arp::request(
        GCP_MAC,
        GCP_HOST,
        OFFICE_HOST,
    ));
    let rows = [
        answered("office's address", &arp_for(OFFICE_HOST), &answer(OFFICE_HOST), OFFICE_43),
        answered("another of its addresses", &arp_for(far), &answer(far), OFFICE_43),
        answered(
            "padded to 60 bytes",
            &arp_for(OFFICE_HOST).payload(&[0xee; 18]),
            &answer(OFFICE_HOST).payload(&[0xee; 18]),
            OFFICE_43,
        ),
        answered("asked for somebody behind", &proxied, &proxied_answer, OFFICE_43),
        answered("target MAC filled in", &filled, &answer(OFFICE_HOST), OFFICE_43),
        answered("to a multicast MAC", &to_group, &answer(OFFICE_HOST), OFFICE_43),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

#[test]
fn arp_that_is_left_to_its_owner() {
    let ether = |mac| Packet::new().with(Eth::new(mac, GCP_MAC));
    let probe = Arp::request(GCP_MAC, [0, 0, 0, 0], OFFICE_HOST);
    let reply = Arp::reply(GCP_MAC, GCP_HOST, OFFICE_MAC, OFFICE_HOST);
    let request = || Arp::request(GCP_MAC, GCP_HOST, OFFICE_HOST);
    let rows = [
        sent("probe, from 0.0.0.0", &ether(BROADCAST).with(probe), To::Office),
        sent("reply to everybody", &ether(BROADCAST).with(reply), To::Office),
        sent("request to its MAC", &ether(OFFICE_MAC).with(request()), To::Office),
        sent("request to a MAC of nobody", &ether(STRANGE_MAC).with(request()), To::Office),
        sent("no MAC is known", &arp_for(AWS_HOST), To::Aws),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

#[test]
fn solicitations_of_a_declared_mac() {
    let answer = |to| advertisement(AWS_HOST6, to, AWS_MAC);
    let far: Ipv6Addr = "2001:db8:44::dead:beef".parse().expect("is an address");
    let from = |from| solicitation(from, Icmp::neighbour_solicitation(AWS_HOST6, GCP_MAC));
    let behind: Ipv6Addr = "2001:db8:43::77".parse().expect("is an address");
    let marked = Packet::new()
        .with(Eth::new(SOLICITED_MAC, GCP_MAC))
        .with(
            Ipv6::new(GCP_HOST6, SOLICITED).hop_limit(255).traffic_class(0xe1).flow_label(0xf_ffff),
        )
        .with(Icmp::neighbour_solicitation(AWS_HOST6, GCP_MAC));
    let tail = |frame: Packet| [&frame.build()[..], &[0xee; 9]].concat();
    let (question, reply) = (tail(ns_for(AWS_HOST6)), tail(answer(GCP_HOST6)));
    let padded = Row::answered("padded", &question, &reply, AWS_43);
    let rows = [
        answered("from our address", &ns_for(AWS_HOST6), &answer(GCP_HOST6), AWS_43),
        answered(
            "another of its addresses",
            &ns_for(far),
            &advertisement(far, GCP_HOST6, AWS_MAC),
            AWS_43,
        ),
        answered(
            "from a link-local address",
            &from(GCP_LINK_LOCAL),
            &answer(GCP_LINK_LOCAL),
            AWS_43,
        ),
        answered("from behind this host", &from(behind), &answer(behind), AWS_43),
        answered("traffic class and flow label", &marked, &answer(GCP_HOST6), AWS_43),
        padded,
    ];
    check(&mut with_declared_aws(), Program::Encap, &rows);
    let answer = |target| arp_reply(target, AWS_MAC);
    let row = answered("ARP", &arp_for(AWS_HOST), &answer(AWS_HOST), AWS_43);
    check(&mut with_declared_aws(), Program::Encap, &[row]);
}

#[test]
fn solicitations_that_are_left_to_their_owner() {
    let body =
        |options: &[u8]| Icmp::new(135, 0, [&[0; 4][..], &AWS_HOST6.octets(), options].concat());
    let own = [&[1, 1][..], &GCP_MAC].concat();
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let ask = |options: &[u8]| solicitation(GCP_HOST6, body(options));
    let question = || Icmp::neighbour_solicitation(AWS_HOST6, GCP_MAC);
    let detection = solicitation(Ipv6Addr::UNSPECIFIED, body(&[]));
    let with_option = solicitation(Ipv6Addr::UNSPECIFIED, question());
    let unicast = Packet::new()
        .with(Eth::new(AWS_MAC, GCP_MAC))
        .with(Ipv6::new(GCP_HOST6, AWS_HOST6).hop_limit(255))
        .with(question());
    let rows = [
        sent("without an option", &ask(&[]), To::Aws),
        sent("with a nonce", &ask(&nonce), To::Aws),
        sent("with a nonce too", &ask(&[&own[..], &nonce].concat()), To::Aws),
        sent("with a nonce before", &ask(&[&nonce[..], &own].concat()), To::Aws),
        sent("with a target's option", &ask(&[&[2, 1][..], &GCP_MAC].concat()), To::Aws),
        sent(
            "with an option of 16 bytes",
            &ask(&[&[1, 2][..], &GCP_MAC, &[0; 8]].concat()),
            To::Aws,
        ),
        sent("whose option has no length", &ask(&[&[1, 0][..], &GCP_MAC].concat()), To::Aws),
        sent("with half an option", &ask(&[1, 1, 2, 0]), To::Aws),
        sent("duplicate address detection", &detection, To::Aws),
        sent("the same with an option", &with_option, To::Aws),
        sent("to its MAC", &unicast, To::Aws),
    ];
    check(&mut with_declared_aws(), Program::Encap, &rows);
}
