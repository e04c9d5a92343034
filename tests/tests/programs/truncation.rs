//! Packets that end early, at every byte, their headers still saying otherwise: never accepted; before
//! the port is known they are the host's, from there on refused and counted once.

use vxlan_common::reason::RxDrop::{BadChecksum, MalformedOuter};
use vxlan_tests::packet::{Checksum, Packet};

use crate::{
    bench::{Bench, Program},
    decap_accepted,
    moves::Who,
    rows::{Row, check},
    world::*,
};

/// Ethernet, IPv4 and the whole UDP header.
const PORT_IS_KNOWN: usize = 14 + 20 + 8;
/// The kernel runs no program on less.
const SHORTEST: usize = 14;

fn rows(name: &str, packet: &Packet, who: Who) -> Vec<Row> {
    let whole = packet.build();
    (SHORTEST..whole.len())
        .map(|len| {
            let row = format!("{name}, {len} of {} bytes", whole.len());
            if len < PORT_IS_KNOWN {
                Row::not_ours(row, &whole[..len])
            } else {
                Row::refused(row, &whole[..len], MalformedOuter, who)
            }
        })
        .collect()
}

#[test]
fn every_frame_at_every_byte() {
    let mut bench = Bench::gcp();
    for (name, frame) in decap_accepted::frames() {
        // The longest ones differ from shorter ones in payload alone.
        if frame.build().len() <= 150 {
            check(&mut bench, Program::Decap, &rows(name, &from_aws(&frame), Who::Peer("aws")));
        }
    }
}

#[test]
fn a_strangers_packet_at_every_byte() {
    let packet = wrap(outer_ip().src(STRANGER), outer_udp(), vxlan(), &ping());
    check(&mut Bench::gcp(), Program::Decap, &rows("stranger", &packet, Who::Nobody));
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
        let aws = Who::Peer("aws");
        rows.push(match bit {
            // A header that is shorter than any.
            5 | 7 => Row::refused(name, &bad, MalformedOuter, aws),
            // Version; a header that is longer and finds another port.
            0..8 => Row::not_ours(name, &bad),
            // Type of service, identification, TTL and checksum; DF and the flag before it.
            8..16 | 32..50 | 64..72 | 80..96 => Row::refused(name, &bad, BadChecksum, aws),
            // A length is shorter than the frame or longer.
            16..32 if u16::from_be_bytes([bad[16], bad[17]]) > 85 => {
                Row::refused(name, &bad, MalformedOuter, aws)
            }
            16..32 => Row::refused(name, &bad, BadChecksum, aws),
            50 => Row::refused(name, &bad, vxlan_common::reason::RxDrop::OuterFragment, aws),
            // Fragment offset, protocol, destination.
            51..64 | 72..80 | 128..160 => Row::not_ours(name, &bad),
            _ => Row::refused(name, &bad, BadChecksum, Who::Nobody),
        });
    }
    check(&mut bench, Program::Decap, &rows);
    let zero = wrap(outer_ip().checksum(Checksum::Value(0xffff)), outer_udp(), vxlan(), &ping());
    let row = Row::refused("checksum ffff", &zero.build(), BadChecksum, Who::Peer("aws"));
    check(&mut bench, Program::Decap, &[row]);
}
