//! Packets that end early, at every byte, their headers still saying otherwise: never accepted;
//! before the port is known they are the host's, from there on refused and counted once.

use vxlan_common::reason::RxDrop::{BadChecksum, MalformedOuter, OuterFragment, UnknownSource};

use crate::{decap_accepted, prelude::*};

/// The kernel runs no program on less.
const SHORTEST: usize = 14;

fn rows(family: Family, name: &str, packet: &Packet, who: Who) -> Vec<Row> {
    let whole = packet.build();
    // Ethernet, IP and the whole UDP header.
    let port_is_known = family.udp_at() + 8;
    (SHORTEST..whole.len())
        .map(|len| {
            let row = format!("{name}, {len} of {} bytes", whole.len());
            if len < port_is_known {
                Row::not_ours(row, &whole[..len])
            } else {
                Row::refused(row, &whole[..len], MalformedOuter, who)
            }
        })
        .collect()
}

over_both_families!(every_frame_at_every_byte, a_strangers_packet_at_every_byte);

fn every_frame_at_every_byte(family: Family) {
    let mut bench = family.bench();
    for (name, frame) in decap_accepted::frames() {
        // The longest ones differ from shorter ones in payload alone.
        if frame.build().len() <= 150 {
            let packet = family.sent_by_aws(&frame);
            check(&mut bench, Program::Decap, &rows(family, name, &packet, AWS));
        }
    }
}

fn a_strangers_packet_at_every_byte(family: Family) {
    let ip = family.outer_ip().src(family.stranger());
    let packet = wrap(ip, outer_udp(), vxlan(), &ping());
    let rows = rows(family, "stranger", &packet, Who::Nobody);
    check(&mut family.bench(), Program::Decap, &rows);
}

/// No bit of the IPv4 header can turn without notice: what is not another host's or another
/// protocol's is refused. Where the address turns, it is a stranger's with a wrong checksum.
#[test]
fn every_bit_of_the_outer_ipv4_header() {
    let good = from_aws(&ping()).build();
    let mut bench = Bench::gcp();
    let mut rows = Vec::new();
    for bit in 0..160 {
        let at = 14 + bit / 8;
        let mut bad = good.clone();
        bad[at] ^= 0x80 >> (bit % 8);
        let name = format!("bit {bit} of the outer IPv4 header turned");
        rows.push(match bit {
            // A header that is shorter than any.
            5 | 7 => Row::refused(name, &bad, MalformedOuter, AWS),
            // Version; a header that is longer and finds another port.
            0..8 => Row::not_ours(name, &bad),
            // Type of service, identification, TTL and checksum; DF and the flag before it.
            8..16 | 32..50 | 64..72 | 80..96 => Row::refused(name, &bad, BadChecksum, AWS),
            // A length is shorter than the frame or longer.
            16..32 if u16::from_be_bytes([bad[16], bad[17]]) > 85 => {
                Row::refused(name, &bad, MalformedOuter, AWS)
            }
            16..32 => Row::refused(name, &bad, BadChecksum, AWS),
            50 => Row::refused(name, &bad, OuterFragment, AWS),
            // Fragment offset, protocol, destination.
            51..64 | 72..80 | 128..160 => Row::not_ours(name, &bad),
            _ => Row::refused(name, &bad, BadChecksum, Who::Nobody),
        });
    }
    check(&mut bench, Program::Decap, &rows);
    let zero = wrap(outer_ip().checksum(Checksum::Value(0xffff)), outer_udp(), vxlan(), &ping());
    let row = Row::refused("checksum ffff", &zero.build(), BadChecksum, AWS);
    check(&mut bench, Program::Decap, &[row]);
}

/// IPv6 has no header checksum: what is no length, protocol or address may turn.
#[test]
fn every_bit_of_the_outer_ipv6_header() {
    let inner = ping();
    let good = Family::V6.sent_by_aws(&inner).build();
    let mut bench = Family::V6.bench();
    let mut rows = Vec::new();
    for bit in 0..320 {
        let mut bad = good.clone();
        bad[14 + bit / 8] ^= 0x80 >> (bit % 8);
        let name = format!("bit {bit} of the outer IPv6 header turned");
        rows.push(match bit {
            // Version, next header, destination.
            0..4 | 48..56 | 192..320 => Row::not_ours(name, &bad),
            // Traffic class, flow label, hop limit. One bit makes no congestion mark.
            4..32 | 56..64 => {
                Row::accepted(name, &bench, &bad, AWS_43, &inner.build()).nat(SrcAddress, AWS_43)
            }
            32..48 => Row::refused(name, &bad, MalformedOuter, AWS),
            _ => Row::refused(name, &bad, UnknownSource, NETWORK),
        });
    }
    check(&mut bench, Program::Decap, &rows);
}
