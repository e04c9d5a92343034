//! How many stations may be learned behind a member, and how they are counted: `LEARNED` by the
//! program, `FORGOTTEN` by the daemon.

use aya::maps::{Array, HashMap, MapData};
use vxlan_common::{
    addr::Mac as Key,
    table::{FdbEntry, FdbKey, MemberState},
};

use crate::prelude::*;

fn station(n: u8) -> Mac {
    [2, 0, 0, 1, 0, n]
}

fn of_four() -> Bench {
    Bench::new(&gcp(PUBLIC).replace("vni = 43", "vni = 43\nmax_stations = 4"), GCP)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Aws,
    Office,
}
use Behind::{Aws, Office};

impl Behind {
    const fn name(self) -> &'static str {
        match self {
            Aws => "aws",
            Office => "office",
        }
    }
}

/// A frame from a station behind a member, which is delivered whether it is learned or not.
#[track_caller]
fn sends(bench: &mut Bench, from: Behind, mac: Mac) {
    let frame = |source: Ipv4Addr| {
        Packet::new()
            .with(Eth::new(GCP_MAC, mac))
            .with(Ipv4::new(source, GCP_HOST))
            .with(Icmp::echo_request(1, 1))
    };
    let packet = match from {
        Aws => from_aws(&frame(AWS_HOST)),
        Office => from_office(&frame(OFFICE_HOST)),
    };
    let outcome = bench.run(Program::Decap, Context::DEFAULT, &packet.build());
    assert_eq!(outcome.verdict, XDP_PASS, "{:?}", outcome.deltas);
    assert_eq!(
        outcome.bytes[16..],
        frame(if from == Aws { AWS_HOST } else { OFFICE_HOST }).build()
    );
}

/// Stations of a member in the table, which are these, and as many as are counted.
#[track_caller]
fn has(bench: &mut Bench, from: Behind, wanted: &[u8]) {
    let member = bench.member(Who::Member(from.name(), VNI));
    let map = bench.plane.maps().map_mut("FDB").expect("is a map");
    let fdb: HashMap<&mut MapData, FdbKey, FdbEntry> = map.try_into().expect("is a hash");
    let learned = fdb.iter().map(|entry| entry.expect("can be read"));
    let mut learned: Vec<_> = learned
        .filter(|(_, entry)| entry.member == member && entry.flags & FdbEntry::STATIC == 0)
        .map(|(key, _)| key.mac.octets())
        .collect();
    learned.sort_unstable();
    let wanted: Vec<_> = wanted.iter().map(|n| station(*n)).collect();
    assert_eq!(learned, wanted, "{}", from.name());
    let map = bench.plane.maps().map_mut("LEARNED").expect("is a map");
    let counts: Array<&mut MapData, MemberState> = map.try_into().expect("is an array");
    let stations = counts.get(&member, 0).expect("is in range").stations;
    let forgotten = forgotten(bench, member);
    assert_eq!(stations.wrapping_sub(forgotten), wanted.len() as u64, "{}", from.name());
}

fn forgotten(bench: &mut Bench, member: u32) -> u64 {
    let map = bench.plane.maps().map_mut("FORGOTTEN").expect("is a map");
    let counts: Array<&mut MapData, u64> = map.try_into().expect("is an array");
    counts.get(&member, 0).expect("is in range")
}

/// As the daemon does: out of the table first, then the count.
fn forget(bench: &mut Bench, from: Behind, n: u8) {
    let key = FdbKey { ifindex: 1, mac: Key::new(station(n)) };
    let map = bench.plane.maps().map_mut("FDB").expect("is a map");
    let mut fdb: HashMap<&mut MapData, FdbKey, FdbEntry> = map.try_into().expect("is a hash");
    fdb.remove(&key).expect("was there");
    let member = bench.member(Who::Member(from.name(), VNI));
    let count = forgotten(bench, member) + 1;
    let map = bench.plane.maps().map_mut("FORGOTTEN").expect("is a map");
    let mut counts: Array<&mut MapData, u64> = map.try_into().expect("is an array");
    counts.set(member, count, 0).expect("is in range");
    // A station that has just sent is looked up anew when the daemon's clock has moved on.
    bench.seconds_pass(1);
}

#[test]
fn no_more_than_the_network_allows() {
    let mut bench = of_four();
    for n in 1..=4 {
        sends(&mut bench, Aws, station(n));
        has(&mut bench, Aws, &[1, 2, 3, 4][..usize::from(n)]);
    }
    for _ in 0..2 {
        for n in [5, 1, 6, 4, 5] {
            sends(&mut bench, Aws, station(n));
            has(&mut bench, Aws, &[1, 2, 3, 4]);
        }
    }
    has(&mut bench, Office, &[]);
    for n in [5, 6, 7, 8, 9] {
        sends(&mut bench, Office, station(n));
    }
    has(&mut bench, Office, &[5, 6, 7, 8]);
    has(&mut bench, Aws, &[1, 2, 3, 4]);
}

/// A declared station does not count towards the limit of learned ones.
#[test]
fn declared_stations_are_not_counted() {
    let mut bench = of_four();
    sends(&mut bench, Office, OFFICE_MAC);
    sends(&mut bench, Aws, OFFICE_MAC);
    has(&mut bench, Office, &[]);
    has(&mut bench, Aws, &[]);
    for n in 1..=5 {
        sends(&mut bench, Office, station(n));
        sends(&mut bench, Office, OFFICE_MAC);
    }
    has(&mut bench, Office, &[1, 2, 3, 4]);
}

#[test]
fn stations_that_move_are_counted_where_they_are() {
    let mut bench = of_four();
    for n in 1..=4 {
        sends(&mut bench, Aws, station(n));
    }
    bench.seconds_pass(10);
    sends(&mut bench, Office, station(2));
    has(&mut bench, Aws, &[1, 3, 4]);
    has(&mut bench, Office, &[2]);
    // Another station takes the free entry, and then the moved one cannot come back.
    sends(&mut bench, Aws, station(5));
    has(&mut bench, Aws, &[1, 3, 4, 5]);
    bench.seconds_pass(10);
    sends(&mut bench, Aws, station(2));
    has(&mut bench, Aws, &[1, 3, 4, 5]);
    has(&mut bench, Office, &[2]);
    sends(&mut bench, Office, station(5));
    has(&mut bench, Office, &[2, 5]);
    bench.seconds_pass(10);
    sends(&mut bench, Aws, station(2));
    has(&mut bench, Aws, &[1, 2, 3, 4]);
    has(&mut bench, Office, &[5]);
    for _ in 0..3 {
        bench.seconds_pass(10);
        sends(&mut bench, Office, station(1));
        bench.seconds_pass(10);
        sends(&mut bench, Aws, station(1));
    }
    has(&mut bench, Aws, &[1, 2, 3, 4]);
    has(&mut bench, Office, &[5]);
}

#[test]
fn what_the_daemon_forgets_makes_room() {
    let mut bench = of_four();
    for n in 1..=5 {
        sends(&mut bench, Aws, station(n));
    }
    forget(&mut bench, Aws, 1);
    has(&mut bench, Aws, &[2, 3, 4]);
    sends(&mut bench, Aws, station(5));
    has(&mut bench, Aws, &[2, 3, 4, 5]);
    sends(&mut bench, Aws, station(1));
    has(&mut bench, Aws, &[2, 3, 4, 5]);
    for n in 2..=5 {
        forget(&mut bench, Aws, n);
    }
    has(&mut bench, Aws, &[]);
    for n in [9, 8, 7, 6, 5] {
        sends(&mut bench, Aws, station(n));
    }
    has(&mut bench, Aws, &[6, 7, 8, 9]);
    has(&mut bench, Office, &[]);
}

/// The daemon may count one that was taken out before the program has counted it: that is none, not
/// more than any member may have.
#[test]
fn a_count_that_is_ahead_closes_nothing() {
    let mut bench = of_four();
    let member = bench.member(AWS_43);
    let map = bench.plane.maps().map_mut("FORGOTTEN").expect("is a map");
    let mut counts: Array<&mut MapData, u64> = map.try_into().expect("is an array");
    counts.set(member, 1, 0).expect("is in range");
    sends(&mut bench, Aws, station(1));
    let fdb = bench.run(Program::Decap, Context::DEFAULT, &from_aws(&ping()).build()).fdb;
    assert_eq!(fdb.get(&(1, station(1))), Some(&member));
}
