//! Probes: what is handed to the daemon, byte for byte, and how many come through.

use std::{
    thread,
    time::{Duration, Instant},
};

use vxlan_common::reason::RxDrop::{ProbeDenied, RateLimited};

use crate::{
    daemon::{self, ProbeEvent},
    prelude::*,
};

/// Of `[probe]`, unless it says otherwise.
pub(crate) const PROBE_VNI: u32 = 0xff_ffff;
/// The shortest inner frame that is one.
pub(crate) const SHORTEST: usize = 302;
/// So many at once from one source.
const BURST: u64 = 64;
/// From the peer's endpoint.
const ENDPOINT_BURST: u64 = 256;
/// From all sources together.
const CEILING: u64 = 2_048;

/// `gcp6`, with keys for `aws` and `office`.
pub(crate) fn text() -> String {
    let text = with_peer(&gcp6(PUBLIC6), "aws", &daemon::key("aws"));
    with_peer(&text, "office", &daemon::key("office"))
}

pub(crate) fn bench() -> Bench {
    Bench::new(&text(), GCP6)
}

/// An inner frame with that tag, and nothing else that anybody looks at.
pub(crate) fn frame(tag: [u8; 8], len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|n| (n * n / 5 + n) as u8).collect();
    let end = len.min(26);
    if len > 18 {
        bytes[18..end].copy_from_slice(&tag[..end - 18]);
    }
    bytes
}

pub(crate) fn probe(ip: impl Into<Layer>, udp: Udp, inner: &[u8]) -> Packet {
    wrap(ip, udp, Vxlan::new(PROBE_VNI), &Packet::new().payload(inner))
}

/// The probe is dropped, counted for that peer, and handed to the daemon as `expected`.
#[track_caller]
pub(crate) fn handed(
    bench: &mut Bench,
    name: &str,
    packet: &[u8],
    peer: &'static str,
    expected: &ProbeEvent,
) {
    bench.refill_probes();
    let before = daemon::now();
    let outcome = bench.run(Program::Decap, Context::DEFAULT, packet);
    let after = daemon::now();
    assert_eq!(outcome.verdict, XDP_DROP, "{name}");
    assert_eq!(outcome.deltas, Deltas::probes(peer, 1), "{name}");
    assert_eq!(outcome.fdb, outcome.fdb_before, "{name}");
    let events = bench.probes();
    let [(at, event)] = &events[..] else { panic!("{name}: {} events", events.len()) };
    assert!((before..=after).contains(at), "{name}: {before} {at} {after}");
    assert_eq!(event, expected, "{name}");
}

/// As a packet of `aws` from its endpoint to our public address, over IPv4.
pub(crate) fn event(bench: &Bench, packet: &[u8]) -> ProbeEvent {
    ProbeEvent {
        peer: bench.peer("aws"),
        length: packet.len() as u32 - 14,
        source: AWS_PUBLIC.into(),
        destination: GCP_PUBLIC.into(),
        source_port: 50_000,
        destination_port: 4_789,
        checksum: [0, 0],
        ttl: 64,
        tos: 0,
        dont_fragment: true,
        bytes: packet[42..42 + 8 + SHORTEST].to_vec(),
    }
}

fn event6(bench: &Bench, packet: &[u8]) -> ProbeEvent {
    ProbeEvent {
        source: AWS_PUBLIC6.into(),
        destination: GCP_PUBLIC6.into(),
        bytes: packet[62..62 + 8 + SHORTEST].to_vec(),
        ..event(bench, packet)
    }
}

#[test]
fn over_ipv4() {
    let mut bench = bench();
    let inner = frame(daemon::tag("aws"), SHORTEST);
    let plain = |ip| probe(ip, outer_udp(), &inner).build();
    let packet = plain(outer_ip());
    let expected = event(&bench, &packet);
    handed(&mut bench, "as usual", &packet, "aws", &expected);
    handed(&mut bench, "again", &packet, "aws", &expected);
    for (name, ip, other) in [
        ("TTL 1", outer_ip().ttl(1), ProbeEvent { ttl: 1, ..expected.clone() }),
        ("TOS", outer_ip().tos(0xb9), ProbeEvent { tos: 0xb9, ..expected.clone() }),
        ("no DF", outer_ip().fragment(0), ProbeEvent { dont_fragment: false, ..expected.clone() }),
        (
            "the reserved flag alone",
            outer_ip().fragment(0x8000),
            ProbeEvent { dont_fragment: false, ..expected.clone() },
        ),
        (
            "to our private address",
            outer_ip().dst(GCP_PRIVATE),
            ProbeEvent { destination: GCP_PRIVATE.into(), ..expected.clone() },
        ),
        (
            "from its private address",
            outer_ip().src(AWS_PRIVATE),
            ProbeEvent { source: AWS_PRIVATE.into(), ..expected.clone() },
        ),
        (
            "from another peer",
            outer_ip().src(OFFICE),
            ProbeEvent { source: OFFICE.into(), ..expected.clone() },
        ),
        (
            "from a stranger",
            outer_ip().src(STRANGER),
            ProbeEvent { source: STRANGER.into(), ..expected.clone() },
        ),
    ] {
        handed(&mut bench, name, &plain(ip), "aws", &other);
    }
    // The tag says whose it is, not the source.
    let inner = frame(daemon::tag("office"), SHORTEST);
    let packet = probe(outer_ip(), outer_udp(), &inner).build();
    let expected = ProbeEvent { peer: bench.peer("office"), ..event(&bench, &packet) };
    handed(&mut bench, "of office, from aws", &packet, "office", &expected);
}

#[test]
fn over_ipv6() {
    let mut bench = bench();
    let inner = frame(daemon::tag("aws"), SHORTEST);
    let plain = |ip| probe(ip, outer_udp(), &inner).build();
    let packet = plain(outer_ip6());
    let expected = event6(&bench, &packet);
    handed(&mut bench, "as usual", &packet, "aws", &expected);
    for (name, ip, other) in [
        ("hop limit 255", outer_ip6().hop_limit(255), ProbeEvent { ttl: 255, ..expected.clone() }),
        (
            "traffic class, flow label",
            outer_ip6().traffic_class(0xb9).flow_label(0xf_ffff),
            ProbeEvent { tos: 0xb9, ..expected.clone() },
        ),
        (
            "to our private address",
            outer_ip6().dst(GCP_PRIVATE6),
            ProbeEvent { destination: GCP_PRIVATE6.into(), ..expected.clone() },
        ),
        (
            "from a stranger",
            outer_ip6().src(STRANGER6),
            ProbeEvent { source: STRANGER6.into(), ..expected.clone() },
        ),
    ] {
        handed(&mut bench, name, &plain(ip), "aws", &other);
    }
}

#[test]
fn ports_and_checksums() {
    let mut bench = bench();
    let inner = frame(daemon::tag("aws"), SHORTEST + 1);
    for v6 in [false, true] {
        let ip = || if v6 { Layer::from(outer_ip6()) } else { outer_ip().into() };
        for (port, checksum) in [
            (50_000, Checksum::Zero),
            (50_000, Checksum::Right),
            (50_000, Checksum::Wrong),
            (1, Checksum::Value(0x0100)),
            (0, Checksum::Zero),
            (4_789, Checksum::Value(0xffff)),
        ] {
            let packet = probe(ip(), outer_udp().src_port(port).checksum(checksum), &inner).build();
            let as_usual = if v6 { event6(&bench, &packet) } else { event(&bench, &packet) };
            let at = if v6 { 60 } else { 40 };
            let checksum = [packet[at], packet[at + 1]];
            let expected = ProbeEvent { source_port: port, checksum, ..as_usual };
            handed(&mut bench, &format!("{v6}, {port}, {checksum:x?}"), &packet, "aws", &expected);
        }
    }
    let mut bench = Bench::new(&text().replacen("[underlay]", "[underlay]\nport = 4790", 1), GCP6);
    let packet = probe(outer_ip(), outer_udp().dst_port(4_790), &inner).build();
    let expected = ProbeEvent { destination_port: 4_790, ..event(&bench, &packet) };
    handed(&mut bench, "our port", &packet, "aws", &expected);
}

#[test]
fn padding_is_not_handed_out() {
    let mut bench = bench();
    for more in [1, 2, 17, 500, 1_100] {
        let packet = probe(outer_ip(), outer_udp(), &frame(daemon::tag("aws"), SHORTEST + more));
        let expected = event(&bench, &packet.build());
        handed(&mut bench, &format!("{more} more"), &packet.build(), "aws", &expected);
        let packet6 = probe(outer_ip6(), outer_udp(), &frame(daemon::tag("aws"), SHORTEST + more));
        let expected6 = event6(&bench, &packet6.build());
        handed(&mut bench, &format!("{more} more, IPv6"), &packet6.build(), "aws", &expected6);
        // What Ethernet pads is not in the IP packet.
        handed(&mut bench, &format!("{more}, padded"), &padded(&packet, 20), "aws", &expected);
    }
}

/// How many are handed out before one is not.
fn burst(bench: &mut Bench, packet: &[u8], peer: &'static str) -> u64 {
    for sent in 0.. {
        let outcome = bench.run(Program::Decap, Context::DEFAULT, packet);
        assert_eq!(outcome.verdict, XDP_DROP);
        if outcome.deltas != Deltas::probes(peer, 1) {
            assert_eq!(outcome.deltas, Deltas::rx_drop(RateLimited, Who::Peer(peer)));
            return sent;
        }
        assert!(sent < 10_000, "no limit");
    }
    unreachable!()
}

#[test]
fn so_many_in_a_second() {
    // The limit of its data is not for its probes.
    let text = text().replacen("name = \"aws\"", "name = \"aws\"\npackets_per_second = 1", 1);
    let mut bench = Bench::new(&text, GCP6);
    let aws = probe(outer_ip(), outer_udp(), &frame(daemon::tag("aws"), SHORTEST)).build();
    // From the same address.
    let office = probe(outer_ip(), outer_udp(), &frame(daemon::tag("office"), SHORTEST)).build();
    let bad = probe(outer_ip(), outer_udp(), &frame([9; 8], SHORTEST)).build();
    for _ in 0..100 {
        let moved = bench.run(Program::Decap, Context::DEFAULT, &bad).deltas;
        assert_eq!(moved, Deltas::rx_drop(ProbeDenied, Who::Peer("aws")));
    }
    assert_burst(&mut bench, &aws, "aws", BURST);
    // That was not the address of the endpoint in use. What comes from there, and not from the port
    // that data goes to, has as many of its own; so has each port.
    for port in [50_000, 50_001] {
        let udp = outer_udp().src_port(port);
        let there = probe(outer_ip6(), udp, &frame(daemon::tag("aws"), SHORTEST)).build();
        assert_burst(&mut bench, &there, "aws", BURST);
    }
    let udp = outer_udp().src_port(4_789);
    let endpoint = probe(outer_ip6(), udp, &frame(daemon::tag("aws"), SHORTEST)).build();
    assert_burst(&mut bench, &endpoint, "aws", ENDPOINT_BURST);
    // Another tag has as many.
    assert_burst(&mut bench, &office, "office", BURST);
    // They come again with time, one after the other.
    wait_for_term();
    burst(&mut bench, &aws, "aws");
    let passed = burst(&mut bench, &aws, "aws");
    assert!(passed < BURST / 2, "{passed} at once");
    bench.refill_probes();
    assert!(burst(&mut bench, &aws, "aws") >= BURST);
}

/// Waits until sources keep their buckets for 4 seconds at least.
fn wait_for_term() {
    while daemon::now() >> 32 & 1 == 1 {
        thread::sleep(Duration::from_millis(10));
    }
}

/// As many are handed out as `burst` says, and what comes again meanwhile. Buckets change now and
/// then, and then as many again.
#[track_caller]
fn assert_burst(bench: &mut Bench, packet: &[u8], peer: &'static str, limit: u64) {
    let (begin, term) = (Instant::now(), daemon::now() >> 33);
    let passed = burst(bench, packet, peer);
    let again = if daemon::now() >> 33 == term { 0 } else { limit };
    let max = limit + again + (begin.elapsed().as_secs_f64() * limit as f64).ceil() as u64;
    assert!((limit..=max).contains(&passed), "{passed}, not {limit} to {max}");
}

/// A stranger's flood with the tag of `aws`, from one source after the other.
fn flood(bench: &mut Bench, packets: impl Iterator<Item = impl AsRef<[u8]>>) {
    for packet in packets {
        for _ in 0..2 * BURST {
            let outcome = bench.run(Program::Decap, Context::DEFAULT, packet.as_ref());
            assert_eq!(outcome.verdict, XDP_DROP);
        }
        bench.probes();
    }
}

/// Who has seen the tag uses up what he may send himself, and from other addresses what these may:
/// not what the peer may send from where it is next.
#[test]
fn a_flood_uses_up_no_other_source() {
    let mut bench = bench();
    let inner = frame(daemon::tag("aws"), SHORTEST);
    let from = |a: u8, b: u8| {
        let source = Ipv4Addr::new(198, 51, a, b);
        probe(outer_ip().src(source), outer_udp(), &inner).build()
    };
    flood(&mut bench, (1..=20).map(|last| from(100, last)));
    assert_burst(&mut bench, &from(101, 1), "aws", BURST);
    // A network of IPv6 is one source, and another one another.
    wait_for_term();
    let from6 = |prefix: u16, last: u16| {
        let source = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, prefix, 0, 0, 0, last);
        probe(outer_ip6().src(source), outer_udp(), &inner).build()
    };
    bench.refill_probes();
    flood(&mut bench, (1..=20).map(|last| from6(1, last)));
    let passed = burst(&mut bench, &from6(1, 99), "aws");
    assert!(passed < BURST / 2, "{passed} from the same network");
    assert_burst(&mut bench, &from6(2, 1), "aws", BURST);
    // Neighbours behind the NAT of the peer's endpoint have another port.
    bench.refill_probes();
    let there = |port| probe(outer_ip6(), outer_udp().src_port(port), &inner).build();
    flood(&mut bench, (1..=5).map(there));
    assert_burst(&mut bench, &there(4_789), "aws", ENDPOINT_BURST);
    assert_burst(&mut bench, &there(6), "aws", BURST);
}

/// However many sources there are, the daemon gets no more than it can verify; and what comes from
/// endpoints does not suffer from strangers.
#[test]
fn all_sources_together_have_a_ceiling() {
    let mut bench = bench();
    let inner = frame(daemon::tag("aws"), SHORTEST);
    let (mut handed, mut limited) = (0, 0);
    let begin = Instant::now();
    for number in 0..3 * CEILING as u32 {
        let source = Ipv4Addr::from(0xc633_6400 + number);
        let packet = probe(outer_ip().src(source), outer_udp(), &inner).build();
        let outcome = bench.run(Program::Decap, Context::DEFAULT, &packet);
        if outcome.deltas == Deltas::probes("aws", 1) {
            handed += 1;
        } else {
            assert_eq!(outcome.deltas, Deltas::rx_drop(RateLimited, Who::Peer("aws")));
            limited += 1;
        }
        if number % 512 == 0 {
            bench.probes();
        }
    }
    let max = CEILING as f64 + begin.elapsed().as_secs_f64() * 32_768.0 + 1.0;
    assert!(f64::from(handed) <= max, "{handed} of {max}");
    assert_eq!(handed + limited, 3 * CEILING as u32);
    let endpoint = probe(outer_ip6(), outer_udp().src_port(4_789), &inner).build();
    bench.probes();
    assert_burst(&mut bench, &endpoint, "aws", ENDPOINT_BURST);
}

/// Nobody takes them out: what does not fit is dropped and counted.
#[test]
fn a_daemon_that_does_not_keep_up() {
    let mut bench = bench();
    let packet = probe(outer_ip(), outer_udp(), &frame(daemon::tag("aws"), SHORTEST)).build();
    let mut fit = 0;
    loop {
        bench.refill_probes();
        let passed = burst(&mut bench, &packet, "aws");
        fit += passed;
        if passed < BURST {
            break;
        }
    }
    // Full, and not too many: with a fresh limit nothing more fits.
    bench.refill_probes();
    assert_eq!(burst(&mut bench, &packet, "aws"), 0);
    assert!(fit >= 2 * CEILING, "room for {fit}");
    println!("room for {fit}");
    let events = bench.probes();
    assert_eq!(events.len() as u64, fit);
    let expected = event(&bench, &packet);
    assert!(events.iter().all(|(_, event)| *event == expected));
    assert!(events.is_sorted_by_key(|(at, _)| *at));
    handed(&mut bench, "there is room again", &packet, "aws", &expected);
}

/// Sent = handed out + counted drops + passed on.
#[test]
fn conservation() {
    let mut bench = bench();
    let probe = |tag| frame(tag, SHORTEST);
    let tags = [daemon::tag("aws"), daemon::tag("office"), [1; 8]];
    let (mut sent, mut events) = (0, 0);
    for round in 0..300_usize {
        let mut inner = probe(tags[round % 3]);
        inner.truncate(SHORTEST - usize::from(round % 7 == 0));
        let udp = outer_udp().src_port(round as u16);
        let packet = wrap(outer_ip(), udp, Vxlan::new(PROBE_VNI), &Packet::new().payload(&inner));
        let outcome = bench.run(Program::Decap, Context::DEFAULT, &packet.build());
        assert_eq!(outcome.verdict, XDP_DROP);
        sent += 1;
        events += bench.probes().len() as u64;
    }
    let all = bench.counted();
    assert_eq!(all.sum_of("probes "), events);
    assert_eq!(all.sum_of("probes ") + all.sum_of("drop rx "), sent);
}
