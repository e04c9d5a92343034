//! Three hosts, two networks with the same inner addresses, and in both at once TCP streams with
//! the same addresses, the same ports and the same MAC addresses: not one byte may cross.
//!
//! `hub` and `spoke` are ours and share one network; `hub` and `other`, a kernel vxlan device, the
//! other.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
};

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Netns, Run, Wire,
    daemon::Daemon,
    kernel_vxlan::KernelVxlan,
    link::{mac_text, static_neighbours},
    segment::Segment,
    traffic::{StreamEnd, Transfer, ping, ping_with, tcp_stream},
    wait::joined,
};

use crate::{
    far_end::FarEnd,
    ledger::{Ledger, Merging},
    meter::{Meter, quiet},
};

/// The first network; the other's number has a one in each of its three bytes.
const ONE: u32 = 43;
const TWO: u32 = 0x01_01_2b;
const BYTES: u64 = 40 << 20;

fn hub() -> Config {
    Config::new("hub")
        .set("address", "203.0.113.1")
        .peer("spoke", "203.0.113.2:4789")
        .peer("other", "203.0.113.3:4789")
        .set("source_port", "any")
        .network(ONE, "one", &["192.168.50.1/24"])
        .member("spoke", &["192.168.50.2/32"])
        .network(TWO, "two", &["192.168.50.1/24"])
        // Wider than in the other network: of one prefix the main table holds one route.
        .member("other", &["192.168.50.2/31"])
}

fn spoke() -> Config {
    Config::new("spoke")
        .set("address", "203.0.113.2")
        .peer("hub", "203.0.113.1:4789")
        .network(ONE, "one", &["192.168.50.2/24"])
        .member("hub", &["192.168.50.1/32"])
}

struct Three {
    hub: Netns,
    spoke: Netns,
    other: Netns,
    _segment: Segment,
    /// Last: it must outlive the others.
    run: Run,
}

impl Three {
    fn new() -> Result<Self> {
        let run = Run::new()?;
        let three = Self {
            hub: run.netns("hub")?,
            spoke: run.netns("spoke")?,
            other: run.netns("other")?,
            _segment: Segment::new(&run, "switch", Wire::Real)?,
            run,
        };
        let hosts = [&three.hub, &three.spoke, &three.other];
        for (host, number) in hosts.iter().zip(1..) {
            host.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
            let address = format!("203.0.113.{number}/24");
            three._segment.plug(host, "eth0", &address, &format!("port{number}"))?;
        }
        let addresses = [1, 2, 3].map(|number| [IpAddr::from([203, 0, 113, number])]);
        let all = [0, 1, 2].map(|at| (&**hosts[at], addresses[at].as_slice()));
        static_neighbours("eth0", &all)?;
        // A switch floods what it does not know: it is to have heard each of them.
        for host in [&three.spoke, &three.other] {
            let result = ping(host, None, [203, 0, 113, 1].into(), 1)?;
            ensure!(result.all_answered(), "{}", result.output);
        }
        Ok(three)
    }
}

fn at(last: u8, port: u16) -> SocketAddr {
    ([192, 168, 50, last], port).into()
}

#[test]
fn networks_with_the_same_addresses_do_not_mix() -> Result<()> {
    let three = Three::new()?;
    let mut hub = Daemon::start(&three.hub, &three.run, "hub", &hub())?;
    let spoke = Daemon::start(&three.spoke, &three.run, "spoke", &spoke())?;
    let device = KernelVxlan::new("two", TWO, [203, 0, 113, 3].into(), [203, 0, 113, 1].into());
    device.address("192.168.50.2/24").create(&three.other)?;
    // The same MAC addresses in both networks too.
    let far_mac = mac_text(three.spoke.mac("one")?);
    three.other.run(&format!("ip link set two address {far_mac}"))?;
    hub.restart_with_mac("two", three.hub.mac("one")?)?;

    let hub_meter = Meter::new(&three.hub, &[("one", ONE), ("two", TWO)])?;
    let spoke_meter = Meter::new(&three.spoke, &[("one", ONE)])?;
    let read = || {
        quiet(|| {
            let far = FarEnd::read(&three.other, "two")?;
            Ok((hub_meter.read(&hub)?, spoke_meter.read(&spoke)?, far))
        })
    };
    let settle = |before: &(_, _, FarEnd), how| -> Result<()> {
        let (now, old): (_, &(_, _, _)) = (read()?, before);
        let (hub, spoke) = (now.0.since(&old.0), now.1.since(&old.1));
        let mut ledger = Ledger::default();
        ledger.host("hub", &hub, &[], how);
        ledger.host("spoke", &spoke, &[], how);
        let of = |vni| hub.networks.get(&vni).copied().unwrap_or_default();
        let (one, two) = (of(ONE), of(TWO));
        let far = spoke.networks.get(&ONE).copied().unwrap_or_default();
        ledger.equal("network one: hub sent, spoke received", one.tx, far.rx);
        ledger.equal("network one: spoke sent, hub received", far.tx, one.rx);
        ledger.equal("network one: bytes to the spoke", one.tx_bytes, far.rx_bytes);
        ledger.equal("network one: bytes from the spoke", far.tx_bytes, one.rx_bytes);
        now.2.since(&old.2).check(&mut ledger, &two, 0, Wire::Real, how);
        ledger.close(&format!("{hub:?}, {spoke:?}"))?;
        ensure!([one.tx, one.rx, two.tx, two.rx].iter().all(|count| *count > 0), "{hub:?}");
        Ok(())
    };

    let before = read()?;
    for interface in ["one", "two"] {
        let options = format!("-i 0.02 -W 2 -I {interface}");
        let result = ping_with(&three.hub, None, at(2, 0).ip(), 10, &options)?;
        ensure!(result.all_answered(), "{interface}: {}", result.output);
    }
    settle(&before, Merging::None)?;

    let near = |device| StreamEnd { ns: &three.hub, address: at(1, 5001), device };
    let spoke_end = StreamEnd { ns: &three.spoke, address: at(2, 5002), device: "one" };
    let other_end = StreamEnd { ns: &three.other, address: at(2, 5002), device: "two" };
    for towards_hub in [true, false] {
        let before = read()?;
        let stream = |far, device, seed| match towards_hub {
            true => tcp_stream(far, near(device), seed, BYTES),
            // Other ports: the first pair's rest in TIME_WAIT.
            false => {
                let far = StreamEnd { address: at(2, 5003), ..far };
                let near = StreamEnd { address: at(1, 5004), ..near(device) };
                tcp_stream(near, far, seed, BYTES)
            }
        };
        let (one, two) = thread::scope(|scope| {
            let one = scope.spawn(|| stream(spoke_end, "one", 1));
            let two = stream(other_end, "two", 2);
            (joined(one.join()), two)
        });
        let (one, two): (Transfer, Transfer) = (one?, two?);
        ensure!(one.intact() && one.bytes == BYTES, "network one, to the hub: {towards_hub}");
        ensure!(two.intact() && two.bytes == BYTES, "network two, to the hub: {towards_hub}");
        ensure!(one.received_digest != two.received_digest, "both streams carry the same");
        settle(&before, Merging::TCP4)?;
    }
    Ok(())
}
