//! IPv6 extension headers outside: `decap` follows up to six of them to see whether the packet is
//! ours, and then refuses it.

use vxlan_common::reason::RxDrop::{self, IpOptions, OuterFragment};

use crate::prelude::*;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const OPTIONS: u8 = 60;
const UDP: u8 = 17;

/// An extension header: its type, and what follows its first byte.
#[derive(Clone)]
struct Extension(u8, Vec<u8>);

/// Of eight bytes, all of them padding.
fn short(kind: u8) -> Extension {
    Extension(kind, vec![0, 1, 4, 0, 0, 0, 0])
}

/// Of `8 * (1 + more)` bytes.
fn long(kind: u8, more: u8) -> Extension {
    Extension(kind, [&[more][..], &vec![0; 6 + 8 * usize::from(more)]].concat())
}

/// Offset in units of eight bytes, and whether more follow.
fn fragment(offset: u16, more: bool) -> Extension {
    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
    Extension(FRAGMENT, vec![0, high, low, 0, 0, 0, 9])
}

/// A packet whose headers are those, and then `last` in front of what is UDP to `port`.
fn chain(ip: Ipv6, extensions: &[Extension], last: u8, port: u16) -> Packet {
    let types = extensions.iter().map(|extension| extension.0).chain([last]);
    let bytes: Vec<u8> = extensions
        .iter()
        .zip(types.clone().skip(1))
        .flat_map(|(extension, next)| [&[next][..], &extension.1].concat())
        .collect();
    let first = types.clone().next().expect("at least the last");
    let datagram = Packet::new()
        .with(outer_udp().dst_port(port).checksum(Checksum::Zero))
        .with(vxlan())
        .carrying(ping());
    Packet::new()
        .with(outer_eth())
        .with(ip.next_header(Some(first)))
        .payload(&[&bytes[..], &datagram.build()].concat())
}

fn ours(extensions: &[Extension]) -> Packet {
    chain(outer_ip6(), extensions, UDP, VXLAN_PORT)
}

fn refused(name: impl Into<String>, extensions: &[Extension], reason: RxDrop) -> Row {
    Row::refused(name, &ours(extensions).build(), reason, AWS)
}

fn passes(name: impl Into<String>, packet: &Packet) -> Row {
    Row::not_ours(name, &packet.build())
}

#[test]
fn one_header() {
    let mut rows = Vec::new();
    for (name, kind) in [("hop-by-hop", HOP_BY_HOP), ("routing", ROUTING), ("options", OPTIONS)] {
        let one = [short(kind)];
        rows.push(refused(name, &one, IpOptions));
        rows.push(refused(format!("{name} of 16 bytes"), &[long(kind, 1)], IpOptions));
        rows.push(refused(format!("{name} of 264 bytes"), &[long(kind, 32)], IpOptions));
        rows.push(refused(format!("{name} of 2048 bytes"), &[long(kind, 255)], IpOptions));
        let stranger = chain(outer_ip6().src(STRANGER6), &one, UDP, VXLAN_PORT);
        let row = format!("{name} of a stranger");
        rows.push(Row::refused(row, &stranger.build(), IpOptions, Who::Nobody));
        let private = Ipv6::new(AWS_PRIVATE6, GCP_PRIVATE6);
        let private = chain(private, &one, UDP, VXLAN_PORT);
        rows.push(Row::refused(format!("{name}, private"), &private.build(), IpOptions, AWS));
        let elsewhere = outer_ip6().dst(GCP_HOST6);
        rows.push(passes(format!("{name}, to another"), &chain(elsewhere, &one, UDP, VXLAN_PORT)));
        rows.push(passes(format!("{name}, port 4790"), &chain(outer_ip6(), &one, UDP, 4790)));
        for next in [6, 41, 50, 51, 58, 59, 135, 139, 140] {
            let other = chain(outer_ip6(), &one, next, VXLAN_PORT);
            rows.push(passes(format!("{name}, then next header {next}"), &other));
        }
        // Its length says that UDP is behind the frame.
        let past = Extension(kind, vec![200, 1, 4, 0, 0, 0, 0]);
        rows.push(passes(format!("{name} that reaches past the frame"), &ours(&[past])));
    }
    check(&mut Family::V6.bench(), Program::Decap, &rows);
}

#[test]
fn fragments() {
    let stranger = chain(outer_ip6().src(STRANGER6), &[fragment(0, true)], UDP, VXLAN_PORT);
    let rows = [
        refused("first fragment", &[fragment(0, true)], OuterFragment),
        refused("atomic fragment", &[fragment(0, false)], OuterFragment),
        passes("last fragment", &ours(&[fragment(1, false)])),
        passes("middle fragment", &ours(&[fragment(185, true)])),
        passes("fragment at the highest offset", &ours(&[fragment(0x1fff, false)])),
        passes("first fragment to port 4790", &chain(outer_ip6(), &[fragment(0, true)], UDP, 4790)),
        passes("first fragment of TCP", &chain(outer_ip6(), &[fragment(0, true)], 6, VXLAN_PORT)),
        Row::refused("first fragment of a stranger", &stranger.build(), OuterFragment, Who::Nobody),
        refused("options, fragment", &[short(OPTIONS), fragment(0, true)], OuterFragment),
        refused("fragment, options", &[fragment(0, true), short(OPTIONS)], OuterFragment),
        refused("fragment in a fragment", &[fragment(0, true), fragment(0, false)], OuterFragment),
        passes("hop-by-hop, last fragment", &ours(&[short(HOP_BY_HOP), fragment(7, false)])),
        passes("first fragment, last fragment", &ours(&[fragment(0, true), fragment(7, false)])),
        // RFC 8200 section 4.5: the two bits between offset and flag are reserved.
        refused(
            "reserved bits set",
            &[Extension(FRAGMENT, vec![0xff, 0, 6, 0, 0, 0, 9])],
            OuterFragment,
        ),
    ];
    check(&mut Family::V6.bench(), Program::Decap, &rows);
}

#[test]
fn chains_of_up_to_six_and_beyond() {
    let kinds = [HOP_BY_HOP, OPTIONS, ROUTING, OPTIONS, ROUTING, HOP_BY_HOP, OPTIONS, ROUTING];
    let chain_of = |n: usize| kinds[..n].iter().map(|kind| short(*kind)).collect::<Vec<_>>();
    let mut rows = Vec::new();
    for n in 2..=6 {
        let all = chain_of(n);
        rows.push(refused(format!("{n} headers"), &all, IpOptions));
        rows.push(passes(format!("{n}, port 4790"), &chain(outer_ip6(), &all, UDP, 4790)));
        rows.push(passes(format!("{n}, TCP"), &chain(outer_ip6(), &all, 6, VXLAN_PORT)));
        for at in 0..n {
            let mut with_fragment = all.clone();
            with_fragment[at] = fragment(0, true);
            let name = format!("{n} headers, number {at} a first fragment");
            rows.push(refused(name, &with_fragment, OuterFragment));
            with_fragment[at] = fragment(9, true);
            let name = format!("{n} headers, number {at} a later fragment");
            rows.push(passes(name, &ours(&with_fragment)));
        }
    }
    // Nobody looks behind the sixth, whatever comes there.
    for n in [7, 8] {
        let all = chain_of(n);
        rows.push(refused(format!("{n} headers"), &all, IpOptions));
        for (what, last, port) in [("port 4790", UDP, 4790), ("TCP", 6, VXLAN_PORT)] {
            let packet = chain(outer_ip6(), &all, last, port).build();
            rows.push(Row::refused(format!("{n} headers, {what}"), &packet, IpOptions, AWS));
        }
    }
    let mut seventh = chain_of(7);
    seventh[6] = fragment(0, true);
    rows.push(refused("the seventh a first fragment", &seventh, IpOptions));
    seventh[6] = fragment(5, true);
    rows.push(refused("the seventh a later fragment", &seventh, IpOptions));
    let stranger = chain(outer_ip6().src(STRANGER6), &chain_of(7), UDP, 4790);
    rows.push(Row::refused("7 headers of a stranger", &stranger.build(), IpOptions, Who::Nobody));
    let elsewhere = chain(outer_ip6().dst(GCP_HOST6), &chain_of(7), UDP, VXLAN_PORT);
    rows.push(passes("7 headers to another host", &elsewhere));
    check(&mut Family::V6.bench(), Program::Decap, &rows);
}

/// Cut off before the UDP header is whole, it is the host's; behind that it is refused at any
/// length.
#[test]
fn truncated_at_every_byte() {
    let mut rows = Vec::new();
    for (name, extensions, reason) in [
        ("options", vec![short(OPTIONS)], IpOptions),
        ("fragment", vec![fragment(0, true)], OuterFragment),
        ("routing of 24 bytes, options", vec![long(ROUTING, 2), short(OPTIONS)], IpOptions),
    ] {
        let headers: usize = extensions.iter().map(|extension| 1 + extension.1.len()).sum();
        let whole = ours(&extensions).build();
        for len in 14..whole.len() {
            let row = format!("{name}, {len} of {} bytes", whole.len());
            rows.push(if len < 14 + 40 + headers + 8 {
                Row::not_ours(row, &whole[..len])
            } else {
                Row::refused(row, &whole[..len], reason, AWS)
            });
        }
    }
    check(&mut Family::V6.bench(), Program::Decap, &rows);
}
