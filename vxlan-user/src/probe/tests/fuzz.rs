//! No bytes whatever make the decoder or the association panic, and what nobody with the key has
//! made counts for nothing. `VXLAN_FUZZ_PROBES` says how many inputs there shall be.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use vxlan_common::probe::{FRAME_LEN, TAG_AT};

use super::{HONEST, Random, key};
use crate::{
    observation::{OuterHeader, UdpChecksum},
    probe::{
        Association, LENGTH_V4, NetworkCounts, Probe, ProbeKind, ProbeRefusal, RequestVerdict,
        name_id,
    },
};

fn inputs() -> u64 {
    let text = std::env::var("VXLAN_FUZZ_PROBES").unwrap_or("20000".to_owned());
    text.parse().expect("VXLAN_FUZZ_PROBES is a number")
}

fn random_header(random: &mut Random) -> OuterHeader {
    let v6 = random.flip();
    let mut socket = || {
        let bits = u128::from(random.number()) << 64 | u128::from(random.number());
        let v4 = IpAddr::from((bits as u32).to_be_bytes());
        let address = if v6 { IpAddr::from(bits.to_be_bytes()) } else { v4 };
        SocketAddr::new(address, random.number() as u16)
    };
    OuterHeader {
        source: socket(),
        destination: socket(),
        ttl: random.number() as u8,
        tos: random.number() as u8,
        length: random.number() as u16,
        checksum: [UdpChecksum::Zero, UdpChecksum::Right, UdpChecksum::Wrong][random.below(3)],
        dont_fragment: random.flip(),
    }
}

/// A number that is often one of those at which something happens.
fn number(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.number(),
        1 => u64::MAX - random.below(3) as u64,
        2 => random.below(3) as u64,
        _ => random.below(3000) as u64,
    }
}

fn random_probe(random: &mut Random) -> Probe {
    let [a, b] = ["a", "b"].map(name_id);
    let networks = if random.flip() { 0 } else { 1 + random.below(255) as u8 };
    Probe {
        kind: if random.flip() { ProbeKind::Request } else { ProbeKind::Reply },
        unsolicited: random.flip(),
        fixed: random.flip(),
        varies: random.flip(),
        size: random.flip(),
        sender: if random.below(10) == 0 { random.number().to_be_bytes() } else { a },
        receiver: if random.below(10) == 0 { a } else { b },
        session: 1 + random.number() % 5,
        token: number(random),
        offered_token: number(random),
        sequence: number(random),
        sent_at: number(random),
        as_sent: random_header(random),
        requests_sent: number(random),
        peer_session: number(random),
        requests_received: number(random),
        highest_requests_sent: number(random),
        unsolicited_received: number(random),
        data_received: number(random),
        data_sent: number(random),
        path_mtu: random.number() as u32,
        network: (networks != 0).then(|| NetworkCounts {
            vni: random.number() as u32 >> 8,
            received: random.number() as u32,
            sent: random.number() as u32,
        }),
        networks,
        echoed_session: number(random),
        echoed_sequence: number(random),
        held: number(random),
        as_seen: random.flip().then(|| random_header(random)),
    }
}

#[test]
fn random_probes_come_back_as_they_were() {
    for seed in 0..inputs() {
        let mut random = Random::new(seed);
        let probe = random_probe(&mut random);
        let padding = random.below(9) * random.below(200);
        let frame = probe.encode(&key(), padding);
        assert_eq!(frame.len(), FRAME_LEN + padding);
        let length = u32::from(probe.as_sent.length);
        assert_eq!(Probe::decode(&key(), &frame, length).as_ref(), Ok(&probe), "seed {seed}");
        let without = &frame[..FRAME_LEN];
        assert_eq!(Probe::decode(&key(), without, length).as_ref(), Ok(&probe), "seed {seed}");
        let other = length ^ 1 << random.below(32);
        assert_eq!(
            Probe::decode(&key(), &frame, other),
            Err(ProbeRefusal::Malformed),
            "seed {seed}"
        );
    }
}

#[test]
fn no_change_on_the_way_is_unnoticed() {
    for seed in 0..inputs() {
        let mut random = Random::new(seed);
        let probe = random_probe(&mut random);
        let frame = probe.encode(&key(), 0);
        let mut changed = frame.to_vec();
        for _ in 0..=random.below(4) {
            let position = random.below(changed.len());
            match random.below(4) {
                0 => changed[position] = random.number() as u8,
                1 => changed[position] ^= 1 << random.below(8),
                2 => changed.truncate(position + 1),
                _ => {
                    let end = (position + random.below(40)).min(changed.len());
                    let piece = changed[position..end].to_vec();
                    let target = random.below(changed.len());
                    changed.splice(target..target, piece);
                }
            }
        }
        if !changed.starts_with(&frame) {
            let decoded = Probe::decode(&key(), &changed, probe.as_sent.length.into());
            assert_eq!(decoded, Err(ProbeRefusal::Unauthenticated), "seed {seed}");
        }
    }
}

#[test]
fn random_bytes_are_no_probe() {
    for seed in 0..inputs() {
        let mut random = Random::new(seed);
        let mut frame = vec![0; random.below(2 * FRAME_LEN)];
        frame.fill_with(|| random.number() as u8);
        // Often with all that comes before the authenticator right.
        if random.flip() && frame.len() >= FRAME_LEN {
            let form = random_probe(&mut random).encode(&key(), 0);
            frame[..TAG_AT + 8].copy_from_slice(&form[..TAG_AT + 8]);
        }
        let decoded = Probe::decode(&key(), &frame, LENGTH_V4.into());
        assert_eq!(decoded, Err(ProbeRefusal::Unauthenticated), "seed {seed}");
    }
}

/// Authenticated, but of any content: who has the key may be broken, too.
#[test]
fn any_signed_bytes_are_survived() {
    let mut random = Random::new(1);
    let mut association = Association::new(name_id("b"), name_id("a"), 9);
    let mut now = Duration::ZERO;
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..inputs() {
        let frame = random_probe(&mut random).encode(&key(), 0);
        let mut frame = frame.to_vec();
        if random.flip() {
            let at = TAG_AT + 8 + random.below(FRAME_LEN - 32 - TAG_AT - 8);
            frame[at] = random.number() as u8;
            let authenticator = key().authenticator(&frame[14..FRAME_LEN - 32]);
            frame[FRAME_LEN - 32..].copy_from_slice(&authenticator);
        }
        let length = u16::from_be_bytes([frame[14 + 80], frame[14 + 81]]);
        let Ok(mut probe) = Probe::decode(&key(), &frame, length.into()) else {
            refused += 1;
            continue;
        };
        now = match random.below(20) {
            0 => Duration::from_nanos(number(&mut random)),
            1 => Duration::MAX,
            _ => now.saturating_add(Duration::from_millis(number(&mut random) % 1000)),
        };
        let verdict = association.request(&probe, HONEST, now, || random.number());
        if let RequestVerdict::Unproven { offered_token: Some(token) } = verdict {
            probe.token = token;
            probe.sequence = number(&mut random);
            let verdict = association.request(&probe, HONEST, now, || random.number());
            accepted += usize::from(matches!(verdict, RequestVerdict::Accepted { .. }));
        }
        let _ = association.reply(&probe, now);
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}
