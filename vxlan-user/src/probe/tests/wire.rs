//! Probes as bytes: where each field is, what is refused, and that nothing is lost on the way.

use vxlan_common::probe::{FRAME_LEN, TAG_AT};
use vxlan_common::wire::ETH_LEN;

use super::{key, sample};
use crate::{
    observation::OuterHeader,
    probe::{Key, LENGTH_V4, LENGTH_V6, Probe, ProbeKind, ProbeRefusal},
};

fn decode(frame: &[u8]) -> Result<Probe, ProbeRefusal> {
    Probe::decode(&key(), frame, LENGTH_V4.into())
}

/// The sample with bytes behind the Ethernet header replaced, authenticated anew.
fn forged(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = sample().encode(&key(), 0).to_vec();
    frame[ETH_LEN + at..][..bytes.len()].copy_from_slice(bytes);
    let authenticator = key().authenticator(&frame[ETH_LEN..][..256]);
    frame[ETH_LEN + 256..].copy_from_slice(&authenticator);
    frame
}

#[test]
fn every_field_is_where_the_protocol_says() {
    let frame = sample().encode(&key(), 0);
    assert_eq!(frame.len(), FRAME_LEN);
    assert_eq!(frame[..14], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    assert_eq!(frame[TAG_AT..][..8], key().tag());
    let at = |offset: usize, bytes: &[u8]| {
        assert_eq!(&frame[ETH_LEN + offset..][..bytes.len()], bytes, "{offset}");
    };
    at(0, b"vxp\x01");
    at(12, &[1, 13, 0, 0]);
    // The first bytes of `printf a | sha256sum` and `printf b | sha256sum`.
    at(16, &[0xca, 0x97, 0x81, 0x12, 0xca, 0x1b, 0xbd, 0xca]);
    at(24, &[0x3e, 0x23, 0xe8, 0x16, 0x00, 0x39, 0x59, 0x4a]);
    for (offset, byte) in [(32, 0x11), (40, 0x22), (48, 0x33), (56, 0x44), (64, 0x55)] {
        at(offset, &[byte; 8]);
    }
    at(72, &[4, 64, 0, 1, 0xc3, 0x4f, 0x12, 0xb5, 1, 82, 0xb8, 0]);
    at(84, &[192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    at(100, &[198, 51, 100, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    at(116, &[0xef, 0x12, 0x34, 0x56]);
    for (offset, byte) in [(120, 0x66), (128, 0x77), (136, 0x88), (144, 0x99), (152, 0xaa)] {
        at(offset, &[byte; 8]);
    }
    at(160, &[0xbb; 8]);
    at(168, &[0xcc; 8]);
    at(176, &[0xdd, 0xdd, 0xdd, 0xdd, 0x78, 0x78, 0x78, 0x78]);
    at(184, &[0xee; 8]);
    at(192, &[0xab; 8]);
    at(200, &[0xcd; 8]);
    at(208, &[6, 61, 2, 0, 4, 1, 0x21, 0x18, 0x05, 0xdc, 3, 0]);
    at(220, &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    at(236, &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    at(252, &[0x9a; 4]);
    at(256, &key().authenticator(&frame[ETH_LEN..][..256]));
}

#[test]
fn decoding_gives_back_what_was_encoded() {
    let reply = Probe { kind: ProbeKind::Reply, as_seen: None, varies: true, ..sample() };
    for probe in [sample(), reply] {
        assert_eq!(decode(&probe.encode(&key(), 0)), Ok(probe));
    }
}

#[test]
fn lengths_are_those_of_packets_without_padding() {
    assert_eq!(usize::from(LENGTH_V4), 20 + 8 + 8 + 14 + 288);
    assert_eq!(usize::from(LENGTH_V6), 40 + 8 + 8 + 14 + 288);
}

#[test]
fn padding_counts_by_its_length_alone() {
    let mut probe = sample();
    probe.as_sent.length = LENGTH_V4 + 100;
    let mut frame = probe.encode(&key(), 100).to_vec();
    assert_eq!(frame.len(), FRAME_LEN + 100);
    assert!(frame[FRAME_LEN..].iter().all(|byte| *byte == 0));
    frame[FRAME_LEN..].fill(0xff);
    for frame in [&frame[..], &frame[..FRAME_LEN]] {
        for (length, expected) in [
            (LENGTH_V4 + 100, Ok(probe.clone())),
            (LENGTH_V4 + 99, Err(ProbeRefusal::Malformed)),
            (LENGTH_V4, Err(ProbeRefusal::Malformed)),
        ] {
            assert_eq!(Probe::decode(&key(), frame, length.into()), expected);
        }
        let beyond = u32::from(LENGTH_V4 + 100) + 0x1_0000;
        assert_eq!(Probe::decode(&key(), frame, beyond), Err(ProbeRefusal::Malformed));
    }
}

#[test]
fn what_the_key_holder_did_not_make_is_unauthenticated() {
    let frame = sample().encode(&key(), 0);
    for end in 0..FRAME_LEN {
        assert_eq!(decode(&frame[..end]), Err(ProbeRefusal::Unauthenticated), "{end} bytes");
    }
    for bit in 0..FRAME_LEN * 8 {
        let mut frame = frame.to_vec();
        frame[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode(&frame), Err(ProbeRefusal::Unauthenticated), "bit {bit}");
    }
    let other = Key::parse(&"5b".repeat(32)).expect("a key");
    let length = u32::from(LENGTH_V4);
    assert_eq!(Probe::decode(&other, &frame, length), Err(ProbeRefusal::Unauthenticated));
}

#[test]
fn what_the_key_holder_made_wrongly_is_refused() {
    use ProbeRefusal::{Malformed, Unauthenticated};
    for (at, bytes, why) in [
        (0, &b"vxq"[..], Unauthenticated),
        (3, &[2], Unauthenticated),
        (4, &[0; 8], Unauthenticated),
        (12, &[0], Malformed),
        (12, &[3], Malformed),
        (32, &[0; 8], Malformed),
        (72, &[0], Malformed),
        (72, &[5], Malformed),
        (74, &[3], Malformed),
        (80, &[0, 0], Malformed),
        (208, &[5], Malformed),
        (210, &[3], Malformed),
    ] {
        assert_eq!(decode(&forged(at, bytes)), Err(why), "{bytes:?} at {at}");
    }
}

#[test]
fn reserved_bits_are_not_looked_at() {
    for (at, bytes) in
        [(13, &[0xfd][..]), (14, &[0xff; 2]), (83, &[0xff]), (88, &[0xff; 12]), (219, &[0xff])]
    {
        assert_eq!(decode(&forged(at, bytes)), Ok(sample()), "{bytes:?} at {at}");
    }
}

/// As a sender of an earlier version writes it, to whom these fields are reserved.
#[test]
fn counters_of_no_network_are_absent() {
    let absent = Probe { network: None, networks: 0, ..sample() };
    assert_eq!(decode(&absent.encode(&key(), 0)), Ok(absent.clone()));
    assert_eq!(decode(&forged(116, &[0; 4])), Ok(absent));
}

#[test]
fn a_header_that_says_nothing_is_absent() {
    let absent = Probe { as_seen: None, ..sample() };
    assert_eq!(decode(&forged(208, &[0; 44])), Ok(absent.clone()));
    // Addresses of two families are no packet's.
    let mut mixed = sample();
    mixed.as_seen = mixed.as_seen.map(|seen| OuterHeader { source: mixed.as_sent.source, ..seen });
    assert_eq!(decode(&mixed.encode(&key(), 0)), Ok(absent));
}

#[test]
fn every_reason_has_its_word() {
    let words: Vec<_> = ProbeRefusal::ALL.iter().map(|reason| reason.label()).collect();
    let page = include_str!("../../../../docs/probe-protocol.md");
    for word in &words {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
    assert_eq!(words.len(), 6);
}
