//! Packets that are no valid probe: refused by the rules in front, denied, or treated like any
//! other packet where there are no keys.

use vxlan_common::reason::RxDrop::{
    self, BadChecksum, InvalidVxlanHeader, IpOptions, MalformedOuter, OuterFragment, ProbeDenied,
    UnknownVni,
};

use crate::{
    daemon,
    prelude::*,
    probes::{PROBE_VNI, SHORTEST, bench, event, frame, handed, probe, text},
};

/// None of the rows hands out a probe.
#[track_caller]
fn none_handed(bench: &mut Bench, rows: &[Row]) {
    bench.refill_probes();
    check(bench, Program::Decap, rows);
    assert_eq!(bench.probes(), []);
}

#[test]
fn what_is_too_short() {
    let mut bench = bench();
    let mut rows = Vec::new();
    for outer in Family::BOTH {
        let (family, ip) = (outer.name(), outer.outer_ip());
        for len in [0, 1, 14, 18, 25, 26, 100, SHORTEST - 2, SHORTEST - 1] {
            let packet = probe(ip.clone(), outer_udp(), &frame(daemon::tag("aws"), len));
            let name = format!("{family}, {len}");
            let who = Who::Peer("aws");
            rows.push(Row::refused(&name, &packet.build(), ProbeDenied, who));
            rows.push(Row::refused(name + ", padded", &padded(&packet, 300), ProbeDenied, who));
        }
    }
    none_handed(&mut bench, &rows);
}

#[test]
fn tags_that_nobody_has() {
    let mut bench = bench();
    let tag = daemon::tag("aws");
    let with = |ip: Layer, tag| probe(ip, outer_udp(), &frame(tag, SHORTEST)).build();
    let mut rows = Vec::new();
    for bit in 0..64 {
        let mut tag = tag;
        tag[bit / 8] ^= 1 << (bit % 8);
        let packet = with(outer_ip().into(), tag);
        rows.push(Row::refused(format!("bit {bit}"), &packet, ProbeDenied, Who::Peer("aws")));
    }
    for (name, ip, who) in [
        ("office", Layer::from(outer_ip6().src(OFFICE6)), Who::Peer("office")),
        ("stranger", outer_ip().src(STRANGER).into(), Who::Nobody),
        ("stranger over IPv6", outer_ip6().src(STRANGER6).into(), Who::Nobody),
    ] {
        rows.push(Row::refused(
            format!("{name}, no tag"),
            &with(ip.clone(), [0; 8]),
            ProbeDenied,
            who,
        ));
        // A peer without a key has none.
        rows.push(Row::refused(
            format!("{name}, of lone"),
            &with(ip, daemon::tag("lone")),
            ProbeDenied,
            who,
        ));
    }
    none_handed(&mut bench, &rows);
}

/// The rules in front hold for probes too; those behind do not.
#[test]
fn rules_in_front() {
    let mut bench = bench();
    let inner = frame(daemon::tag("aws"), SHORTEST);
    let peer = Who::Peer("aws");
    let v4 = |ip| probe(ip, outer_udp(), &inner).build().to_vec();
    let header = |vxlan| {
        wrap(outer_ip(), outer_udp(), vxlan, &Packet::new().payload(&inner)).build().to_vec()
    };
    let refused =
        |name: &str, packet: &[u8], reason: RxDrop| Row::refused(name, packet, reason, peer);
    let own = || Vxlan::new(PROBE_VNI);
    let not_ours = [
        ("to somebody else", v4(outer_ip().dst(STRANGER))),
        ("later fragment", v4(outer_ip().fragment(1))),
        ("another port", probe(outer_ip(), outer_udp().dst_port(4_790), &inner).build().to_vec()),
    ];
    let mut rows: Vec<_> =
        not_ours.iter().map(|(name, packet)| Row::not_ours(*name, packet)).collect();
    rows.extend([
        refused("options", &v4(outer_ip().options(vec![1; 4])), IpOptions),
        refused("first fragment", &v4(outer_ip().fragment(flags::MF)), OuterFragment),
        refused("total length", &v4(outer_ip().total_length(Some(999))), MalformedOuter),
        refused("header checksum", &v4(outer_ip().checksum(Checksum::Wrong)), BadChecksum),
        refused(
            "UDP length",
            &probe(outer_ip(), outer_udp().length(Some(99)), &inner).build(),
            MalformedOuter,
        ),
        refused("no I flag", &header(own().flags(0)), InvalidVxlanHeader),
        refused("another flag", &header(own().flags(0x88)), InvalidVxlanHeader),
        refused("reserved bits", &header(own().reserved([0, 0, 1])), InvalidVxlanHeader),
        refused("last byte", &header(own().last(1)), InvalidVxlanHeader),
    ]);
    none_handed(&mut bench, &rows);

    // Reserved bits that are ignored are handed out as they are.
    let text = text().replacen("[underlay]", "[underlay]\nreserved_bits = \"ignore\"", 1);
    let mut bench = Bench::new(&text, GCP6);
    let packet = header(own().flags(0x88).last(1));
    let expected = event(&bench, &packet);
    handed(&mut bench, "reserved bits", &packet, "aws", &expected);
}

#[test]
fn without_keys_its_vni_is_like_any_other() {
    let packet = probe(outer_ip(), outer_udp(), &frame(daemon::tag("aws"), SHORTEST)).build();
    let mut drops = Bench::new(&gcp(PUBLIC), GCP);
    let row = Row::refused("dropped", &packet, UnknownVni, Who::Peer("aws"));
    none_handed(&mut drops, &[row]);
    drop(drops);
    let mut passes = Bench::new(&gcp(&format!("{PUBLIC}\nunknown_vni = \"pass\"")), GCP);
    none_handed(&mut passes, &[Row::not_ours("passed", &packet)]);
    drop(passes);
    // With keys it is nobody else's, whatever becomes of unknown ones.
    let text = text().replacen("[underlay]", "[underlay]\nunknown_vni = \"pass\"", 1);
    let mut bench = Bench::new(&text, GCP6);
    let expected = event(&bench, &packet);
    handed(&mut bench, "a probe", &packet, "aws", &expected);
    let denied = probe(outer_ip(), outer_udp(), &frame([0; 8], SHORTEST)).build();
    none_handed(&mut bench, &[Row::refused("denied", &denied, ProbeDenied, Who::Peer("aws"))]);
}

#[test]
fn another_vni() {
    let text = format!("{}\n[probe]\nvni = 1193047", text());
    let mut bench = Bench::new(&text, GCP6);
    let inner = Packet::new().payload(&frame(daemon::tag("aws"), SHORTEST));
    let with = |vni| wrap(outer_ip(), outer_udp(), Vxlan::new(vni), &inner).build();
    let packet = with(0x12_3457);
    let expected = event(&bench, &packet);
    handed(&mut bench, "the one", &packet, "aws", &expected);
    let peer = Who::Peer("aws");
    let rows = [
        Row::refused("the usual one", &with(PROBE_VNI), UnknownVni, peer),
        Row::refused("one less", &with(0x12_3458), UnknownVni, peer),
        Row::refused("reversed", &with(0x57_3412), UnknownVni, peer),
    ];
    none_handed(&mut bench, &rows);
}
