//! Two hosts of ours that share two networks with the same inner addresses and MAC addresses, and
//! in both at once, in both directions, TCP streams of the same addresses and ports: not one byte
//! crosses.
//!
//! Sequence numbers keep TCP itself from taking a stray segment, so a capture on each overlay
//! interface looks at every byte of payload: its lowest bit says in which network it was sent.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Ns, Pair, Wire,
    daemon::Daemon,
    sniff::Sniffer,
    traffic::{StreamEnd, Transfer, tcp_stream},
    two_hosts::Family,
    wait::joined,
};

use crate::{
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

/// The lowest bit of a VNI is the lowest bit of each byte that is sent in it.
const VNIS: [u32; 2] = [43, 44];
const OVERLAYS: [&str; 2] = ["vxlan43", "vxlan44"];
const BYTES: u64 = 32 << 20;

fn configuration(own: u8, peer: u8, tag: &str) -> Config {
    let (address, prefix) = (format!("192.168.50.{own}/24"), format!("192.168.50.{peer}/32"));
    let node = Config::new(&format!("node{own}"))
        .set("address", format!("203.0.113.{own}"))
        .set("tag", tag)
        .peer("twin", format!("203.0.113.{peer}"));
    // One table cannot hold the same route twice.
    let networks = VNIS.into_iter().zip(OVERLAYS).zip(["main", "off"]);
    networks.fold(node, |node, ((vni, overlay), table)| {
        node.network(vni, overlay, &[&address]).set("route_table", table).member("twin", &[&prefix])
    })
}

struct Twin {
    daemon: Daemon,
    meter: Meter,
}

impl Twin {
    fn start(pair: &Pair, ns: &Ns, own: u8, tag: &str) -> Result<Self> {
        let config = configuration(own, 3 - own, tag);
        let mut daemon = Daemon::start(ns, &pair.run, &format!("node{own}"), &config)?;
        // One MAC address in both networks.
        daemon.restart_with_mac(OVERLAYS[1], ns.mac(OVERLAYS[0])?)?;
        let meter = Meter::new(ns, &[(OVERLAYS[0], VNIS[0]), (OVERLAYS[1], VNIS[1])])?;
        Ok(Self { daemon, meter })
    }

    fn read(&self) -> Result<Reading> {
        self.meter.read(&self.daemon)
    }
}

/// Looks at all TCP that an overlay interface receives; what it sends goes another way.
struct Watch {
    /// Keeps what has a byte of another network.
    sniffer: Sniffer,
    /// Bytes of payload seen.
    payload: Arc<AtomicU64>,
}

impl Watch {
    fn start(ns: &Ns, interface: &str, vni: u32) -> Result<Self> {
        let payload = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&payload);
        let sniffer = Sniffer::start(ns, interface, move |frame| {
            let bytes = tcp_payload(frame).unwrap_or_default();
            seen.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            bytes.iter().any(|byte| byte & 1 != vni as u8 & 1)
        })?;
        Ok(Self { sniffer, payload })
    }

    /// Nothing of another network, and all of its own.
    fn finish(self, name: &str, at_least: u64) -> Result<()> {
        let capture = self.sniffer.finish()?;
        ensure!(capture.lost == 0, "{name}: the capture was too slow");
        ensure!(capture.frames.is_empty(), "{name}: {} foreign frames", capture.frames.len());
        let seen = self.payload.load(Ordering::Relaxed);
        ensure!(seen >= at_least, "{name}: {seen} of {at_least} bytes seen");
        Ok(())
    }
}

fn tcp_payload(frame: &[u8]) -> Option<&[u8]> {
    let ip = frame.get(14..)?;
    let segment = ip.get(usize::from(ip.first()? & 0x0f) * 4..)?;
    let is_tcp = frame[12..14] == [8, 0] && ip.get(9) == Some(&6);
    segment.get(usize::from(segment.get(12)? >> 4) * 4..).filter(|_| is_tcp)
}

/// A stream, and when it began and ended.
type Timed = (Transfer, Instant, Instant);

/// Streams in both networks and both directions, all at the same time.
fn streams(pair: &Pair) -> Result<Vec<Timed>> {
    let at = |ns, host: u8, port: u16, device| StreamEnd {
        ns,
        address: SocketAddr::from(([192, 168, 50, host], port)),
        device,
    };
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (vni, device) in VNIS.into_iter().zip(OVERLAYS) {
            let (a, b) = (&pair.a, &pair.b);
            let forth = (at(a, 1, 5001, device), at(b, 2, 5002, device));
            let back = (at(b, 2, 5003, device), at(a, 1, 5004, device));
            for (direction, (client, server)) in [forth, back].into_iter().enumerate() {
                let seed = u64::from(vni) + 1000 * direction as u64;
                threads.push(scope.spawn(move || -> Result<Timed> {
                    let start = Instant::now();
                    let transfer = tcp_stream(client, server, seed, BYTES)?;
                    Ok((transfer, start, Instant::now()))
                }));
            }
        }
        threads.into_iter().map(|thread| joined(thread.join())).collect()
    })
}

fn not_one_byte_crosses(tag: &str) -> Result<()> {
    let pair = Pair::counted(Family::V4, Wire::Real)?;
    let twins = [Twin::start(&pair, &pair.a, 1, tag)?, Twin::start(&pair, &pair.b, 2, tag)?];
    let read = || quiet(|| Ok([twins[0].read()?, twins[1].read()?]));
    let before = read()?;
    let mut watches = Vec::new();
    for ns in [&pair.a, &pair.b] {
        for (vni, interface) in VNIS.into_iter().zip(OVERLAYS) {
            let name = format!("{interface} in {}", ns.name());
            watches.push((name, Watch::start(ns, interface, vni)?));
        }
    }

    let streams = streams(&pair)?;
    for (transfer, ..) in &streams {
        ensure!(transfer.intact() && transfer.bytes == BYTES, "{tag}: {transfer:?}");
    }
    let began = streams.iter().map(|(_, start, _)| *start).max();
    let ended = streams.iter().map(|(.., end)| *end).min();
    ensure!(began < ended, "{tag}: the streams were not there at the same time");

    let now = read()?;
    let [a, b] = [now[0].since(&before[0]), now[1].since(&before[1])];
    let mut ledger = Ledger::default();
    ledger.host("a", &a, &[], Merging::TCP4);
    ledger.host("b", &b, &[], Merging::TCP4);
    for vni in VNIS {
        let (a, b) = (a.networks[&vni], b.networks[&vni]);
        ledger.equal(&format!("VNI {vni}: packets from a"), a.tx, b.rx);
        ledger.equal(&format!("VNI {vni}: packets from b"), b.tx, a.rx);
        ledger.equal(&format!("VNI {vni}: bytes from a"), a.tx_bytes, b.rx_bytes);
        ledger.equal(&format!("VNI {vni}: bytes from b"), b.tx_bytes, a.rx_bytes);
        // Else GRO had nothing to mix up.
        ensure!(a.delivered < a.rx / 2 && b.delivered < b.rx / 2, "{tag}: hardly merged: {a:?}");
    }
    ledger.close(&format!("{tag}: {a:?}, {b:?}"))?;
    for (name, watch) in watches {
        watch.finish(&name, BYTES)?;
    }
    println!("{tag}: {a:?}");
    Ok(())
}

#[test]
fn not_one_byte_crosses_with_tags_in_metadata() -> Result<()> {
    not_one_byte_crosses("metadata")
}

#[test]
fn not_one_byte_crosses_with_tags_in_the_mac_address() -> Result<()> {
    not_one_byte_crosses("mac")
}
