//! What `decap` refuses for its outer headers, its VNI or its sender, and whom that is put down to.

use vxlan_common::reason::RxDrop::{
    self, BadChecksum, InvalidVxlanHeader, IpOptions, MalformedOuter, NotAMember, OuterFragment,
    UnknownSource, UnknownVni,
};
use vxlan_tests::packet::{Checksum, Ipv4, Packet, Udp, Vxlan, flags};

use crate::{
    bench::{Bench, Program},
    moves::{Moves, Who},
    rows::{Row, check, padded},
    world::*,
};

const AWS: Who = Who::Peer("aws");

pub(crate) fn refused(name: impl Into<String>, packet: &Packet, reason: RxDrop, who: Who) -> Row {
    Row::refused(name, &packet.build(), reason, who)
}

fn ip(ip: Ipv4) -> Packet {
    wrap(ip, outer_udp(), vxlan(), &ping())
}

fn udp(udp: Udp) -> Packet {
    wrap(outer_ip(), udp, vxlan(), &ping())
}

#[test]
fn outer_headers() {
    let options = |n| outer_ip().options(vec![1; n]);
    let total = |n| ip(outer_ip().total_length(Some(n)));
    // 20 + 8 + 8 + 14 + 20 + 8 + 7 bytes from the IP header on.
    let (whole, udp_len) = (85_u16, 65_u16);
    assert_eq!(from_aws(&ping()).build().len(), 14 + usize::from(whole));
    let both = |by: i16| {
        let ip = outer_ip().total_length(Some(whole.wrapping_add_signed(by)));
        wrap(ip, outer_udp().length(Some(udp_len.wrapping_add_signed(by))), vxlan(), &ping())
    };
    let length = |n| udp(outer_udp().length(Some(n)));
    let stranger = || outer_ip().src(STRANGER);
    let first = || outer_ip().fragment(flags::MF);
    let wrong = || outer_ip().checksum(Checksum::Wrong);
    let mut rows = vec![
        refused("4 bytes of options", &ip(options(4)), IpOptions, AWS),
        refused("40 bytes of options", &ip(options(40)), IpOptions, AWS),
        refused("options to our private address", &ip(options(4).dst(GCP_PRIVATE)), IpOptions, AWS),
        refused(
            "options from aws' other address",
            &ip(options(4).src(AWS_PRIVATE)),
            IpOptions,
            AWS,
        ),
        refused("options from a stranger", &ip(options(4).src(STRANGER)), IpOptions, Who::Nobody),
        refused("first fragment", &ip(first()), OuterFragment, AWS),
        refused("first fragment, DF set", &ip(first().fragment(0x6000)), OuterFragment, AWS),
        refused("fragment of a stranger", &ip(first().src(STRANGER)), OuterFragment, Who::Nobody),
        refused("checksum with one bit turned", &ip(wrong()), BadChecksum, AWS),
        refused("checksum of zero", &ip(outer_ip().checksum(Checksum::Zero)), BadChecksum, AWS),
        refused("wrong checksum, stranger", &ip(wrong().src(STRANGER)), BadChecksum, Who::Nobody),
        refused(
            "wrong checksum from office",
            &ip(wrong().src(OFFICE)),
            BadChecksum,
            peer("office"),
        ),
        refused("IP length 1 past the frame", &total(whole + 1), MalformedOuter, AWS),
        refused("IP length 65535", &total(u16::MAX), MalformedOuter, AWS),
        refused("IP and UDP length 1 past the frame", &both(1), MalformedOuter, AWS),
        refused("IP length 0", &total(0), MalformedOuter, AWS),
        refused("IP length 19", &total(19), MalformedOuter, AWS),
        refused("IP length 20", &total(20), MalformedOuter, AWS),
        refused("IP length 27", &total(27), MalformedOuter, AWS),
        refused("IP length 28 above a longer UDP length", &total(28), MalformedOuter, AWS),
        refused("IP length 1 short of the UDP length", &total(whole - 1), MalformedOuter, AWS),
        refused("UDP length 1 short of the IP length", &length(udp_len - 1), MalformedOuter, AWS),
        refused("UDP length 1 past the IP length", &length(udp_len + 1), MalformedOuter, AWS),
        refused("UDP length 0", &length(0), MalformedOuter, AWS),
        refused("UDP length 7", &length(7), MalformedOuter, AWS),
        refused("UDP length 65535", &length(u16::MAX), MalformedOuter, AWS),
        refused(
            "lying length of a stranger",
            &ip(stranger().total_length(Some(whole + 1))),
            MalformedOuter,
            Who::Nobody,
        ),
        Row::refused(
            "UDP length that takes in the padding",
            &padded(&length(udp_len + 4), 4),
            MalformedOuter,
            AWS,
        ),
    ];
    for ihl in 0..5 {
        let name = format!("IP header length of {ihl} words");
        rows.push(refused(
            name,
            &ip(outer_ip().version_ihl(Some(0x40 | ihl))),
            MalformedOuter,
            AWS,
        ));
    }
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

fn peer(name: &'static str) -> Who {
    Who::Peer(name)
}

/// RFC 7348 section 5: the I flag must be set; all else but the VNI is other protocols' ground.
#[test]
fn every_bit_of_the_vxlan_header_outside_the_vni() {
    let good = from_aws(&ping()).build();
    let bits = (0..64).filter(|bit| !(32..56).contains(bit));
    let mut rows: Vec<_> = bits
        .map(|bit| {
            let mut bad = good.clone();
            bad[42 + bit / 8] ^= 0x80 >> (bit % 8);
            let name = if bit == 4 {
                "I flag clear".to_owned()
            } else {
                format!("bit {bit} of the VXLAN header set")
            };
            Row::refused(name, &bad, InvalidVxlanHeader, AWS)
        })
        .collect();
    let stranger = wrap(outer_ip().src(STRANGER), outer_udp(), vxlan().flags(0), &ping());
    rows.push(refused("no flag, stranger", &stranger, InvalidVxlanHeader, Who::Nobody));
    let unknown = wrap(outer_ip(), outer_udp(), Vxlan::new(UNKNOWN_VNI).flags(0), &ping());
    rows.push(refused("no flag, unknown VNI", &unknown, InvalidVxlanHeader, AWS));
    for n in 0..8 {
        let header = &good[42..42 + n];
        let cut = Packet::new().with(outer_eth()).with(outer_ip()).with(outer_udp());
        let cut = cut.payload(header);
        let name = format!("VXLAN header of {n} bytes");
        rows.push(refused(name, &cut, InvalidVxlanHeader, AWS));
        let name = format!("VXLAN header of {n} bytes in a padded frame");
        rows.push(Row::refused(name, &padded(&cut, 40), InvalidVxlanHeader, AWS));
    }
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn senders() {
    let from = |ip, vni| wrap(ip, outer_udp(), Vxlan::new(vni), &ping());
    let refused = |name, ip, vni, reason, who| refused(name, &from(ip, vni), reason, who);
    let not_a_member = |name, ip, vni, moved| {
        let row = Row::refused(name, &from(ip, vni).build(), NotAMember, Who::Nobody);
        row.moves(moved)
    };
    let (aws, office) = (outer_ip, || outer_ip().src(OFFICE));
    let stranger = || outer_ip().src(STRANGER);
    let pair = |peer| Moves::none().non_member(peer, OTHER_VNI, 1);
    let rows = [
        refused("unknown VNI from aws", aws(), UNKNOWN_VNI, UnknownVni, peer("aws")),
        refused("unknown VNI from office", office(), UNKNOWN_VNI, UnknownVni, peer("office")),
        refused("unknown VNI from a stranger", stranger(), UNKNOWN_VNI, UnknownVni, Who::Nobody),
        refused("VNI 0", aws(), 0, UnknownVni, peer("aws")),
        refused("VNI 2b0000, ours with its bytes swapped", aws(), 0x2b_0000, UnknownVni, AWS),
        refused("VNI 2b00, ours a byte off", aws(), 0x2b00, UnknownVni, AWS),
        refused("VNI ffffff", aws(), 0xff_ffff, UnknownVni, AWS),
        refused("stranger", stranger(), VNI, UnknownSource, Who::Network(VNI)),
        refused(
            "stranger in the other network",
            stranger(),
            OTHER_VNI,
            UnknownSource,
            Who::Network(OTHER_VNI),
        ),
        refused(
            "one address above a peer's",
            outer_ip().src([198, 51, 100, 21].into()),
            VNI,
            UnknownSource,
            Who::Network(VNI),
        ),
        refused("this host", outer_ip().src(GCP_PUBLIC), VNI, UnknownSource, Who::Network(VNI)),
        refused("0.0.0.0", outer_ip().src([0; 4].into()), VNI, UnknownSource, Who::Network(VNI)),
        not_a_member("aws in a network of office", aws(), OTHER_VNI, pair("aws")),
        not_a_member("aws there once more", aws(), OTHER_VNI, pair("aws")),
        not_a_member("aws there, private", aws().src(AWS_PRIVATE), OTHER_VNI, pair("aws")),
        not_a_member(
            "lone in a network of office",
            outer_ip().src([198, 51, 100, 40].into()),
            OTHER_VNI,
            pair("lone"),
        ),
    ];
    check(&mut Bench::gcp(), Program::Decap, &rows);
}
