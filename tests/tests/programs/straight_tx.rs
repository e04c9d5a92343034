//! The short way through `encap`, which a frame takes whose destination was sent to before: what it
//! sends is what the first frame was sent as, and a change of the path or of this host's address
//! counts from the next frame on.

use vxlan_common::{
    reason::TxDrop::{EncapFailed, MtuExceeded, NoNeighbour},
    table::PeerEntry,
};

use crate::{
    daemon::bytes_of,
    encap::{To, frames_over, outer, sent, sent_over},
    prelude::*,
};

fn udp() -> Packet {
    Packet::new().with(eth_out()).with(Ipv4::new(GCP_HOST, AWS_HOST)).with(Udp::new(5000, 53))
}

#[test]
fn every_frame_leaves_as_before() {
    for family in Family::BOTH {
        let rows: Vec<_> = (0..3)
            .flat_map(|time| {
                let all = frames_over(family).into_iter();
                all.map(move |(name, frame)| {
                    sent_over(family, format!("{name}, {time}"), &frame, To::Aws)
                })
            })
            .collect();
        check(&mut family.bench_with(""), Program::Encap, &rows);
    }
}

#[test]
fn what_the_short_way_cannot_send_has_its_reason() {
    let tcp = Packet::new().with(eth_out()).with(Ipv4::new(GCP_HOST, AWS_HOST));
    let tcp = tcp.with(Tcp::new(40_000, 443)).payload(&[1; 2_500]);
    let segments = Context { gso_size: 1_000, gso_segs: 3, ..Context::DEFAULT };
    let rows = [
        sent("first", &udp(), To::Aws),
        sent("short", &udp(), To::Aws),
        // The kernel makes no room in a packet whose kind of segments it does not know.
        Row::not_sent("segments of no kind", &tcp.build(), EncapFailed, AWS_43)
            .context(segments)
            .deltas(Deltas::tx_drop(EncapFailed, AWS_43, 3)),
        sent("short again", &udp(), To::Aws),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

/// Changes the path to `aws`.
fn change(bench: &mut Bench, change: impl FnOnce(&mut PeerEntry)) {
    let index = bench.peer("aws");
    let mut entry = bench.plan.peers[index as usize];
    change(&mut entry);
    bench.plane.set_peer(index, &entry).expect("takes it");
}

#[test]
fn a_change_of_the_path_counts_from_the_next_frame_on() {
    let mut bench = Bench::gcp();
    let short = [sent("first", &udp(), To::Aws), sent("short", &udp(), To::Aws)];
    check(&mut bench, Program::Encap, &short);

    let elsewhere = Ipv4Addr::new(198, 51, 100, 21);
    change(&mut bench, |peer| {
        peer.endpoint = bytes_of(elsewhere.into());
        peer.port = 8_472_u16.to_be_bytes();
    });
    let frame = udp().build();
    let packet = Packet::new()
        .with(Eth::new([0; 6], [0; 6]))
        .with(Ipv4::new(GCP_PRIVATE, elsewhere).id(0).fragment(flags::DF))
        .with(Udp::vxlan(port_of(&frame)).dst_port(8_472))
        .with(Vxlan::new(VNI))
        .payload(&frame)
        .build();
    let moved = ["moved", "short"].map(|name| Row::sent(name, &frame, &packet, AWS_43));
    check(&mut bench, Program::Encap, &moved);

    change(&mut bench, |peer| peer.mtu = 60);
    let outcome = bench.run(Program::Encap, Context::DEFAULT, &frame);
    let dropped = [Deltas::tx_drop(MtuExceeded, AWS_43, 1), Deltas::too_big(AWS_43, 1)];
    assert!(dropped.contains(&outcome.deltas), "{:?}", outcome.deltas);

    change(&mut bench, |peer| peer.ifindex = 0);
    let lost = [Row::not_sent("no path", &frame, NoNeighbour, AWS_43)];
    check(&mut bench, Program::Encap, &lost);

    change(&mut bench, |_| {});
    check(&mut bench, Program::Encap, &short);
}

#[test]
fn a_change_of_our_address_counts_from_the_next_frame_on() {
    let mut bench = Bench::gcp();
    let short = [sent("first", &udp(), To::Aws), sent("short", &udp(), To::Aws)];
    check(&mut bench, Program::Encap, &short);

    let mut settings = bench.plan.settings;
    settings.address = [10, 0, 0, 3];
    bench.plane.set_addresses(&settings).expect("takes it");
    let frame = udp().build();
    let mut packet = outer(Family::V4, &frame, To::Aws, 0, 64, port_of(&frame));
    // The last byte of the source, and what it is in the checksum.
    packet[29] += 1;
    let sum = u16::from_be_bytes([packet[24], packet[25]]) - 1;
    packet[24..26].copy_from_slice(&sum.to_be_bytes());
    let rows = ["moved", "short"].map(|name| Row::sent(name, &frame, &packet, AWS_43));
    check(&mut bench, Program::Encap, &rows);
}
