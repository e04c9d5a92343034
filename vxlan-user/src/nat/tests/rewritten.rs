//! Addresses or ports are rewritten, and data passes.

use super::*;

pub(super) const ROWS: &[Row] = &[
    // One to one.
    (
        "near, declared",
        keyed,
        near,
        NatVerdict::OneToOne,
        &[
            "our 10.0.0.2:4789 arrives at aws as 203.0.113.10:4789",
            "what aws sends to 203.0.113.10:4789 arrives at our 10.0.0.2:4789",
            "it is not known yet whether packets that nobody here asked for get in; the endpoint \
             is declared",
        ],
    ),
    (
        "near, proved",
        keyed,
        |e| {
            near(e);
            unsolicited(e, 5, 5, 4);
        },
        NatVerdict::OneToOne,
        &["packets that nobody here asked for get in: 4 came"],
    ),
    (
        "far, declared",
        keyed,
        far,
        NatVerdict::OneToOne,
        &[
            "aws sends from 10.0.0.119:4789, which arrives as 198.51.100.20:4789",
            "what we send to 198.51.100.20:4789 arrives at 10.0.0.119:4789 of aws",
            "not known yet",
        ],
    ),
    (
        "far, proved",
        keyed,
        |e| {
            far(e);
            unsolicited(e, 5, 4, 0);
        },
        NatVerdict::OneToOne,
        &["packets that the peer did not ask for get in: 4 of 5 were answered"],
    ),
    (
        "far, two are too few",
        keyed,
        |e| {
            far(e);
            unsolicited(e, 2, 0, 0);
        },
        NatVerdict::OneToOne,
        &["not known yet"],
    ),
    (
        "far, nothing passes",
        keyed,
        |e| {
            far(e);
            unsolicited(e, 5, 0, 0);
            probes(e).answered = 0;
        },
        NatVerdict::OneToOne,
        &["not known yet"],
    ),
    (
        "far, learned and proved",
        keyed,
        |e| {
            far(e);
            e.facts.learned = true;
            unsolicited(e, 5, 4, 0);
        },
        NatVerdict::OneToOne,
        &["4 of 5 were answered"],
    ),
    (
        "both, proved",
        keyed,
        |e| {
            both(e);
            unsolicited(e, 5, 5, 5);
        },
        NatVerdict::OneToOne,
        &[
            "our 10.0.0.2:4789 arrives at aws as 203.0.113.10:4789",
            "aws sends from 10.0.0.119:4789",
            "5 came",
            "5 of 5 were answered",
        ],
    ),
    (
        "source of data, no key",
        unkeyed,
        |e| {
            data(e, |c| c.src_address = 100);
            e.facts.private = Some(at(AWS).ip());
        },
        NatVerdict::OneToOne,
        &[
            "100 of 100 data packets of aws came from 198.51.100.20 instead of 10.0.0.119",
            "there is no key for aws",
        ],
    ),
    (
        "destination of data, no key",
        unkeyed,
        |e| {
            data(e, |c| c.dst_address = 100);
            e.facts.public = Some(at(OURS_PUBLIC).ip());
        },
        NatVerdict::OneToOne,
        &["100 of 100 data packets of aws came to another address than 203.0.113.10"],
    ),
    (
        "source of data, long ago",
        unkeyed,
        |e| {
            data(e, |c| c.src_address = 100);
            e.data.recent = DataCounts::default();
        },
        NatVerdict::OneToOne,
        &["100 of 100"],
    ),
    (
        "data shows it, probes not yet",
        keyed,
        |e| data(e, |c| c.src_address = 100),
        NatVerdict::OneToOne,
        &["100 of 100"],
    ),
    // NAPT that keeps ports.
    (
        "near, 0 unsolicited come",
        keyed,
        |e| {
            near(e);
            unsolicited(e, 5, 5, 0);
        },
        NatVerdict::PortPreservingNapt,
        &["packets that nobody here asked for do not get in: 0 came, beside 20 other requests"],
    ),
    (
        "far, 0 unsolicited arrive",
        keyed,
        |e| {
            far(e);
            unsolicited(e, 3, 0, 5);
        },
        NatVerdict::PortPreservingNapt,
        &["packets that the peer did not ask for do not get in: 0 of 3 were answered, but 20 \
             other requests were"],
    ),
    (
        "far, learned",
        keyed,
        |e| {
            far(e);
            e.facts.learned = true;
        },
        NatVerdict::PortPreservingNapt,
        &["the endpoint is learned"],
    ),
    (
        "both, one lets nothing in",
        keyed,
        |e| {
            both(e);
            unsolicited(e, 5, 0, 5);
        },
        NatVerdict::PortPreservingNapt,
        &["5 came", "0 of 5 were answered"],
    ),
    (
        "both, the other lets nothing in",
        keyed,
        |e| {
            both(e);
            unsolicited(e, 5, 5, 0);
        },
        NatVerdict::PortPreservingNapt,
        &["0 came", "5 of 5 were answered"],
    ),
    // NAPT.
    (
        "far",
        keyed,
        far_napt,
        NatVerdict::Napt,
        &["aws sends from 10.0.0.119:4789, which arrives as 198.51.100.20:1024"],
    ),
    (
        "near",
        keyed,
        |e| {
            alive(e);
            probes(e).ours = rewrite([OURS, AWS_PUBLIC, "203.0.113.10:1024", AWS_PUBLIC]);
        },
        NatVerdict::Napt,
        &["our 10.0.0.2:4789 arrives at aws as 203.0.113.10:1024"],
    ),
    (
        "the port alone",
        keyed,
        |e| {
            alive(e);
            probes(e).ours = rewrite([OURS_PUBLIC, AWS_PUBLIC, "203.0.113.10:1024", AWS_PUBLIC]);
        },
        NatVerdict::Napt,
        &["203.0.113.10:1024"],
    ),
    (
        "a port that is forwarded",
        keyed,
        |e| {
            alive(e);
            probes(e).ours = rewrite([OURS_PUBLIC, "198.51.100.20:14789", OURS_PUBLIC, AWS]);
        },
        NatVerdict::Napt,
        &["what we send to 198.51.100.20:14789 arrives at 10.0.0.119:4789 of aws"],
    ),
    (
        "data, flow ports",
        unkeyed,
        |e| data(e, |c| c.src_port = 99),
        NatVerdict::Napt,
        &["99 of 100 data packets of aws came from another port instead of that of their flow"],
    ),
    (
        "data, many mappings",
        unkeyed,
        |e| {
            data(e, |c| c.src_port = 99);
            e.data.mapping.as_mut().unwrap().mappings = 300;
        },
        NatVerdict::Napt,
        &["300 mappings"],
    ),
    (
        "data, fixed port",
        unkeyed,
        |e| {
            data(e, |c| c.src_port = 99);
            e.facts.ports = SourcePorts::Fixed(4789);
            e.data.mapping.as_mut().unwrap().port = Some(1024);
        },
        NatVerdict::Napt,
        &["from port 1024 instead of 4789"],
    ),
    (
        "data, a range",
        unkeyed,
        |e| {
            data(e, |c| c.src_port = 99);
            e.facts.ports = SourcePorts::Range(32768, 60999);
        },
        NatVerdict::Napt,
        &["instead of one of 32768 to 60999"],
    ),
    (
        "data shows ports, probes only addresses",
        keyed,
        |e| {
            far(e);
            data(e, |c| c.src_port = 9);
        },
        NatVerdict::Napt,
        &["9 of 100", "10.0.0.119:4789"],
    ),
    // Symmetric.
    (
        "ours",
        keyed,
        |e| {
            near(e);
            probes(e).varies = true;
        },
        NatVerdict::Symmetric,
        &["our address or port differs from peer to peer: our 10.0.0.2:4789 arrives at aws as \
             203.0.113.10:4789"],
    ),
    (
        "the peer's",
        keyed,
        |e| {
            far_napt(e);
            probes(e).peer_varies = true;
        },
        NatVerdict::Symmetric,
        &["aws says that its address or port differs from peer to peer", "198.51.100.20:1024"],
    ),
];
