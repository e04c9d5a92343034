//! An underlay of IPv6: ours with ours, and ours with a kernel vxlan device, which must take UDP
//! without a checksum there (`udp6zerocsumrx`) and may send it with or without one.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Ns, Pair, Wire,
    daemon::Daemon,
    sniff::Sniffer,
    traffic::ping_with,
    two_hosts::{Family, OVERLAY, Side, Tunnel, TwoHosts as _, VNI},
    wait::wait_until,
};

use crate::{
    far_end::FarEnd,
    ledger::{Ledger, Merging},
    meter::{Meter, Network, Reading, quiet},
};

const BYTES: u64 = 50 << 20;
/// 1500 less the outer headers: Ethernet 14, IPv6 40, UDP 8, VXLAN 8.
const MTU: u32 = 1430;
const PATIENCE: Duration = Duration::from_secs(10);

/// Keys of the peer are all that differs.
fn tunnel(peer: &str) -> Tunnel<'_> {
    Tunnel { outer: Family::V6, inner: &Family::BOTH, underlay: "", peer }
}

fn wire() -> Result<Pair> {
    Pair::counted(Family::V6, Wire::Real)
}

/// What an IPv6 host says about its own link by itself is refused, and that is all that may be.
fn chatter(reading: &Reading) -> Vec<(&'static str, u64)> {
    ["tx no_route", "rx inner_protocol_denied"]
        .map(|reason| (reason, reading.drops.get(reason).copied().unwrap_or_default()))
        .to_vec()
}

/// Pings with full frames, and bulk TCP, both ways, in both families; `settle` after each.
fn traffic(pair: &Pair, settle: impl Fn(Merging) -> Result<()>) -> Result<()> {
    for (family, how) in [(Family::V4, Merging::TCP4), (Family::V6, Merging::TCP6)] {
        for from in Side::BOTH {
            pair.ping(from, family, 10)?;
            let (own, to) = (from.overlay(family), from.other().overlay(family));
            let options = format!("-i 0.02 -W 2 -M do -s {}", MTU - family.echo_headers());
            let full = ping_with(pair.ns(from), Some(own), to, 3, &options)?;
            ensure!(full.all_answered(), "full frames from {own}: {}", full.output);
            settle(Merging::None)?;
        }
        for from in Side::BOTH {
            pair.transfer(from, family, BYTES)?;
            settle(how)?;
        }
    }
    Ok(())
}

/// Does the overlay interface have this MTU?
fn mtu_is(ns: &Ns, mtu: u32) -> Result<bool> {
    Ok(ns.run(&format!("ip -o link show {OVERLAY}"))?.contains(&format!(" mtu {mtu} ")))
}

fn has_mtu(ns: &Ns) -> Result<()> {
    ensure!(mtu_is(ns, MTU)?, "not MTU {MTU}");
    let offloads = ns.run(&format!("ethtool -k {OVERLAY}"))?;
    for offload in ["tcp-segmentation-offload: on", "generic-segmentation-offload: on"] {
        ensure!(offloads.contains(offload), "not {offload}: {offloads}");
    }
    Ok(())
}

#[test]
fn ours_and_ours() -> Result<()> {
    let pair = wire()?;
    let start = |end: Side| -> Result<(Daemon, Meter)> {
        let ns = pair.ns(end);
        let daemon = Daemon::start(ns, &pair.run, end.name(), &tunnel("").config(end))?;
        has_mtu(ns)?;
        Ok((daemon, Meter::new(ns, &[(OVERLAY, VNI)])?))
    };
    let (a, b) = (start(Side::A)?, start(Side::B)?);
    let read = || quiet(|| Ok([a.1.read(&a.0)?, b.1.read(&b.0)?]));
    let before = std::cell::RefCell::new(read()?);
    traffic(&pair, |how| {
        let now = read()?;
        let old = before.replace(now.clone());
        let change = [now[0].since(&old[0]), now[1].since(&old[1])];
        let network = |at: usize| -> Network { change[at].networks[&VNI] };
        let mut ledger = Ledger::default();
        for (at, reading) in change.iter().enumerate() {
            ledger.host(["a", "b"][at], reading, &chatter(reading), how);
            ledger.equal("refused by ours from ours", reading.dropped("rx"), 0);
            ledger.equal("packets across", network(at).tx, network(1 - at).rx);
            ledger.equal("bytes across", network(at).tx_bytes, network(1 - at).rx_bytes);
        }
        ledger.close(&format!("{change:?}"))
    })
}

/// `options` say whether the kernel sends a UDP checksum.
fn ours_and_the_kernels(options: &str, has_checksum: bool) -> Result<()> {
    let pair = wire()?;
    let tunnel = tunnel(Tunnel::TO_KERNEL);
    let daemon = Daemon::start(&pair.a, &pair.run, "ours", &tunnel.config(Side::A))?;
    has_mtu(&pair.a)?;
    tunnel.kernel(Side::B, OVERLAY).mtu(MTU).options(options).create(&pair.b)?;
    let meter = Meter::new(&pair.a, &[(OVERLAY, VNI)])?;
    checksums_are(&pair, has_checksum)?;
    let read = || quiet(|| Ok((meter.read(&daemon)?, FarEnd::read(&pair.b, OVERLAY)?)));
    let before = std::cell::RefCell::new(read()?);
    traffic(&pair, |how| {
        let now = read()?;
        let old = before.replace((now.0.clone(), now.1));
        let (ours, far) = (now.0.since(&old.0), now.1.since(&old.1));
        let mut ledger = Ledger::default();
        ledger.host("ours", &ours, &chatter(&ours), how);
        far.check(&mut ledger, &ours.networks[&VNI], ours.dropped("rx"), Wire::Real, how);
        ledger.close(&format!("{ours:?}, {far:?}"))
    })
}

/// On the wire: ours sends zero, the kernel what it was told to.
fn checksums_are(pair: &Pair, kernel_has_one: bool) -> Result<()> {
    let icmp = |frame: &[u8]| {
        // VXLAN over IPv6, with ICMP in IPv4 inside.
        let outer = frame[12..14] == [0x86, 0xdd] && frame.get(56..58) == Some(&[0x12, 0xb5]);
        outer && frame.get(93) == Some(&1)
    };
    let wire = Sniffer::start(&pair.b, "eth0", icmp)?;
    pair.ping(Side::A, Family::V4, 1)?;
    wire.wait_until(PATIENCE, |frames| frames.len() >= 2);
    let frames = wire.finish()?.frames;
    for outgoing in [false, true] {
        let captured = frames.iter().find(|captured| captured.outgoing == outgoing);
        let udp = &captured.context("not both an echo and its answer on the wire")?.frame[54..62];
        let expected = outgoing && kernel_has_one;
        ensure!((udp[6..8] != [0, 0]) == expected, "by the kernel: {outgoing}, UDP {udp:02x?}");
    }
    Ok(())
}

#[test]
fn ours_and_the_kernels_with_udp_checksums() -> Result<()> {
    ours_and_the_kernels("udp6zerocsumrx", true)
}

#[test]
fn ours_and_the_kernels_without_udp_checksums() -> Result<()> {
    ours_and_the_kernels("udp6zerocsumrx udp6zerocsumtx", false)
}

#[test]
fn the_overlay_follows_the_mtu_of_the_underlay() -> Result<()> {
    let pair = wire()?;
    let daemon = Daemon::start(&pair.a, &pair.run, "ours", &tunnel("").config(Side::A))?;
    for mtu in [1400, 1490, 1500] {
        pair.a.run(&format!("ip link set eth0 mtu {mtu}"))?;
        wait_until("the MTU follows", PATIENCE, || mtu_is(&pair.a, mtu - 70))
            .with_context(|| format!("underlay {mtu}:\n{}", daemon.log()))?;
    }
    Ok(())
}
