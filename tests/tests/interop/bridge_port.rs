//! The overlay interface as a port of a bridge: a host behind the bridge and the far end, a stock
//! kernel device, are on one link.

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Pair, Wire,
    daemon::Daemon,
    inject::inject,
    netns::Netns,
    packet::{Arp, BROADCAST, Eth, Ipv4, Packet, Udp},
    sniff::Sniffer,
    traffic::ping,
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(20);
const FAR: &str = "192.168.43.130";
const FAR6: &str = "2001:db8:43::1:2";
const NEAR: &str = "192.168.43.7";
const NEAR6: &str = "2001:db8:43::7";

struct Bridged {
    daemon: Daemon,
    /// The host behind the bridge.
    host: Netns,
    /// Last: it must outlive the others.
    pair: Pair,
}

impl Bridged {
    fn new(xdp: &str, keys: &str) -> Result<Self> {
        let pair = Pair::new(Wire::Real)?;
        let config = Config::new("site")
            .set("xdp", xdp)
            .peer("far", pair.b_address)
            .set("source_port", "any")
            .section("[[network]]")
            .lines("vni = 43")
            .set("interface", "vxlan43")
            .list("local_ips", &["192.168.43.0/25", "2001:db8:43::/112"])
            .lines(keys)
            .member("far", &["192.168.43.128/25", "2001:db8:43::1:0/112"]);
        let daemon = Daemon::start(&pair.a, &pair.run, "site", &config)?;
        let (local, remote) = (pair.b_address, pair.a_address);
        for line in [
            format!("ip link add vx0 type vxlan id 43 local {local} remote {remote} dstport 4789"),
            "ip link set vx0 up".to_owned(),
            format!("ip addr add {FAR}/24 dev vx0"),
            format!("ip addr add {FAR6}/64 dev vx0"),
        ] {
            pair.b.run(&line)?;
        }
        let host = pair.run.netns("host")?;
        for line in [
            "ip link add br0 type bridge",
            "ip link set br0 mtu 1450 up",
            "ip link set vxlan43 master br0",
            &format!("ip link add p1 type veth peer name eth0 netns {}", host.name()),
            "ip link set p1 mtu 1450 master br0 up",
        ] {
            pair.a.run(line)?;
        }
        host.run("ip link set eth0 mtu 1450 up")?;
        host.run(&format!("ip addr add {NEAR}/24 dev eth0"))?;
        host.run(&format!("ip addr add {NEAR6}/64 dev eth0"))?;
        Ok(Self { daemon, host, pair })
    }

    fn drops(&self, reason: &str) -> Result<f64> {
        Ok(self.daemon.metrics()?.total("vxlan_drops_total", &[("reason", reason)]))
    }
}

fn both_ways(xdp: &str) -> Result<()> {
    let world = Bridged::new(xdp, "")?;
    let (far, host) = (&world.pair.b, &world.host);
    for (near, remote) in [(NEAR, FAR), (NEAR6, FAR6)] {
        for (from, own, to) in [(&**host, near, remote), (far, remote, near)] {
            let result = ping(from, Some(own.parse()?), to.parse()?, 5)?;
            ensure!(result.all_answered(), "{own} to {to}: {}", result.output);
        }
    }
    assert_eq!(world.drops("inner_destination_denied")?, 0.0);
    assert_eq!(world.drops("redirect_failed")?, 0.0);
    // A host that the network does not have on this side is not reached through the bridge.
    let denied = world.drops("inner_destination_denied")?;
    let mac = host.mac("eth0")?;
    let from = far.mac("vx0")?;
    let foreign = Packet::new()
        .with(Eth::new(mac, from))
        .with(Ipv4::new([192, 168, 43, 130], [192, 168, 44, 1]))
        .with(Udp::new(1, 2));
    let sent = inject(far, "vx0", &[foreign.build()], 10)?;
    assert_eq!(sent.accepted, 10);
    wait_until("the frames are counted", PATIENCE, || {
        Ok(world.drops("inner_destination_denied")? == denied + 10.0)
    })?;
    world.daemon.stop()
}

#[test]
fn hosts_behind_it_and_peers_reach_each_other_by_native_xdp() -> Result<()> {
    both_ways("native")
}

#[test]
fn hosts_behind_it_and_peers_reach_each_other_by_generic_xdp() -> Result<()> {
    both_ways("generic")
}

#[test]
fn hosts_behind_it_and_peers_reach_each_other_without_xdp() -> Result<()> {
    both_ways("off")
}

/// DHCP and address probes of the far side reach the hosts here where the network takes them.
#[test]
fn a_host_without_an_address_is_heard_where_it_may_be() -> Result<()> {
    for (keys, heard) in [("", false), ("unspecified_source = \"pass\"", true)] {
        let world = Bridged::new("auto", keys)?;
        let far = &world.pair.b;
        let from = far.mac("vx0")?;
        let none = [0; 4];
        let dhcp = Packet::new()
            .with(Eth::new(BROADCAST, from))
            .with(Ipv4::new(none, [255; 4]))
            .with(Udp::new(68, 67))
            .payload(&[1; 240]);
        // For an address of this side, whose host defends it.
        let probe = Packet::new().with(Eth::new(BROADCAST, from)).with(Arp::request(
            from,
            none,
            [192, 168, 43, 7],
        ));
        let frames = [dhcp.build().to_vec(), probe.build().to_vec()];
        let here = frames.clone();
        let sniffer =
            Sniffer::start(&world.host, "eth0", move |frame| here.iter().any(|at| at == frame))?;
        let answered = Sniffer::start(far, "vx0", |frame| {
            // An ARP reply to 0.0.0.0.
            frame.get(12..14) == Some(&[8, 6])
                && frame.get(20..22) == Some(&[0, 2])
                && frame.get(38..42) == Some(&[0; 4])
        })?;
        let denied = world.drops("inner_source_denied")?;
        let sent = inject(far, "vx0", &frames, 2)?;
        assert_eq!(sent.accepted, 2);
        if heard {
            assert_eq!(sniffer.wait_for(2, PATIENCE).len(), 2);
            assert_eq!(answered.wait_for(1, PATIENCE).len(), 1);
        } else {
            wait_until("both are counted", PATIENCE, || {
                Ok(world.drops("inner_source_denied")? >= denied + 2.0)
            })?;
            assert_eq!(sniffer.finish()?.frames.len(), 0);
        }
        world.daemon.stop()?;
    }
    Ok(())
}
