//! A path that becomes narrower than the link it begins with: a router on the path says so, and
//! only what it says of a packet of ours counts.

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Ns, Wire,
    daemon::Daemon,
    inject::inject,
    lab::Side,
    packet::{Eth, Icmp, Ipv4, Packet, Udp, Vxlan},
    topology::TwoClouds,
    traffic::{PingResult, ping_with},
};

use crate::host::{logged, wait_until};

/// One side's daemon, whose overlay follows its own underlay.
fn daemon(clouds: &TwoClouds, side: Side) -> Result<Daemon> {
    let ns: &Ns = if side == Side::Gcp { &clouds.gcp } else { &clouds.aws };
    let config = side.configuration();
    let config: String = config
        .lines()
        .filter(|line| !line.starts_with("mtu"))
        .fold(String::new(), |text, line| text + line + "\n");
    Daemon::start(ns, &clouds.run, side.name(), &config)
}

fn path_mtu(daemon: &Daemon) -> Result<f64> {
    Ok(daemon.metrics()?.get("vxlan_path_mtu_bytes", &[("peer", "aws"), ("direction", "tx")]))
}

/// An inner packet of this size, once, from GCP.
fn packet(clouds: &TwoClouds, size: u32) -> Result<PingResult> {
    let (from, to) = (Side::Gcp.overlay().into(), Side::Aws.overlay().into());
    let options = format!("-s {} -M do -W 1", size - 28);
    ping_with(&clouds.gcp, Some(from), to, 1, &options)
}

/// What a router on GCP's own link says of a packet.
fn too_big(clouds: &TwoClouds, mtu: u16, quoted: Packet) -> Result<Vec<u8>> {
    too_big_quoting(clouds, mtu, &quoted, 48)
}

/// The same, where the router quotes that many bytes.
fn too_big_quoting(clouds: &TwoClouds, mtu: u16, quoted: &Packet, bytes: usize) -> Result<Vec<u8>> {
    let to = Eth::new(clouds.gcp.mac("eth0")?, clouds.gcp_router.mac("lan")?);
    let [high, low] = mtu.to_be_bytes();
    let body = [&[0, 0, high, low], &quoted.build()[..bytes]].concat();
    Ok(Packet::new()
        .with(to)
        .with(Ipv4::new([10, 0, 0, 1], TwoClouds::GCP_PRIVATE))
        .with(Icmp::new(3, 4, body))
        .build()
        .to_vec())
}

fn quoted(source: impl Into<std::net::Ipv4Addr>, port: u16, vni: u32) -> Packet {
    quoted_of(1400, source, port, vni)
}

/// Of a packet that said to be `length` long; the quotation may be shorter.
fn quoted_of(length: u16, source: impl Into<std::net::Ipv4Addr>, port: u16, vni: u32) -> Packet {
    Packet::new()
        .with(Ipv4::new(source, TwoClouds::AWS_PUBLIC).total_length(Some(length)))
        .with(Udp::new(port, 4789).length(Some(length - 20)))
        .with(Vxlan::new(vni))
        .payload(&[0; 1000])
}

#[test]
fn a_router_on_the_way_is_believed_about_our_packets() -> Result<()> {
    let clouds = TwoClouds::new(Wire::Real)?;
    let mut gcp = daemon(&clouds, Side::Gcp)?;
    let aws = daemon(&clouds, Side::Aws)?;
    wait_until("the tunnel carries a full packet", || Ok(packet(&clouds, 1410)?.all_answered()))?;
    assert_eq!(path_mtu(&gcp)?, 1460.0);

    // The link between the internet and AWS is narrower from now on.
    clouds.internet.run("ip link set aws mtu 1400")?;
    wait_until("the path is known to be narrower", || {
        packet(&clouds, 1410)?;
        Ok(path_mtu(&gcp)? == 1400.0)
    })?;
    logged(&gcp, "path MTU 1400, was 1460: 203.0.113.1 had to drop a packet")?;
    ensure!(packet(&clouds, 1350)?.all_answered(), "1350 bytes do not fit 1400");
    // The host itself knows by the route, so that it fragments what has no DF.
    let refused_here = || -> Result<()> {
        wait_until("the route has the path's MTU", || {
            Ok(clouds.gcp.run("ip route show proto 143")?.contains("mtu 1350"))
        })?;
        let refused = packet(&clouds, 1351)?;
        ensure!(refused.output.contains("mtu=1350"), "{}", refused.output);
        // Two fragments each. The answers are whole, and too long for the link.
        let received = || -> Result<f64> {
            Ok(aws.metrics()?.total("vxlan_packets_total", &[("direction", "rx")]))
        };
        let before = received()?;
        let (from, to) = (Side::Gcp.overlay().into(), Side::Aws.overlay().into());
        ping_with(&clouds.gcp, Some(from), to, 3, "-s 1380 -M dont -i 0.02 -W 1")?;
        wait_until("fragments arrive", || Ok(received()? >= before + 6.0))
    };
    refused_here()?;
    let table = gcp.vxlan(&["show", "peers"])?.stdout;
    ensure!(table.contains(" 1400 "), "{table}");

    // A start knows what the previous one did: nothing has to be lost on the way once more.
    for end in [Daemon::terminate, Daemon::kill] {
        end(&mut gcp)?;
        gcp.launch()?;
        assert_eq!(path_mtu(&gcp)?, 1400.0);
        refused_here().context("after a restart")?;
    }

    // A change on the host that has it look again makes nothing wider.
    clouds.gcp.run("ip route add 192.0.2.0/24 via 10.0.0.1")?;
    clouds.gcp.run("ip link set eth0 mtu 1450")?;
    logged(&gcp, "MTU of vxlan43: 1400, was 1410")?;
    assert_eq!(path_mtu(&gcp)?, 1400.0);

    // Whoever does not know what we send has no say; the last one does, and is heard last.
    let private = TwoClouds::GCP_PRIVATE;
    let messages = [
        too_big(&clouds, 600, quoted([10, 0, 0, 3], 50_000, 43))?,
        too_big(&clouds, 610, quoted(private, 1024, 43))?,
        too_big(&clouds, 620, quoted(private, 50_000, 44))?,
        // What RFC 792 asks for, which anyone can guess.
        too_big_quoting(&clouds, 630, &quoted(private, 50_000, 43), 28)?,
        too_big(&clouds, 1401, quoted(private, 50_000, 43))?,
        // It would have fitted.
        too_big(&clouds, 1200, quoted_of(1200, private, 50_000, 43))?,
        // Longer than what is sent on this path.
        too_big(&clouds, 1340, quoted_of(1401, private, 50_000, 43))?,
        // Of another flow than the port is that of.
        too_big_quoting(&clouds, 1345, &quoted(private, 50_000, 43), 300)?,
        too_big(&clouds, 1350, quoted(private, 50_000, 43))?,
    ];
    inject(&clouds.gcp_router, "lan", &messages, messages.len() as u64)?;
    wait_until("the last one is heard", || Ok(path_mtu(&gcp)? != 1400.0))?;
    assert_eq!(path_mtu(&gcp)?, 1350.0);
    logged(&gcp, "path MTU 1350, was 1400: 10.0.0.1 had to drop a packet")?;
    // Without a key nobody makes a path too narrow for an inner packet of 1280 bytes.
    let least = too_big(&clouds, 68, quoted_of(1340, private, 50_000, 43))?;
    inject(&clouds.gcp_router, "lan", &[least], 1)?;
    wait_until("the least is heard", || Ok(path_mtu(&gcp)? == 1330.0))?;
    logged(&gcp, "10.0.0.1 reports an MTU of 68, and anyone could do that")?;
    ensure!(packet(&clouds, 1280)?.all_answered(), "1280 bytes have no path");
    assert_eq!(gcp.log().matches("path MTU").count(), 2, "{}", gcp.log());
    gcp.stop()?;
    aws.stop()
}
