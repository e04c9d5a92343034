//! `deliver` accepts frames that `decap` tagged and no others. `BPF_PROG_TEST_RUN` cannot give a TC
//! program XDP metadata, so acceptance is shown with the secret MAC as the tag; that metadata works
//! is shown end to end.

use vxlan_common::reason::RxDrop::RedirectFailed;

use crate::{
    bench::{AWS_SECRET_MAC, OFFICE_SECRET_MAC, SECRET},
    decap_accepted,
    prelude::*,
};

fn with_mac_tag() -> Bench {
    Bench::new(&gcp(PUBLIC_MAC_TAG), GCP)
}

/// The frame with another destination MAC.
fn to(mac: Mac, frame: &[u8]) -> Vec<u8> {
    [&mac[..], &frame[6..]].concat()
}

/// What the last two bits of a secret MAC say of the one it stands for.
fn secret(frame: &[u8]) -> Mac {
    let mut mac = AWS_SECRET_MAC;
    mac[5] |= match frame[..6] {
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => 1,
        [first, ..] if first % 2 == 1 => 2,
        _ => 0,
    };
    mac
}

#[test]
fn decap_then_deliver_gives_back_every_kind_of_frame() {
    let mut bench = with_mac_tag();
    for (name, frame) in decap_accepted::frames() {
        let (packet, frame) = (from_aws(&frame).build(), frame.build());
        let tagged = to(secret(&frame), &frame);
        let row = Row::accepted_with_mac(name, &packet, AWS_43, &tagged);
        let row = row.nat(SrcAddress, AWS_43);
        check(&mut bench, Program::Decap, &[row]);
        let row = [Row::delivered(name, &tagged, &frame, AWS_43)];
        check(&mut bench, Program::Deliver, &row);
        // Also while `decap` comes or goes.
        check(&mut bench, Program::DecapTc, &row);
    }
}

#[test]
fn a_secret_names_its_member() {
    let mut bench = with_mac_tag();
    let frame = ping().build();
    let rows = [
        Row::delivered("aws' secret", &to(AWS_SECRET_MAC, &frame), &frame, AWS_43),
        Row::delivered("office's secret", &to(OFFICE_SECRET_MAC, &frame), &frame, OFFICE_43),
    ];
    check(&mut bench, Program::Deliver, &rows);
}

/// The wire of the underlay brings frames too, and whoever is on it knows every MAC but the
/// secrets.
#[test]
fn what_the_wire_may_bring_stays_outside() {
    let inner = ping().build();
    let turned = |bit: usize| {
        let mut mac = AWS_SECRET_MAC;
        mac[bit / 8] ^= 0x80 >> (bit % 8);
        mac
    };
    let other = Packet::new().with(eth()).with(Ipv4::new(STRANGER, GCP_PRIVATE));
    let mut forged = [&SECRET[..], &0_u32.to_ne_bytes(), &5_u32.to_ne_bytes()].concat();
    forged.extend(&inner);
    let mut rows = vec![
        Row::not_delivered("a frame to the overlay's MAC", &inner),
        Row::not_delivered("a frame to the other overlay's MAC", &to(OTHER_MAC, &inner)),
        Row::not_delivered("broadcast", &to(BROADCAST, &inner)),
        Row::not_delivered("multicast", &to(SOLICITED_MAC, &inner)),
        Row::not_delivered("a frame to MAC 0", &to([0; 6], &inner)),
        Row::not_delivered("somebody's ssh", &other.with(Tcp::new(1, 22)).build()),
        Row::not_delivered("a VXLAN packet", &from_aws(&ping()).build()),
        Row::not_delivered("an IPv4 header cut off by its end", &inner[..34]),
        Row::not_delivered("metadata in the bytes of the frame", &forged),
    ];
    for (mode, mut bench) in [("metadata", Bench::gcp()), ("MAC", with_mac_tag())] {
        println!("{mode}");
        check(&mut bench, Program::Deliver, &rows);
    }
    // The MAC that would be the secret in the other mode.
    let row = Row::not_delivered("a secret MAC, not in use", &to(AWS_SECRET_MAC, &inner));
    check(&mut Bench::gcp(), Program::Deliver, &[row]);

    // Of the 48 bits two say what the MAC was.
    rows = (0..46)
        .map(|bit| {
            let name = format!("a secret with bit {bit} turned");
            Row::not_delivered(name, &to(turned(bit), &inner))
        })
        .collect();
    let mut fourth = AWS_SECRET_MAC;
    fourth[5] |= 3;
    rows.push(Row::not_delivered("a secret that stands for nothing", &to(fourth, &inner)));
    check(&mut with_mac_tag(), Program::Deliver, &rows);
}

/// Frames that GRO merged count as the packets that arrived.
#[test]
fn merged_frames_count_their_segments() {
    let tcp = |options: usize, payload: usize| {
        let tcp = Tcp::new(1, 2).options(vec![1; options]);
        Packet::new().with(eth()).with(ipv4()).with(tcp).payload(&vec![7; payload]).build()
    };
    let udp = Packet::new().with(eth()).with(ipv6()).with(Udp::new(1, 2)).payload(&[7; 250]);
    let merged = |name: &str, frame: &[u8], gso_size, gso_segs, packets: u64, headers: usize| {
        let bytes = frame.len() + (packets as usize - 1) * headers;
        Row::delivered(name, &to(AWS_SECRET_MAC, frame), frame, AWS_43)
            .context(Context { gso_size, gso_segs, ..Context::DEFAULT })
            .deltas(Deltas::received(AWS_43, packets, bytes))
    };
    let rows = [
        merged("TCP, 3 segments of 1000", &tcp(0, 3000), 1000, 3, 3, 54),
        merged(
            "TCP with 12 bytes of options, the last segment short",
            &tcp(12, 2100),
            1000,
            3,
            3,
            66,
        ),
        merged("TCP whose segments the kernel has not counted", &tcp(0, 2001), 1000, 0, 3, 54),
        merged("UDP over IPv6, 5 datagrams", &udp.build(), 50, 5, 5, 62),
        merged("TCP, 1 segment", &tcp(0, 1000), 1000, 1, 1, 54),
    ];
    check(&mut with_mac_tag(), Program::Deliver, &rows);
    check(&mut with_mac_tag(), Program::DecapTc, &rows);
}

#[test]
fn an_overlay_interface_that_is_not_there_is_counted() {
    let host = Host { overlays: &[(0, GCP_MAC), (0, OTHER_MAC)], ..GCP };
    let mut bench = Bench::new(&gcp(PUBLIC_MAC_TAG), host);
    let frame = to(AWS_SECRET_MAC, &ping().build());
    let row = Row::not_delivered("network without interface", &frame)
        .verdict(TC_ACT_SHOT)
        .deltas(Deltas::rx_drop(RedirectFailed, AWS_43));
    check(&mut bench, Program::Deliver, &[row]);
}

/// The kernel would lose it without a word.
#[test]
fn an_overlay_interface_that_has_gone_is_counted() {
    let host = Host { overlays: &[(54_321, GCP_MAC), (54_322, OTHER_MAC)], ..GCP };
    let mut bench = Bench::new(&gcp(PUBLIC_MAC_TAG), host);
    let unicast = ping().build().to_vec();
    let broadcast = to(BROADCAST, &unicast);
    for frame in [unicast, broadcast] {
        let tagged = to(secret(&frame), &frame);
        let outcome = bench.run(Program::Deliver, Context::DEFAULT, &tagged);
        assert_eq!(outcome.verdict, TC_ACT_SHOT);
        assert_eq!(outcome.deltas, Deltas::rx_drop(RedirectFailed, AWS_43));
    }
    let outcome = bench.run(Program::DecapTc, Context::DEFAULT, &from_aws(&ping()).build());
    assert_eq!(outcome.verdict, TC_ACT_SHOT);
    let nat = Deltas::accepted(AWS_43).nat(SrcAddress, AWS_43);
    assert_eq!(outcome.deltas, Deltas::rx_drop(RedirectFailed, AWS_43).with(&nat));
}

/// Each network's frames come out with that network's own MAC.
#[test]
fn networks_keep_apart() {
    let inner = Packet::new()
        .with(Eth::new(OTHER_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_OTHER_HOST, GCP_OTHER_HOST))
        .with(Udp::new(1, 2));
    let packet = wrap(outer_ip().src(OFFICE), outer_udp(), Vxlan::new(OTHER_VNI), &inner).build();
    let mut bench = with_mac_tag();
    let outcome = bench.run(Program::Decap, Context::DEFAULT, &packet);
    assert_ne!(outcome.bytes[..6], OFFICE_SECRET_MAC, "the same peer in another network");
    let inner = inner.build();
    let who = Who::Member("office", OTHER_VNI);
    let row = Row::delivered("office in the other network", &outcome.bytes, &inner, who);
    check(&mut bench, Program::Deliver, &[row.verdict(TC_ACT_REDIRECT)]);
}
