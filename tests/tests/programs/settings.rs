//! Keys of `[underlay]` that change what is written or refused outside: `ttl`, `dscp`,
//! `reserved_bits`, `unknown_vni` and their combinations.

use vxlan_common::reason::RxDrop::{InvalidVxlanHeader, UnknownSource, UnknownVni};

use crate::{
    encap::{To, outer},
    prelude::*,
};

/// A frame, and its TTL or hop limit with its DSCP, which ARP has none of.
type Named = (String, Packet, Option<(u8, u8)>);

fn frames() -> Vec<Named> {
    let udp = || Udp::new(5000, 53);
    let mut all = Vec::new();
    for (ttl, dscp) in [(1, 0), (2, 46), (64, 8), (255, 63)] {
        // Some congestion mark, which goes outside whatever the settings.
        let tos = dscp << 2 | 1;
        let v4 = Ipv4::new(GCP_HOST, AWS_HOST).ttl(ttl).tos(tos);
        let v6 = Ipv6::new(GCP_HOST6, AWS_HOST6).hop_limit(ttl).traffic_class(tos);
        let frame = |ip: Layer| Packet::new().with(eth_out()).with(ip).with(udp());
        all.push((format!("IPv4, {ttl}, {dscp}"), frame(v4.into()), Some((ttl, dscp))));
        all.push((format!("IPv6, {ttl}, {dscp}"), frame(v6.into()), Some((ttl, dscp))));
    }
    let zero = Ipv4::new(GCP_HOST, AWS_HOST).ttl(0).tos(1);
    let zero = Packet::new().with(eth_out()).with(zero).with(udp());
    all.push(("IPv4, 0, 0".into(), zero, Some((0, 0))));
    let arp = Arp::request(GCP_MAC, GCP_HOST, AWS_HOST);
    let request = Packet::new().with(Eth::new(BROADCAST, GCP_MAC)).with(arp);
    all.push(("ARP".into(), request, None));
    all
}

/// Checks both outer families with these keys. `None`: inherited.
#[track_caller]
fn headers(keys: &str, ttl: Option<u8>, dscp: Option<u8>) {
    for family in Family::BOTH {
        let rows = frames().into_iter().map(|(name, frame, inner)| {
            let frame = frame.build();
            let (ttl, tos) = match inner {
                Some((theirs, mark)) => (ttl.unwrap_or(theirs), dscp.unwrap_or(mark) << 2 | 1),
                None => (64, 0),
            };
            let packet = outer(family, &frame, To::Aws, tos, ttl, port_of(&frame));
            Row::sent(name, &frame, &packet, AWS_43)
        });
        let rows: Vec<_> = rows.collect();
        check(&mut family.bench_with(keys), Program::Encap, &rows);
    }
}

#[test]
fn ttl_and_dscp_by_default() {
    headers("", Some(64), Some(0));
}

#[test]
fn a_fixed_ttl() {
    headers("ttl = 1", Some(1), Some(0));
    headers("ttl = 255", Some(255), Some(0));
}

#[test]
fn the_inner_ttl() {
    headers("ttl = \"inherit\"", None, Some(0));
}

#[test]
fn a_fixed_dscp() {
    headers("dscp = 46", Some(64), Some(46));
    headers("dscp = 63", Some(64), Some(63));
}

#[test]
fn the_inner_dscp() {
    headers("dscp = \"inherit\"", Some(64), None);
}

#[test]
fn both_inherited() {
    headers("ttl = \"inherit\"\ndscp = \"inherit\"", None, None);
}

/// RFC 7348 section 5: "MUST be ignored on receipt". The I flag is none of them.
#[test]
fn reserved_bits_that_are_ignored() {
    let mut bench = Family::V6.bench_with("reserved_bits = \"ignore\"");
    for outer in Family::BOTH {
        let (family, ip, at) = (outer.name(), outer.outer_ip(), outer.udp_at() + 8);
        let stranger = ip.clone().src(outer.stranger());
        let inner = ping();
        let good = wrap(ip.clone(), outer_udp(), vxlan(), &inner).build();
        let mut rows = Vec::new();
        for bit in (0..64).filter(|bit| !(32..56).contains(bit)) {
            let mut packet = good.clone();
            packet[at + bit / 8] ^= 0x80 >> (bit % 8);
            rows.push(if bit == 4 {
                Row::refused(format!("{family}, I flag clear"), &packet, InvalidVxlanHeader, AWS)
            } else {
                let name = format!("{family}, bit {bit} set");
                Row::accepted(name, &bench, &packet, AWS_43, &inner.build()).nat(SrcAddress, AWS_43)
            });
        }
        let all = Vxlan::new(VNI).flags(0xff).reserved([0xff; 3]).last(0xff);
        let all = wrap(ip.clone(), outer_udp(), all, &inner).build();
        let row = Row::accepted(format!("{family}, all"), &bench, &all, AWS_43, &inner.build());
        rows.push(row.nat(SrcAddress, AWS_43));
        let none = Vxlan::new(VNI).flags(0xf7).reserved([0xff; 3]).last(0xff);
        let none = wrap(ip.clone(), outer_udp(), none, &inner).build();
        rows.push(Row::refused(format!("{family}, all but I"), &none, InvalidVxlanHeader, AWS));
        let odd = |vni| Vxlan::new(vni).last(1);
        let unknown = wrap(ip, outer_udp(), odd(UNKNOWN_VNI), &inner).build();
        rows.push(Row::refused(format!("{family}, unknown VNI"), &unknown, UnknownVni, AWS));
        let stranger = wrap(stranger, outer_udp(), odd(VNI), &inner).build();
        let name = format!("{family}, stranger");
        rows.push(Row::refused(name, &stranger, UnknownSource, NETWORK));
        check(&mut bench, Program::Decap, &rows);
    }
}

/// VXLAN headers that are right, have a reserved bit set, or no I flag.
fn kinds(vni: u32) -> [(&'static str, Vxlan); 4] {
    [
        ("right", Vxlan::new(vni)),
        ("reserved bit", Vxlan::new(vni).flags(0x88)),
        ("last byte", Vxlan::new(vni).last(0x80)),
        ("no I flag", Vxlan::new(vni).flags(0)),
    ]
}

/// A header of another VXLAN user's may look as it likes. One of ours, with our VNI, may not.
#[test]
fn unknown_vnis_that_are_passed() {
    for reserved in ["refuse", "ignore"] {
        let keys = format!("unknown_vni = \"pass\"\nreserved_bits = \"{reserved}\"");
        let mut bench = Family::V6.bench_with(&keys);
        for outer in Family::BOTH {
            let (family, ip) = (outer.name(), outer.outer_ip());
            let stranger = ip.clone().src(outer.stranger());
            let mut rows = Vec::new();
            let inner = ping();
            for vni in [UNKNOWN_VNI, 0, 0xff_ffff, 0x2b_0000] {
                for (kind, header) in kinds(vni) {
                    let packet = wrap(ip.clone(), outer_udp(), header.clone(), &inner).build();
                    rows.push(Row::not_ours(format!("{family}, {vni:x}, {kind}"), &packet));
                    let packet = wrap(stranger.clone(), outer_udp(), header, &inner).build();
                    rows.push(Row::not_ours(
                        format!("{family}, {vni:x}, {kind}, stranger"),
                        &packet,
                    ));
                }
            }
            for (kind, header) in kinds(VNI) {
                let name = format!("{family}, ours, {kind}");
                let packet = wrap(ip.clone(), outer_udp(), header.clone(), &inner).build();
                let fine = kind == "right" || (reserved == "ignore" && kind != "no I flag");
                rows.push(if fine {
                    Row::accepted(name, &bench, &packet, AWS_43, &inner.build())
                        .nat(SrcAddress, AWS_43)
                } else {
                    Row::refused(name, &packet, InvalidVxlanHeader, AWS)
                });
                let name = format!("{family}, ours, {kind}, stranger");
                let packet = wrap(stranger.clone(), outer_udp(), header, &inner).build();
                rows.push(if fine {
                    Row::refused(name, &packet, UnknownSource, NETWORK)
                } else {
                    Row::refused(name, &packet, InvalidVxlanHeader, Who::Nobody)
                });
            }
            // No room for a header is no other user's either: there is no VNI to tell by.
            let short = Packet::new().with(outer_eth()).with(ip).with(outer_udp()).payload(&[8; 7]);
            let name = format!("{family}, header of 7 bytes");
            rows.push(Row::refused(name, &short.build(), InvalidVxlanHeader, AWS));
            check(&mut bench, Program::Decap, &rows);
        }
    }
}
