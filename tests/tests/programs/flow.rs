//! The UDP source port and the flow label of a frame, computed a second time from its bytes: the
//! flow hash mod 16384, added to 49152. Shares no code with the product, as a peer on another
//! version must come to the same number.

use vxlan_tests::packet::{Arp, Icmp, Ipv4, Ipv6, Packet, Tcp};

use crate::world::*;

/// Fibonacci hashing: 2^64 over the golden ratio, odd.
const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;

fn mix(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word) * MULTIPLIER % (1 << 64);
    let product = product as u64;
    product ^ (product / (1 << 32))
}

/// The port that a frame leaves from where `source_port = "flow"`.
pub(crate) fn port_of(frame: &[u8]) -> u16 {
    49_152 + (hash_of(frame) % 16_384) as u16
}

/// 32 bits, the low 20 of which are the flow label over IPv6.
pub(crate) fn hash_of(frame: &[u8]) -> u32 {
    let (source, destination, ports, protocol) = flow(frame);
    let mut state = mix(u64::from(protocol), u64::from(ports));
    for (s, d) in source.chunks(4).zip(destination.chunks(4)) {
        state = mix(state, u64::from_be_bytes([s, d].concat().try_into().expect("4 + 4 bytes")));
    }
    state as u32
}

/// Source, destination, ports and protocol.
fn flow(frame: &[u8]) -> ([u8; 16], [u8; 16], u32, u8) {
    let pad = |bytes: &[u8]| {
        let mut padded = [0; 16];
        padded[..bytes.len()].copy_from_slice(bytes);
        padded
    };
    let u32_at = |at| frame.get(at..at + 4).map(|b: &[u8]| [b[0], b[1], b[2], b[3]]);
    let ports = |protocol, at| match protocol {
        6 | 17 => u32_at(at).map_or(0, u32::from_be_bytes),
        _ => 0,
    };
    match [frame[12], frame[13]] {
        [0x08, 0x00] => {
            let transport = 14 + usize::from(frame[14] % 16) * 4;
            let fragment = u16::from_be_bytes([frame[20], frame[21]]) & !0xc000 != 0;
            let ports = if fragment { 0 } else { ports(frame[23], transport) };
            (pad(&frame[26..30]), pad(&frame[30..34]), ports, frame[23])
        }
        [0x86, 0xdd] => (pad(&frame[22..38]), pad(&frame[38..54]), ports(frame[20], 54), frame[20]),
        _ => (pad(&frame[6..12]), pad(&frame[..6]), 0, 0),
    }
}

#[test]
fn known_ports() {
    // The number that `vxlan-common` promises never to change.
    let tcp = Packet::new()
        .with(eth_out())
        .with(Ipv4::new([192, 168, 43, 1], [192, 168, 44, 1]))
        .with(Tcp::new(40_000, 443));
    assert_eq!(port_of(&tcp.build()), 51_586);
    let hash = |frame: Packet| port_of(&frame.build());
    let arp = Packet::new().with(eth_out()).with(Arp::request(GCP_MAC, GCP_HOST, AWS_HOST));
    let solicitation = Packet::new()
        .with(eth_out())
        .with(Ipv6::new(GCP_HOST6, SOLICITED).hop_limit(255))
        .with(Icmp::neighbour_solicitation(AWS_HOST6, GCP_MAC));
    let all = [hash(tcp), hash(arp), hash(solicitation), hash(ping_out())];
    assert!(all.iter().all(|port| *port >= 49_152), "{all:?}");
    assert!((1..4).all(|n| !all[..n].contains(&all[n])), "flows that differ by chance: {all:?}");
}
