//! Packets that the driver or GRO merged before TC sees them: `decap_tc` cannot take them apart,
//! drops them and counts each, under a reason of its own unless an earlier rule has one.

use vxlan_common::reason::RxDrop::{Aggregate, InvalidVxlanHeader, ProbeDenied, UnknownSource};

use crate::{
    prelude::*,
    probes::{self, PROBE_VNI},
};

/// Three datagrams of these lengths, the last one shorter, with the headers of the first.
fn merged(ip: Ipv4, vni: u32, flags: u8) -> Vec<u8> {
    let inner = Packet::new().with(eth()).with(ipv4()).with(Tcp::new(1, 2)).payload(&[7; 900]);
    wrap(ip, outer_udp(), Vxlan::new(vni).flags(flags), &inner).build().to_vec()
}

const I_FLAG: u8 = 8;

fn segments(gso_segs: u32) -> Context {
    Context { gso_size: 330, gso_segs, ..Context::DEFAULT }
}

fn dropped(name: &str, frame: &[u8], segs: u32, deltas: Deltas) -> Row {
    let row = Row::not_delivered(name, frame).context(segments(segs));
    row.verdict(TC_ACT_SHOT).deltas(deltas)
}

#[test]
fn every_packet_of_it_is_counted() {
    let usual = merged(outer_ip(), VNI, I_FLAG);
    let drops = Deltas::rx_drops;
    let stranger = merged(outer_ip().src(STRANGER), VNI, I_FLAG);
    let other = merged(outer_ip(), OTHER_VNI, I_FLAG);
    let ssh = Packet::new().with(outer_eth()).with(outer_ip()).with(Tcp::new(1, 22));
    let ssh = ssh.payload(&[7; 900]).build();
    let rows = [
        dropped("three datagrams", &usual, 3, drops(Aggregate, AWS_43, 3)),
        dropped("not counted by the kernel", &usual, 0, drops(Aggregate, AWS_43, 3)),
        dropped("one", &usual, 1, drops(Aggregate, AWS_43, 1)),
        dropped("a stranger's", &stranger, 3, drops(UnknownSource, Who::Network(VNI), 3)),
        dropped("no member's", &other, 3, Deltas::none().non_member("aws", OTHER_VNI, 3)),
        dropped("no member's once more", &other, 2, Deltas::none().non_member("aws", OTHER_VNI, 2)),
        dropped(
            "without the I flag",
            &merged(outer_ip(), VNI, 0),
            3,
            drops(InvalidVxlanHeader, Who::Peer("aws"), 3),
        ),
        Row::not_delivered("somebody's ssh", &ssh).context(segments(3)),
    ];
    check(&mut Bench::gcp(), Program::DecapTc, &rows);
}

#[test]
fn another_vxlan_users_go_on() {
    let keys = format!("{PUBLIC}\nunknown_vni = \"pass\"");
    let unknown = merged(outer_ip(), UNKNOWN_VNI, I_FLAG);
    let row = Row::not_delivered("unknown VNI", &unknown).context(segments(3));
    check(&mut Bench::new(&gcp(&keys), GCP), Program::DecapTc, &[row]);
}

/// The checksum of a merged packet is none of its own.
#[test]
fn a_wrong_checksum_is_not_looked_at() {
    let inner = Packet::new().with(eth()).with(ipv4()).with(Udp::new(1, 2)).payload(&[7; 900]);
    let udp = outer_udp().checksum(Checksum::Wrong);
    let packet = wrap(outer_ip(), udp, vxlan(), &inner).build();
    let row = dropped("wrong checksum", &packet, 3, Deltas::rx_drops(Aggregate, AWS_43, 3));
    check(&mut Bench::gcp(), Program::DecapTc, &[row]);
}

#[test]
fn probes_are_counted_for_their_outer_source() {
    let mut bench = probes::bench();
    let probe = |ip| merged(ip, PROBE_VNI, I_FLAG);
    let (aws, nobody) = (Who::Peer("aws"), Who::Nobody);
    let rows = [
        dropped("from aws", &probe(outer_ip()), 3, Deltas::rx_drops(Aggregate, aws, 3)),
        dropped(
            "from a stranger",
            &probe(outer_ip().src(STRANGER)),
            3,
            Deltas::rx_drops(Aggregate, nobody, 3),
        ),
        Row::not_delivered("one that is not merged", &probe(outer_ip()))
            .verdict(TC_ACT_SHOT)
            .deltas(Deltas::rx_drop(ProbeDenied, aws)),
    ];
    check(&mut bench, Program::DecapTc, &rows);
}
