//! Congestion marks on receipt, RFC 6040 section 4.2, figure 4: all combinations of inner and
//! outer field, over both families, with the DSCP bits of either header left alone.

use vxlan_common::reason::RxDrop::EcnError;

use crate::prelude::*;

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;
const DROP: u8 = 0xff;

/// Lines: inner Not-ECT, ECT(0), ECT(1), CE. Columns: outer Not-ECT, ECT(0), ECT(1), CE.
const FIGURE_4: [(u8, [u8; 4]); 4] = [
    (NOT_ECT, [NOT_ECT, NOT_ECT, NOT_ECT, DROP]),
    (ECT_0, [ECT_0, ECT_0, ECT_1, CE]),
    (ECT_1, [ECT_1, ECT_1, ECT_1, CE]),
    (CE, [CE, CE, CE, CE]),
];
const COLUMNS: [u8; 4] = [NOT_ECT, ECT_0, ECT_1, CE];

fn name(field: u8) -> &'static str {
    ["Not-ECT", "ECT(1)", "ECT(0)", "CE"][usize::from(field)]
}

/// One row for each combination; `frame` makes an inner frame with that TOS byte, its checksum
/// right.
fn rows(bench: &Bench, family: &str, dscp: [u8; 2], frame: impl Fn(u8) -> Packet) -> Vec<Row> {
    rows_within(bench, family, dscp, |tos| outer_ip().tos(tos).into(), frame)
}

fn rows_within(
    bench: &Bench,
    family: &str,
    dscp: [u8; 2],
    around: impl Fn(u8) -> Layer,
    frame: impl Fn(u8) -> Packet,
) -> Vec<Row> {
    let [outer_dscp, inner_dscp] = dscp;
    let cells = FIGURE_4.into_iter().flat_map(|(inner, row)| {
        COLUMNS.into_iter().zip(row).map(move |(outer, expected)| (inner, outer, expected))
    });
    cells
        .map(|(inner, outer, expected)| {
            let row = format!("{} outside, {} in {family}", name(outer), name(inner));
            let arriving = frame(inner_dscp | inner);
            let packet = wrap(around(outer_dscp | outer), outer_udp(), vxlan(), &arriving).build();
            if expected == DROP {
                return Row::refused(row, &packet, EcnError, AWS_43);
            }
            let leaving = frame(inner_dscp | expected).build();
            Row::accepted(row, bench, &packet, AWS_43, &leaving).nat(SrcAddress, AWS_43)
        })
        .collect()
}

#[test]
fn marks_over_ipv4() {
    let frame = |tos| {
        let ip = ipv4().tos(tos).id(0xbeef);
        Packet::new().with(eth()).with(ip).with(Udp::new(1, 2)).payload(b"data")
    };
    for dscp in [[0, 0], [0xb8, 0x28], [0xfc, 0xfc]] {
        let mut bench = Bench::gcp();
        let rows = rows(&bench, "IPv4", dscp, frame);
        check(&mut bench, Program::Decap, &rows);
    }
}

#[test]
fn marks_of_an_outer_ipv6_header() {
    let around = |class| outer_ip6().traffic_class(class).flow_label(0xabcde).into();
    let udp = || Udp::new(1, 2);
    let v4 = |tos| Packet::new().with(eth()).with(ipv4().tos(tos)).with(udp()).payload(b"data");
    let v6 = |tos| {
        let ip = ipv6().traffic_class(tos).flow_label(0xf_0f0f);
        Packet::new().with(eth()).with(ip).with(udp()).payload(b"data")
    };
    let arp = |_| Packet::new().with(eth()).with(Arp::request(AWS_MAC, AWS_HOST, GCP_HOST));
    let mut bench = Family::V6.bench();
    for dscp in [[0, 0], [0xb8, 0x28], [0xfc, 0xfc]] {
        let rows = rows_within(&bench, "IPv4", dscp, around, v4);
        check(&mut bench, Program::Decap, &rows);
        let rows = rows_within(&bench, "IPv6", dscp, around, v6);
        check(&mut bench, Program::Decap, &rows);
    }
    let rows: Vec<_> = COLUMNS
        .into_iter()
        .map(|outer| {
            let packet = wrap(around(outer), outer_udp(), vxlan(), &arp(outer)).build();
            let row = format!("{} outside of ARP", name(outer));
            let row = Row::accepted(row, &bench, &packet, AWS_43, &arp(outer).build());
            row.nat(SrcAddress, AWS_43)
        })
        .collect();
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn marks_over_ipv4_with_options() {
    let frame = |tos| {
        let ip = ipv4().tos(tos).options(vec![1, 1, 1, 0]);
        Packet::new().with(eth()).with(ip).with(Udp::new(1, 2)).payload(b"data")
    };
    let mut bench = Bench::gcp();
    let rows = rows(&bench, "IPv4 with options", [0, 0], frame);
    check(&mut bench, Program::Decap, &rows);
}

/// The checksum goes past its wrap-around: RFC 1624 has two forms of zero.
#[test]
fn marks_over_ipv4_whatever_the_checksum() {
    let mut bench = Bench::gcp();
    let mut all = Vec::new();
    for id in (0..=u16::MAX).step_by(251) {
        let frame = |tos| Packet::new().with(eth()).with(ipv4().tos(tos).id(id));
        let ip = outer_ip().tos(CE);
        let packet = wrap(ip, outer_udp(), vxlan(), &frame(ECT_0)).build();
        let marked = frame(CE).build();
        let row = Row::accepted(format!("id {id}"), &bench, &packet, AWS_43, &marked);
        all.push(row.nat(SrcAddress, AWS_43));
    }
    check(&mut bench, Program::Decap, &all);
}

#[test]
fn marks_over_ipv6() {
    let frame = |tos| {
        let ip = ipv6().traffic_class(tos).flow_label(0xabcde);
        Packet::new().with(eth()).with(ip).with(Udp::new(1, 2)).payload(b"data")
    };
    for dscp in [[0, 0], [0xb8, 0x28], [0xfc, 0xfc]] {
        let mut bench = Bench::gcp();
        let rows = rows(&bench, "IPv6", dscp, frame);
        check(&mut bench, Program::Decap, &rows);
    }
}

#[test]
fn arp_has_no_field_to_mark() {
    let arp = Packet::new().with(eth()).with(Arp::request(AWS_MAC, AWS_HOST, GCP_HOST));
    let mut bench = Bench::gcp();
    let rows: Vec<_> = COLUMNS
        .into_iter()
        .map(|outer| {
            let packet = wrap(outer_ip().tos(outer), outer_udp(), vxlan(), &arp).build();
            let row = format!("{} outside of ARP", name(outer));
            let row = Row::accepted(row, &bench, &packet, AWS_43, &arp.build());
            row.nat(SrcAddress, AWS_43)
        })
        .collect();
    check(&mut bench, Program::Decap, &rows);
}
