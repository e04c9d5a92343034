//! The tests of this room, and what they share: two hosts, a probe with everything in it, and numbers
//! that are random but the same every time.

mod key;
mod path_search;
mod wire;

use std::net::SocketAddr;

use super::{Checksum, Header, Key, Kind, LENGTH_V4, Probe, name_id};

fn key() -> Key {
    Key::parse(&"5a".repeat(32)).expect("64 digits")
}

/// xorshift64: a fixed seed, so that a failure happens again.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    fn flip(&mut self) -> bool {
        self.number() & 0x10 != 0
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

/// A request with something else in every field.
fn sample() -> Probe {
    let as_sent = Header {
        source: socket("192.0.2.1:49999"),
        destination: socket("198.51.100.2:4789"),
        ttl: 64,
        tos: 0xb8,
        length: LENGTH_V4,
        checksum: Checksum::Zero,
        dont_fragment: true,
    };
    Probe {
        kind: Kind::Request,
        unsolicited: true,
        varies: false,
        size: true,
        sender: name_id("a"),
        receiver: name_id("b"),
        session: 0x1111_1111_1111_1111,
        token: 0x2222_2222_2222_2222,
        offered_token: 0x3333_3333_3333_3333,
        sequence: 0x4444_4444_4444_4444,
        sent_at: 0x5555_5555_5555_5555,
        as_sent,
        requests_sent: 0x6666_6666_6666_6666,
        peer_session: 0x7777_7777_7777_7777,
        requests_received: 0x8888_8888_8888_8888,
        highest_requests_sent: 0x9999_9999_9999_9999,
        unsolicited_received: 0xaaaa_aaaa_aaaa_aaaa,
        data_received: 0xbbbb_bbbb_bbbb_bbbb,
        data_sent: 0xcccc_cccc_cccc_cccc,
        path_mtu: 0xdddd_dddd,
        echoed_session: 0xeeee_eeee_eeee_eeee,
        echoed_sequence: 0xabab_abab_abab_abab,
        held: 0xcdcd_cdcd_cdcd_cdcd,
        as_seen: Some(Header {
            source: socket("[2001:db8::1]:1025"),
            destination: socket("[2001:db8::2]:8472"),
            ttl: 61,
            tos: 3,
            length: 1500,
            checksum: Checksum::Wrong,
            dont_fragment: false,
        }),
    }
}
