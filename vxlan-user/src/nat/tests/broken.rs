//! Checksums, one direction or all packets are lost.

use super::*;

pub(super) const ROWS: &[Row] = &[
    // Checksums.
    (
        "our probe, repaired",
        keyed,
        |e| {
            alive(e);
            probes(e).ours.as_mut().unwrap().seen.checksum = UdpChecksum::Right;
        },
        NatVerdict::ChecksumBreaking,
        &["our probes leave with checksum zero and arrive with a right checksum at aws"],
    ),
    (
        "their probe, broken",
        keyed,
        |e| {
            near(e);
            probes(e).theirs.as_mut().unwrap().seen.checksum = UdpChecksum::Wrong;
        },
        NatVerdict::ChecksumBreaking,
        &[
            "probes of aws leave with checksum zero and arrive with a wrong checksum here",
            "our 10.0.0.2:4789 arrives",
        ],
    ),
    (
        "data",
        unkeyed,
        |e| data(e, |c| c.checksum = 8),
        NatVerdict::ChecksumBreaking,
        &["8 data packets of aws came lately, 8 in all"],
    ),
    (
        "data, long ago",
        unkeyed,
        |e| {
            data(e, |_| ());
            e.data.total.checksum = 8;
        },
        NatVerdict::None,
        &["none was rewritten"],
    ),
    (
        "dropped data and no other",
        unkeyed,
        |e| {
            e.data.total.checksum = 8;
            e.data.recent.checksum = 8;
            e.data.recent.bad_checksum = 8;
            e.data.total.bad_checksum = 8;
        },
        NatVerdict::ChecksumBreaking,
        &["8 data packets"],
    ),
    (
        "before symmetric",
        keyed,
        |e| {
            alive(e);
            probes(e).varies = true;
            data(e, |c| c.checksum = 8);
        },
        NatVerdict::ChecksumBreaking,
        &["8 data packets", "differs from peer to peer"],
    ),
    // One way.
    (
        "its requests come",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            let p = probes(e);
            p.last_seen = Some(Duration::from_secs(1));
            p.proven = 3;
        },
        NatVerdict::Unidirectional,
        &[
            "4 requests to aws in 20 s, none was answered, but 3 of its requests came in 15 s",
            "we sent 14, aws saw 9, the latest of them the 9.",
        ],
    ),
    (
        "its requests come, unproven",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 10;
            p.unanswered = 10;
            p.since_reply = Duration::from_secs(50);
            p.last_seen = Some(Duration::ZERO);
            p.unproven = 3;
        },
        NatVerdict::Unidirectional,
        &["10 requests to aws in 50 s", "0 of its 3 requests bring the token"],
    ),
    (
        "its requests and its data come",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            let p = probes(e);
            p.last_seen = Some(Duration::from_secs(1));
            p.proven = 3;
            data(e, |_| ());
        },
        NatVerdict::Unidirectional,
        &["none was answered, but 3 of its requests came in 15 s"],
    ),
    (
        "its data comes and is dropped",
        keyed,
        |e| {
            deaf(e);
            e.data.recent.bad_checksum = 5;
        },
        NatVerdict::Unidirectional,
        &["5 data packets came from it in 15 s"],
    ),
    (
        "only replies come back",
        keyed,
        |e| {
            alive(e);
            let p = probes(e);
            p.proven = 0;
            p.missed = 12;
        },
        NatVerdict::Unidirectional,
        &["aws answers, and has sent 12 requests of which none came here"],
    ),
    (
        "only replies come back, not for long",
        keyed,
        |e| {
            alive(e);
            let p = probes(e);
            p.proven = 0;
            p.missed = 2;
        },
        NatVerdict::None,
        &[],
    ),
    (
        "before checksums",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            probes(e).last_seen = Some(Duration::ZERO);
            data(e, |c| c.checksum = 8);
        },
        NatVerdict::Unidirectional,
        &["100 data packets came from it", "8 data packets of aws came lately"],
    ),
    // Blocked.
    (
        "from the start",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 4;
            p.unanswered = 4;
            p.since_reply = Duration::from_secs(17);
        },
        NatVerdict::Blocked,
        &["4 requests to aws in 17 s, none was answered, and nothing came from it"],
    ),
    (
        "after it worked",
        keyed,
        |e| {
            alive(e);
            deaf(e);
        },
        NatVerdict::Blocked,
        &["4 requests to aws in 20 s, none was answered, and nothing came from it"],
    ),
    (
        "after it was one to one",
        keyed,
        |e| {
            both(e);
            deaf(e);
        },
        NatVerdict::Blocked,
        &[
            "none was answered",
            "our 10.0.0.2:4789 arrived at aws as 203.0.113.10:4789, 20 s ago",
            "aws sends from 10.0.0.119:4789, which arrived as 198.51.100.20:4789, 21 s ago",
        ],
    ),
    (
        "before all others",
        keyed,
        |e| {
            both(e);
            deaf(e);
            let p = probes(e);
            p.varies = true;
            p.ours.as_mut().unwrap().seen.checksum = UdpChecksum::Right;
        },
        NatVerdict::Blocked,
        &["none was answered"],
    ),
];
