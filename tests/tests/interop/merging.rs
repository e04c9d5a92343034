//! GRO merges packets of one flow, and two networks may have the same flow: same MAC addresses,
//! same inner addresses and ports, and a sequence number that fits. These frames are made to fit.

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Pair, Wire,
    conserve::NftCounter,
    daemon::Daemon,
    inject::inject,
    packet::{Eth, Ipv4, Packet, Tcp, Udp, Vxlan, fields},
    sniff::Sniffer,
    wait::wait_until,
};

use crate::{
    ledger::{Ledger, Merging},
    meter::{Meter, quiet},
};

const ONE: u32 = 43;
const TWO: u32 = 44;
const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
const PAYLOAD: usize = 100;
/// Fewer than the kernel merges into one frame at most (17 and the first).
const FRAMES: u32 = 12;
/// How long the kernel holds a flow back for more of it, in nanoseconds.
const HOLD: &str = "100000000";

fn configuration(tag: &str) -> Config {
    Config::new("near")
        .set("address", "203.0.113.1")
        .set("tag", tag)
        .peer("far", "203.0.113.2")
        .network(ONE, "vxlan43", &["192.168.50.1/24"])
        .member("far", &["192.168.50.2/32"])
        .network(TWO, "vxlan44", &["192.168.50.1/24"])
        .member("far", &["192.168.50.2/31"])
}

/// Segment `number` of one and the same flow, in this network. Its payload tells the network.
fn segment(pair: &Pair, inner_mac: [u8; 6], vni: u32, number: u32) -> Result<Vec<u8>> {
    let packet = Packet::new()
        .with(Eth::new(pair.a.mac("eth0")?, pair.b.mac("eth0")?))
        .with(Ipv4::new([203, 0, 113, 2], [203, 0, 113, 1]))
        .with(Udp::vxlan(50_000))
        .with(Vxlan::new(vni))
        .with(Eth::new(inner_mac, FAR_MAC))
        .with(Ipv4::new([192, 168, 50, 2], [192, 168, 50, 1]))
        .with(Tcp::new(5001, 5002).seq(1 + number * PAYLOAD as u32))
        .payload(&[vni as u8; PAYLOAD]);
    Ok(packet.build().to_vec())
}

/// The payloads of TCP frames.
fn payloads(frames: &[vxlan_tests::sniff::Captured]) -> Vec<Vec<u8>> {
    let payload = |frame: &[u8]| {
        let found = fields(frame);
        let field = found.iter().find(|field| field.name == "payload")?;
        Some(frame[field.range.clone()].to_vec())
    };
    frames.iter().filter_map(|captured| payload(&captured.frame)).collect()
}

/// Sends segments 0, 1, 2 … in turn into these networks, and hands back what each gets.
fn deliver(tag: &str, turns: &[u32]) -> Result<[Vec<Vec<u8>>; 2]> {
    let pair = Pair::new(Wire::Real)?;
    pair.static_neighbours()?;
    let mut near = Daemon::start(&pair.a, &pair.run, "near", &configuration(tag))?;
    // One MAC address in both networks.
    let mac = pair.a.mac("vxlan43")?;
    near.restart_with_mac("vxlan44", mac)?;
    // Behind GRO and our programs, ahead of TCP, which would answer.
    pair.a.run_with_input(
        "nft -f -",
        "table ip quiet {
            chain c {
                type filter hook prerouting priority -400;
                tcp dport 5002 drop
            }
        }",
    )?;
    // /sys shows the devices of the namespace it was mounted in, so a mount of its own is needed.
    pair.a.run_with_input(
        "unshare --mount sh -e",
        &format!(
            "mount -t sysfs sysfs /sys
            echo {HOLD} > /sys/class/net/eth0/gro_flush_timeout"
        ),
    )?;
    let meter = Meter::new(&pair.a, &[("vxlan43", ONE), ("vxlan44", TWO)])?;
    let before = quiet(|| meter.read(&near))?;
    let sniffers = [Sniffer::start(&pair.a, "vxlan43", |_| true)?, {
        Sniffer::start(&pair.a, "vxlan44", |_| true)?
    }];
    let arrived = NftCounter::ingress(&pair.a, "eth0", "")?;
    let frames: Vec<Vec<u8>> = (0..)
        .zip(turns.iter().cycle())
        .take(FRAMES as usize)
        .map(|(number, vni)| segment(&pair, mac, *vni, number))
        .collect::<Result<_>>()?;
    inject(&pair.b, "eth0", &frames, u64::from(FRAMES))?;
    let whole = |sniffer: &Sniffer| -> usize {
        payloads(&sniffer.wait_for(0, Duration::ZERO)).iter().map(Vec::len).sum()
    };
    wait_until("all of the payload is delivered", Duration::from_secs(5), || {
        Ok(sniffers.iter().map(whole).sum::<usize>() >= FRAMES as usize * PAYLOAD)
    })?;
    ensure!(arrived.packets()? <= u64::from(FRAMES));

    let change = quiet(|| meter.read(&near))?.since(&before);
    let mut ledger = Ledger::default();
    ledger.host("near", &change, &[], Merging::Headers(14 + 20 + 20));
    for vni in [ONE, TWO] {
        let sent = (0..FRAMES as usize).filter(|n| turns[n % turns.len()] == vni).count() as u64;
        let received = change.networks.get(&vni).map_or(0, |network| network.rx);
        ledger.equal(&format!("VNI {vni}: received"), received, sent);
    }
    ledger.close(&format!("{change:?}"))?;
    let [one, two] = sniffers.map(Sniffer::finish);
    Ok([payloads(&one?.frames), payloads(&two?.frames)])
}

#[test]
fn gro_never_merges_two_networks() -> Result<()> {
    for tag in ["metadata", "mac"] {
        // Does it merge at all here? All in one network must come as one frame.
        let [alone, none] = deliver(tag, &[ONE])?;
        let lengths: Vec<usize> = alone.iter().map(Vec::len).collect();
        ensure!(lengths == [FRAMES as usize * PAYLOAD], "{tag}: not merged: {lengths:?}");
        ensure!(none.is_empty(), "{tag}: {none:?}");

        let both = deliver(tag, &[ONE, TWO])?;
        for (payloads, vni) in both.iter().zip([ONE, TWO]) {
            let expected = vec![vec![vni as u8; PAYLOAD]; FRAMES as usize / 2];
            ensure!(*payloads == expected, "{tag}, VNI {vni}: {payloads:02x?}");
        }
    }
    Ok(())
}
