//! One host with both families on its underlay, and a peer on each: kernel vxlan devices, one
//! behind IPv4 and one behind IPv6, in one network.

use std::{net::IpAddr, thread};

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Netns, Run, Wire,
    daemon::Daemon,
    kernel_vxlan::KernelVxlan,
    link::{hush_ipv6, static_neighbours},
    segment::Segment,
    traffic::{ping, tcp_transfer},
    wait::joined,
};

use crate::{
    far_end::FarEnd,
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

const VNI: u32 = 43;
const OVERLAY: &str = "vxlan43";
/// What the longer headers leave, also for the peer that has the shorter ones.
const MTU: u32 = 1430;
const BYTES: u64 = 40 << 20;

fn configuration() -> Config {
    Config::new("hub")
        .list("address", &["203.0.113.1", "2001:db8:1::1"])
        .peer("four", "203.0.113.4")
        .set("source_port", "any")
        .peer("six", "[2001:db8:1::6]:4789")
        .set("source_port", "any")
        .network(VNI, OVERLAY, &["192.168.43.1/24"])
        .member("four", &["192.168.44.0/24"])
        .member("six", &["192.168.46.0/24"])
}

struct World {
    meter: Meter,
    daemon: Daemon,
    hub: Netns,
    /// `four` and `six`.
    far: [Netns; 2],
    _segment: Segment,
    /// Last: it must outlive the others.
    _run: Run,
}

const OVERLAYS: [[u8; 4]; 2] = [[192, 168, 44, 1], [192, 168, 46, 1]];

impl World {
    fn new() -> Result<Self> {
        let run = Run::new()?;
        let segment = Segment::new(&run, "switch", Wire::Real)?;
        let [hub, four, six] = [("hub", 1), ("four", 4), ("six", 6)].map(|(role, number)| {
            let ns = run.netns(role)?;
            segment.plug(&ns, "eth0", &format!("203.0.113.{number}/24"), role)?;
            hush_ipv6(&ns, "eth0")?;
            ns.run(&format!("ip addr add 2001:db8:1::{number}/64 dev eth0"))?;
            anyhow::Ok(ns)
        });
        let (hub, four, six) = (hub?, four?, six?);
        let addresses = |number: u8| -> [IpAddr; 2] {
            let last = u16::from(number);
            [[203, 0, 113, number].into(), [0x2001, 0xdb8, 1, 0, 0, 0, 0, last].into()]
        };
        let (hub_at, four_at, six_at) = (addresses(1), addresses(4), addresses(6));
        static_neighbours("eth0", &[(&hub, &hub_at), (&four, &four_at), (&six, &six_at)])?;
        let daemon = Daemon::start(&hub, &run, "hub", &configuration())?;
        let link = hub.run(&format!("ip -o link show {OVERLAY}"))?;
        ensure!(link.contains(&format!(" mtu {MTU} ")), "{link}");
        let far_at = [four_at[0], six_at[1]];
        for (at, (ns, options)) in [(&four, ""), (&six, "udp6zerocsumrx")].into_iter().enumerate() {
            let [a, b, c, d] = OVERLAYS[at];
            // No group to report on the overlay.
            ns.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
            KernelVxlan::new(OVERLAY, VNI, far_at[at], hub_at[at])
                .address(&format!("{a}.{b}.{c}.{d}/24"))
                .route("192.168.43.0/24")
                .mtu(MTU)
                .options(options)
                .create(ns)?;
        }
        let meter = Meter::new(&hub, &[(OVERLAY, VNI)])?;
        let world = Self { meter, daemon, hub, far: [four, six], _segment: segment, _run: run };
        // A switch floods what it does not know: it is to have heard each of them.
        for to in OVERLAYS {
            let result = ping(&world.hub, None, to.into(), 2)?;
            ensure!(result.all_answered(), "{}\n{}", result.output, world.daemon.log());
        }
        Ok(world)
    }

    fn read(&self) -> Result<(Reading, [FarEnd; 2])> {
        quiet(|| {
            let far = [FarEnd::read(&self.far[0], OVERLAY)?, FarEnd::read(&self.far[1], OVERLAY)?];
            Ok((self.meter.read(&self.daemon)?, far))
        })
    }

    /// What the hub sent and received is what the two others received and sent, together and in
    /// the counts of each peer.
    fn settle(&self, before: &(Reading, [FarEnd; 2]), how: Merging) -> Result<()> {
        let now = self.read()?;
        let hub = now.0.since(&before.0);
        let mut ledger = Ledger::default();
        ledger.host("hub", &hub, &[], how);
        let far = [0, 1].map(|at| now.1[at].since(&before.1[at]));
        let wires = far.each_ref().map(|far| *far.wire());
        for (name, wire) in ["four", "six"].iter().zip(&wires) {
            ledger.flawless(name, wire);
        }
        ledger.equal("sent by the hub", hub.tx(), wires.iter().map(|wire| wire.rx_packets).sum());
        ledger.equal("sent to the hub", hub.rx(), wires.iter().map(|wire| wire.tx_packets).sum());
        ledger.close(&format!("{hub:?}, {far:?}"))
    }
}

#[test]
fn a_peer_on_each_family() -> Result<()> {
    let world = World::new()?;
    let own = [192, 168, 43, 1].into();
    let before = world.read()?;
    for (at, to) in OVERLAYS.into_iter().enumerate() {
        for (from, to) in [(&world.hub, to.into()), (&world.far[at], own)] {
            let result = ping(from, None, to, 10)?;
            ensure!(result.all_answered(), "{}", result.output);
        }
    }
    world.settle(&before, Merging::None)?;

    // Both at the same time, to each and from each.
    for outgoing in [true, false] {
        let before = world.read()?;
        let transfers = thread::scope(|scope| {
            let transfer = |at: usize| {
                let (hub, far) = (&world.hub, &world.far[at]);
                scope.spawn(move || match outgoing {
                    true => tcp_transfer(hub, far, OVERLAYS[at].into(), BYTES),
                    false => tcp_transfer(far, hub, own, BYTES),
                })
            };
            let threads = [transfer(0), transfer(1)];
            threads.map(|thread| joined(thread.join()))
        });
        for transfer in transfers {
            let transfer = transfer?;
            ensure!(transfer.intact() && transfer.bytes == BYTES, "{transfer:?}");
            println!("outgoing: {outgoing}, {:.0} Mbit/s", transfer.mbit_per_second());
        }
        world.settle(&before, Merging::TCP4)?;
    }
    Ok(())
}
