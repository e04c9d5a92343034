//! What `decap` refuses for its outer headers, its VNI or its sender, and for whom that is counted.

use vxlan_common::reason::RxDrop::{
    self, BadChecksum, InvalidVxlanHeader, IpOptions, MalformedOuter, NotAMember, OuterFragment,
    UnknownSource, UnknownVni,
};

use crate::prelude::*;

const OFFICE_PEER: Who = Who::Peer("office");

fn refused(name: impl Into<String>, packet: &Packet, reason: RxDrop, who: Who) -> Row {
    Row::refused(name, &packet.build(), reason, who)
}

over_both_families!(
    lengths,
    every_bit_of_the_vxlan_header_outside_the_vni,
    senders,
    private_addresses
);

fn lengths(family: Family) {
    // 8 + 8 + 14 + 20 + 8 + 7 bytes behind the IP header.
    let whole = 65_u16;
    assert_eq!(family.sent_by_aws(&ping()).build().len(), family.udp_at() + usize::from(whole));
    let ip = |ip: Ip| wrap(ip, outer_udp(), vxlan(), &ping());
    let carries = |n| ip(family.outer_ip().carries(n));
    let udp = |n| wrap(family.outer_ip(), outer_udp().length(Some(n)), vxlan(), &ping());
    let both = |n| {
        let ip = family.outer_ip().carries(n);
        wrap(ip, outer_udp().length(Some(n)), vxlan(), &ping())
    };
    let past = |source| ip(family.outer_ip().src(source).carries(whole + 1));
    let to_private = ip(Ip::new(family.office(), family.gcp_private()).carries(whole + 1));
    let malformed = |name: &str, packet: &Packet| refused(name, packet, MalformedOuter, AWS);
    let mut rows = vec![
        malformed("IP 1 past the frame", &carries(whole + 1)),
        malformed("IP and UDP 1 past the frame", &both(whole + 1)),
        malformed("IP 0, as a jumbogram's", &carries(0)),
        malformed("IP 7", &carries(7)),
        malformed("IP and UDP 7", &both(7)),
        malformed("IP 8 above a longer UDP length", &carries(8)),
        malformed("IP 1 short of the UDP length", &carries(whole - 1)),
        malformed("UDP 1 short of the IP length", &udp(whole - 1)),
        malformed("UDP 1 past the IP length", &udp(whole + 1)),
        malformed("UDP 0", &udp(0)),
        malformed("UDP 7", &udp(7)),
        malformed("UDP 65535", &udp(u16::MAX)),
        malformed("UDP that takes in the padding", &Packet::new().payload(&padded(&udp(69), 4))),
        malformed("lying length from aws' private address", &past(family.aws_private())),
        refused(
            "lying length of a stranger",
            &past(family.stranger()),
            MalformedOuter,
            Who::Nobody,
        ),
        refused("lying length of office, to private", &to_private, MalformedOuter, OFFICE_PEER),
    ];
    let fields: Vec<Layer> = match family {
        Family::V4 => [0, 19, u16::MAX].map(|n| outer_ip().total_length(Some(n)).into()).into(),
        Family::V6 => vec![outer_ip6().payload_length(Some(u16::MAX)).into()],
    };
    for ip in fields {
        let packet = wrap(ip, outer_udp(), vxlan(), &ping());
        let field = packet.build()[family.pick(16..18, 18..20)].to_vec();
        rows.push(malformed(&format!("length field of {field:x?}"), &packet));
    }
    for n in 8..16 {
        let name = format!("{n} bytes, no room for a VXLAN header");
        rows.push(refused(name, &both(n), InvalidVxlanHeader, AWS));
    }
    check(&mut family.bench(), Program::Decap, &rows);
}

#[test]
fn ipv4_headers() {
    let ip = |ip: Ipv4| wrap(ip, outer_udp(), vxlan(), &ping());
    let options = |n| outer_ip().options(vec![1; n]);
    let first = || outer_ip().fragment(flags::MF);
    let wrong = || outer_ip().checksum(Checksum::Wrong);
    let aws = |name: &str, header: Ipv4, reason| refused(name, &ip(header), reason, AWS);
    let stranger = |name: &str, header: Ipv4, reason| {
        refused(name, &ip(header.src(STRANGER)), reason, Who::Nobody)
    };
    let mut rows = vec![
        aws("4 bytes of options", options(4), IpOptions),
        aws("40 bytes of options", options(40), IpOptions),
        aws("options to our private address", options(4).dst(GCP_PRIVATE), IpOptions),
        aws("options from aws' other address", options(4).src(AWS_PRIVATE), IpOptions),
        stranger("options from a stranger", options(4), IpOptions),
        aws("first fragment", first(), OuterFragment),
        aws("first fragment, DF set", first().fragment(0x6000), OuterFragment),
        stranger("fragment of a stranger", first(), OuterFragment),
        aws("checksum with one bit turned", wrong(), BadChecksum),
        aws("checksum of zero", outer_ip().checksum(Checksum::Zero), BadChecksum),
        stranger("wrong checksum, stranger", wrong(), BadChecksum),
        refused("wrong checksum from office", &ip(wrong().src(OFFICE)), BadChecksum, OFFICE_PEER),
    ];
    for ihl in 0..5 {
        let name = format!("IP header length of {ihl} words");
        rows.push(aws(&name, outer_ip().version_ihl(Some(0x40 | ihl)), MalformedOuter));
    }
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

/// RFC 7348 section 5: the I flag must be set; all else but the VNI belongs to other protocols.
fn every_bit_of_the_vxlan_header_outside_the_vni(family: Family) {
    let good = family.sent_by_aws(&ping()).build();
    let at = family.udp_at() + 8;
    let bits = (0..64).filter(|bit| !(32..56).contains(bit));
    let mut rows: Vec<_> = bits
        .map(|bit| {
            let mut bad = good.clone();
            bad[at + bit / 8] ^= 0x80 >> (bit % 8);
            let name = if bit == 4 {
                "I flag clear".to_owned()
            } else {
                format!("bit {bit} of the VXLAN header set")
            };
            Row::refused(name, &bad, InvalidVxlanHeader, AWS)
        })
        .collect();
    let ip = || family.outer_ip();
    let stranger = wrap(ip().src(family.stranger()), outer_udp(), vxlan().flags(0), &ping());
    rows.push(refused("no flag, stranger", &stranger, InvalidVxlanHeader, Who::Nobody));
    let unknown = wrap(ip(), outer_udp(), Vxlan::new(UNKNOWN_VNI).flags(0), &ping());
    rows.push(refused("no flag, unknown VNI", &unknown, InvalidVxlanHeader, AWS));
    for n in 0..8 {
        let cut = Packet::new().with(outer_eth()).with(ip()).with(outer_udp());
        let cut = cut.payload(&good[at..at + n]);
        let name = format!("VXLAN header of {n} bytes");
        rows.push(refused(name, &cut, InvalidVxlanHeader, AWS));
        let name = format!("VXLAN header of {n} bytes in a padded frame");
        rows.push(Row::refused(name, &padded(&cut, 40), InvalidVxlanHeader, AWS));
    }
    check(&mut family.bench(), Program::Decap, &rows);
}

fn senders(family: Family) {
    let usual = || family.outer_ip();
    let from = |source, vni| wrap(usual().src(source), outer_udp(), Vxlan::new(vni), &ping());
    let unknown_vni =
        |name: &str, source, vni, who| refused(name, &from(source, vni), UnknownVni, who);
    let unknown = |name: &str, source, vni| {
        refused(name, &from(source, vni), UnknownSource, Who::Network(vni))
    };
    let not_a_member = |name: &str, source, peer| {
        let row = Row::refused(name, &from(source, OTHER_VNI).build(), NotAMember, Who::Nobody);
        row.deltas(Deltas::none().non_member(peer, OTHER_VNI, 1))
    };
    let parse = |text: &str| text.parse().expect("is an address");
    let (aws, private, office) = (family.aws_public(), family.aws_private(), family.office());
    let stranger = family.stranger();
    let above = parse(family.pick("198.51.100.21", "2001:db8:c::21"));
    let mut rows = vec![
        unknown_vni("unknown VNI from aws", aws, UNKNOWN_VNI, AWS),
        unknown_vni("unknown VNI from office", office, UNKNOWN_VNI, OFFICE_PEER),
        unknown_vni("unknown VNI from aws' private address", private, UNKNOWN_VNI, AWS),
        unknown_vni("unknown VNI from a stranger", stranger, UNKNOWN_VNI, Who::Nobody),
        unknown_vni("VNI 0", aws, 0, AWS),
        unknown_vni("VNI 2b0000, ours with its bytes swapped", aws, 0x2b_0000, AWS),
        unknown_vni("VNI 2b00, ours a byte off", aws, 0x2b00, AWS),
        unknown_vni("VNI ffffff", aws, 0xff_ffff, AWS),
        unknown("stranger", stranger, VNI),
        unknown("stranger in the other network", stranger, OTHER_VNI),
        unknown("one address above a peer's", above, VNI),
        unknown("this host", family.gcp_public(), VNI),
        unknown("no address", family.unspecified(), VNI),
        not_a_member("aws in a network of office", aws, "aws"),
        not_a_member("aws there once more", aws, "aws"),
        not_a_member("aws there, private", private, "aws"),
        not_a_member("lone in a network of office", family.lone(), "lone"),
    ];
    if family == Family::V6 {
        let mapped = parse("::ffff:198.51.100.20");
        rows.push(unknown("a peer's IPv4 address, mapped", mapped, VNI));
        let begins = parse("c633:6414::");
        rows.push(unknown("an address that begins as a peer's IPv4 one", begins, VNI));
    }
    check(&mut family.bench(), Program::Decap, &rows);
}

/// The address of a peer's own card is no right to send: in this host's network anybody may have
/// it. The drop is the peer's.
fn private_addresses(family: Family) {
    let from =
        |source, vni| wrap(family.outer_ip().src(source), outer_udp(), Vxlan::new(vni), &ping());
    let private = family.aws_private();
    let rows = [
        refused("in its network", &from(private, VNI), UnknownSource, AWS),
        refused("in a network that it is not in", &from(private, OTHER_VNI), UnknownSource, AWS),
        refused("in no network", &from(private, UNKNOWN_VNI), UnknownVni, AWS),
        refused("from a stranger", &from(family.stranger(), VNI), UnknownSource, NETWORK),
    ];
    let text = family.text("");
    let without = text.replace("accept_private = true", "accept_private = false");
    assert_ne!(text, without);
    let mut bench = Bench::new(&without, family.host());
    let good = from(family.aws_public(), VNI).build();
    let accepted = |bench: &Bench| {
        Row::accepted("from the endpoint", bench, &good, AWS_43, &ping().build())
            .nat(SrcAddress, AWS_43)
    };
    check(&mut bench, Program::Decap, &rows);
    let row = accepted(&bench);
    check(&mut bench, Program::Decap, &[row]);
    // With the right it is the same sender.
    let mut bench = family.bench();
    let private = from(private, VNI).build();
    let row = Row::accepted("with the right", &bench, &private, AWS_43, &ping().build());
    check(&mut bench, Program::Decap, &[row]);
    // An address that another peer sends from by right is that peer's.
    let office = family.pick("198.51.100.30", "2001:db8:c::33");
    let own = family.pick("10.0.0.119", "2001:db8:a::119");
    let mut bench = Bench::new(&without.replace(own, office), family.host());
    let inner = Packet::new()
        .with(Eth::new(OTHER_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_OTHER_HOST, GCP_OTHER_HOST))
        .with(Icmp::echo_request(1, 1));
    let packet =
        wrap(family.outer_ip().src(family.office()), outer_udp(), Vxlan::new(OTHER_VNI), &inner);
    let who = Who::Member("office", OTHER_VNI);
    let row = Row::accepted("another's by right", &bench, &packet.build(), who, &inner.build());
    check(&mut bench, Program::Decap, &[row]);
}
