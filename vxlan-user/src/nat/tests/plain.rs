//! Nothing is known, nothing is rewritten, or data is lost.

use super::*;

pub(super) const ROWS: &[Row] = &[
    // Unknown.
    (
        "no key, no data",
        unkeyed,
        |_| (),
        NatVerdict::Unknown,
        &["0 data packets of aws came, and there is no key for probes"],
    ),
    (
        "nothing yet",
        keyed,
        |e| probes(e).sent = 1,
        NatVerdict::Unknown,
        &["0 of 1 requests to aws were answered"],
    ),
    (
        "not learned yet",
        keyed,
        |e| {
            e.facts.endpoint = None;
            e.facts.learned = true;
        },
        NatVerdict::Unknown,
        &["0 probes of aws came"],
    ),
    (
        "a declared NAT that nothing shows",
        unkeyed,
        |e| e.facts.private = Some(at(AWS).ip()),
        NatVerdict::Unknown,
        &["0 data packets"],
    ),
    (
        "two without an answer",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 2;
            p.unanswered = 2;
            p.since_reply = Duration::from_secs(60);
        },
        NatVerdict::Unknown,
        &["0 of 2"],
    ),
    (
        "three without an answer, not for long",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 3;
            p.unanswered = 3;
            p.since_reply = Duration::from_secs(14);
        },
        NatVerdict::Unknown,
        &["0 of 3"],
    ),
    (
        "only dropped data",
        unkeyed,
        |e| e.data.total.bad_checksum = 7,
        NatVerdict::Unknown,
        &[
            "0 data packets of aws came",
            "7 data packets of aws were dropped for a wrong checksum, 0 lately",
        ],
    ),
    // None.
    (
        "alive",
        keyed,
        alive,
        NatVerdict::None,
        &[
            "our 203.0.113.10:4789 arrives at aws as it is",
            "198.51.100.20:4789 of aws arrives as it is",
        ],
    ),
    (
        "only ours is known",
        keyed,
        |e| {
            alive(e);
            probes(e).theirs = None;
        },
        NatVerdict::None,
        &["our 203.0.113.10:4789 arrives at aws as it is"],
    ),
    (
        "data without a key",
        unkeyed,
        |e| data(e, |_| ()),
        NatVerdict::None,
        &[
            "100 data packets of aws came from 198.51.100.20: as far as they show, none was \
             rewritten",
            "there is no key for aws",
        ],
    ),
    (
        "data that came long ago",
        unkeyed,
        |e| {
            data(e, |_| ());
            e.data.recent = DataCounts::default();
        },
        NatVerdict::None,
        &["100 data packets"],
    ),
    (
        "a NAT that has gone",
        unkeyed,
        |e| {
            data(e, |_| ());
            e.data.total.src_port = 50;
        },
        NatVerdict::None,
        &["none was rewritten"],
    ),
    (
        "unsolicited ones do not pass a firewall",
        keyed,
        |e| {
            alive(e);
            unsolicited(e, 9, 0, 0);
        },
        NatVerdict::None,
        &["arrives at aws as it is"],
    ),
    (
        "a peer whose daemon is stopped",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            data(e, |_| ());
        },
        NatVerdict::None,
        &[
            "probes unanswered, data flows: 4 requests to aws in 20 s, none was answered and none \
             of aws came, but in 15 s 100 data packets came from it, and we sent 100",
            "our 203.0.113.10:4789 arrived at aws as it is, 20 s ago",
        ],
    ),
    (
        "a peer with another key, from the start",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 9;
            p.unanswered = 9;
            p.since_reply = Duration::from_secs(40);
            data(e, |c| c.sent = 90);
            e.drops = vec![(RxDrop::ProbeDenied, 9)];
        },
        NatVerdict::None,
        &["its daemon may be stopped, or its key_file another one", "9 probe_denied"],
    ),
    // Data is lost.
    (
        "ours is lost",
        keyed,
        |e| {
            both(e);
            e.delivery.tx = Some(LostData {
                sent: 40,
                arrived: 0,
                within: Duration::from_secs(8),
                ago: Duration::from_secs(1),
            });
        },
        NatVerdict::DataLost,
        &[
            "our data is lost: aws has got 0 of the 40 data packets that we sent within 8 s, by \
             its own count",
            "our 10.0.0.2:4789 arrives at aws as 203.0.113.10:4789",
        ],
    ),
    (
        "theirs is dropped here",
        keyed,
        |e| {
            alive(e);
            data(e, |c| c.checksum = 8);
            e.delivery.rx = Some(LostData {
                sent: 40,
                arrived: 1,
                within: Duration::from_secs(8),
                ago: Duration::from_secs(50),
            });
            e.delivery.counts = Some(DeliveryCounts {
                since: Duration::from_secs(70),
                sent: 41,
                peer_received: 41,
                peer_sent: 40,
                received: 1,
            });
            e.drops = vec![(RxDrop::UnknownVni, 38), (RxDrop::EcnError, 1)];
        },
        NatVerdict::DataLost,
        &[
            "data of aws is lost: 1 of the 40 data packets that it has sent within 8 s, 50 s ago",
            "we sent 41, aws got 41; aws sent 40, 1 were delivered here",
            "39 packets of aws were dropped here lately: 38 unknown_vni, 1 ecn_error",
        ],
    ),
    (
        "reports that do not come any more",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            e.delivery.tx = Some(LostData { sent: 40, ..LostData::default() });
        },
        NatVerdict::Blocked,
        &["none was answered, and nothing came from it"],
    ),
];
