//! The burst that a rate limit allows, and for whom the rest is counted. The rates are so low that
//! real time refills next to nothing; what it can have refilled is allowed for.

use std::time::Instant;

use vxlan_common::reason::{
    RxDrop::{self, BadChecksum, InnerSourceDenied, MalformedInner, RateLimited},
    TxDrop,
};

use crate::prelude::*;

/// Packets that may come at once, however low the limit.
const PACKETS: u64 = 32;
/// The same in bytes.
const BYTES: u64 = 131_072;

/// `keys` are further ones of that peer.
fn limited(text: &str, peer: &str, keys: &str) -> String {
    let name = format!("name = \"{peer}\"");
    assert!(text.contains(&name));
    text.replacen(&name, &format!("{name}\n{keys}"), 1)
}

fn decap(bench: &mut Bench, packet: &Packet) -> Outcome {
    bench.run(Program::Decap, Context::DEFAULT, &packet.build())
}

#[track_caller]
fn refused(outcome: &Outcome, reason: RxDrop, who: Who) {
    assert_eq!(outcome.verdict, XDP_DROP);
    assert_eq!(outcome.deltas, Deltas::rx_drop(reason, who));
}

/// Sends until a packet is over the limit, and once more; how many passed. Exactly these counters
/// move for each.
#[track_caller]
fn passed(bench: &mut Bench, packet: &Packet, who: Who, moved: &Deltas) -> u64 {
    let mut passed = 0;
    loop {
        let outcome = decap(bench, packet);
        if outcome.verdict != XDP_PASS {
            refused(&outcome, RateLimited, who);
            refused(&decap(bench, packet), RateLimited, who);
            return passed;
        }
        assert_eq!(outcome.deltas, Deltas::accepted(who).with(moved));
        passed += 1;
        assert!(passed < 10_000, "no limit");
    }
}

/// Between what the limit gives at once, and that with what it gives in the time since `begin`.
#[track_caller]
fn assert_burst(passed: u64, burst: u64, per_second: u64, begin: Instant) {
    let elapsed = begin.elapsed().as_secs_f64();
    let max = burst + (elapsed * per_second as f64).ceil() as u64;
    assert!((burst..=max).contains(&passed), "{passed} passed, not {burst} to {max}");
}

/// A frame of `len` bytes from `aws`.
fn sized(len: usize) -> Packet {
    Packet::new().with(eth()).with(ipv4()).with(Udp::new(1, 2)).payload(&vec![7; len - 42])
}

fn from_endpoint() -> Deltas {
    Deltas::none().nat(SrcAddress, AWS_43)
}

#[test]
fn packets_at_once() {
    let mut bench = Bench::new(&limited(&gcp(PUBLIC), "aws", "packets_per_second = 1"), GCP);
    let begin = Instant::now();
    let many = passed(&mut bench, &from_aws(&ping()), AWS_43, &from_endpoint());
    assert_burst(many, PACKETS, 1, begin);
}

/// A tenth of a second's worth, where that is more.
#[test]
fn packets_of_a_tenth_of_a_second() {
    let mut bench = Bench::new(&limited(&gcp(PUBLIC), "aws", "packets_per_second = 500"), GCP);
    let begin = Instant::now();
    let many = passed(&mut bench, &from_aws(&ping()), AWS_43, &from_endpoint());
    assert_burst(many, 50, 500, begin);
}

/// They are those of inner frames: no outer header, no padding.
#[test]
fn bytes_at_once() {
    for len in [60, 1000, 1424] {
        let mut bench = Bench::new(&limited(&gcp(PUBLIC), "aws", "bytes_per_second = 1"), GCP);
        let mut first = from_aws(&sized(1424)).build().to_vec();
        // Fills up most of it, so that few packets are to be sent.
        let large = BYTES / 1424 - 3;
        first.resize(first.len() + 100, 0xee);
        for _ in 0..large {
            let outcome = bench.run(Program::Decap, Context::DEFAULT, &first);
            assert_eq!(outcome.verdict, XDP_PASS);
        }
        let begin = Instant::now();
        let left = BYTES - large * 1424;
        let many = passed(&mut bench, &from_aws(&sized(len)), AWS_43, &from_endpoint());
        // Less than a byte is refilled in a second: a frame more than fits cannot pass.
        assert!(begin.elapsed().as_secs() < 30);
        assert_eq!(many, left / len as u64, "of {len} bytes");
        // What is refused is not charged: a smaller one still fits.
        let rest = (left % len as u64) as usize;
        if rest >= 42 {
            let outcome = decap(&mut bench, &from_aws(&sized(rest)));
            assert_eq!(outcome.verdict, XDP_PASS);
        }
    }
}

/// The stricter one decides, and charges the other nothing when it refuses.
#[test]
fn both_limits() {
    let keys = "packets_per_second = 1\nbytes_per_second = 1";
    let mut bench = Bench::new(&limited(&gcp(PUBLIC), "aws", keys), GCP);
    let begin = Instant::now();
    let small = passed(&mut bench, &from_aws(&sized(60)), AWS_43, &from_endpoint());
    assert_burst(small, PACKETS, 1, begin);
    let mut bench = Bench::new(&limited(&gcp(PUBLIC), "aws", keys), GCP);
    // 44 of these would fit the bytes.
    let huge = BYTES as usize / 44;
    for _ in 0..PACKETS {
        assert_eq!(decap(&mut bench, &from_aws(&sized(huge))).verdict, XDP_PASS);
    }
    let keys = "packets_per_second = 1000000000\nbytes_per_second = 1";
    let mut bench = Bench::new(&limited(&gcp(PUBLIC), "aws", keys), GCP);
    let many = passed(&mut bench, &from_aws(&sized(huge)), AWS_43, &from_endpoint());
    assert_eq!(many, BYTES / huge as u64);
}

/// Its members in all networks, its addresses of both families.
#[test]
fn a_limit_is_of_the_peer() {
    let mut bench = Bench::new(&limited(&gcp(PUBLIC), "office", "packets_per_second = 1"), GCP);
    let frame = |mac, from: Ipv4Addr, to: Ipv4Addr| {
        let eth = Eth::new(mac, OFFICE_MAC);
        Packet::new().with(eth).with(Ipv4::new(from, to)).with(Icmp::echo_request(1, 1))
    };
    let first = from_office(&frame(GCP_MAC, OFFICE_HOST, GCP_HOST));
    let other = frame(OTHER_MAC, OFFICE_OTHER_HOST, GCP_OTHER_HOST);
    let ip = outer_ip().src(OFFICE);
    let second = wrap(ip, outer_udp(), Vxlan::new(OTHER_VNI), &other);
    for _ in 0..PACKETS / 2 {
        assert_eq!(decap(&mut bench, &first).verdict, XDP_PASS);
        assert_eq!(decap(&mut bench, &second).verdict, XDP_PASS);
    }
    let begin = Instant::now();
    let more = passed(&mut bench, &second, Who::Member("office", OTHER_VNI), &Deltas::none());
    assert_burst(more, 0, 1, begin);
    refused(&decap(&mut bench, &first), RateLimited, Who::Member("office", VNI));
    // Nobody else's.
    assert_eq!(decap(&mut bench, &from_aws(&ping())).verdict, XDP_PASS);

    let mut bench = Bench::new(&limited(&gcp6(PUBLIC6), "aws", "packets_per_second = 1"), GCP6);
    let over6 = |ip: Ipv6| wrap(ip, outer_udp(), vxlan(), &ping());
    for _ in 0..PACKETS / 4 {
        for packet in [
            from_aws(&ping()),
            wrap(outer_ip().src(AWS_PRIVATE), outer_udp(), vxlan(), &ping()),
            over6(outer_ip6()),
            over6(outer_ip6().src(AWS_PRIVATE6)),
        ] {
            assert_eq!(decap(&mut bench, &packet).verdict, XDP_PASS);
        }
    }
    let begin = Instant::now();
    let more = passed(&mut bench, &from_aws(&ping()), AWS_43, &from_endpoint());
    assert_burst(more, 0, 1, begin);
    refused(&decap(&mut bench, &Family::V6.sent_by_aws(&ping())), RateLimited, AWS_43);
}

/// Rule 13 stands between the checksum and the inner frame.
#[test]
fn what_is_charged() {
    let text = limited(&gcp(PUBLIC), "aws", "packets_per_second = 1");
    let wrong = outer_udp().checksum(Checksum::Wrong);
    let wrong = wrap(outer_ip(), wrong, vxlan(), &ping());
    let mut bench = Bench::new(&text, GCP);
    for _ in 0..2 * PACKETS {
        refused(&decap(&mut bench, &wrong), BadChecksum, AWS_43);
    }
    let begin = Instant::now();
    let many = passed(&mut bench, &from_aws(&ping()), AWS_43, &from_endpoint());
    assert_burst(many, PACKETS, 1, begin);
    refused(&decap(&mut bench, &wrong), BadChecksum, AWS_43);

    let foreign = Packet::new().with(eth()).with(ipv4().src(NOWHERE)).with(Udp::new(1, 2));
    let short = Packet::new().payload(&ping().build()[..13]);
    for (frame, reason) in [(foreign, InnerSourceDenied), (short, MalformedInner)] {
        let mut bench = Bench::new(&text, GCP);
        for _ in 0..PACKETS {
            refused(&decap(&mut bench, &from_aws(&frame)), reason, AWS_43);
        }
        let begin = Instant::now();
        let many = passed(&mut bench, &from_aws(&ping()), AWS_43, &from_endpoint());
        assert_burst(many, 0, 1, begin);
        refused(&decap(&mut bench, &from_aws(&frame)), RateLimited, AWS_43);
    }
}

#[test]
fn flooded_frames() {
    let frame = Packet::new()
        .with(Eth::new(BROADCAST, GCP_MAC))
        .with(Ipv4::new(GCP_HOST, [255; 4]))
        .with(Udp::new(1, 2))
        .build();
    for (rate, burst) in [(1, 1), (10, 1), (50, 5), (300, 30)] {
        let text = gcp(PUBLIC).replace("vni = 43", &format!("vni = 43\nbroadcast_rate = {rate}"));
        // The last of its members, which the frame itself is for, is reached.
        let text = text.replace("\"lone\"", "\"depot\"");
        let mut bench = Bench::new(&text, GCP);
        let begin = Instant::now();
        let mut many = 0;
        loop {
            let outcome = bench.run(Program::Encap, Context::DEFAULT, &frame);
            if outcome.verdict == TC_ACT_SHOT {
                let moved = Deltas::tx_drop(TxDrop::RateLimited, Who::Network(VNI), 1);
                assert_eq!(outcome.deltas, moved);
                break;
            }
            let depot = Who::Member("depot", VNI);
            assert_eq!(outcome.deltas, Deltas::sent(depot, 1, frame.len()));
            many += 1;
        }
        assert_burst(many, burst, rate, begin);
        // Frames for one member are not concerned.
        let outcome = bench.run(Program::Encap, Context::DEFAULT, &ping_out().build());
        assert_eq!(outcome.deltas, Deltas::sent(AWS_43, 1, ping_out().build().len()));
    }
}
