//! Stations are learned within bounds and forgotten in time: a member that shows a million of them
//! takes nothing from another one, and can learn again afterwards.

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_tests::{
    inject::inject,
    packet::{Eth, Icmp, Ipv4, Mac, Packet, Udp, Vxlan},
};
use vxlan_user::dataplane::Reader;

use crate::host::{CONFIG, Host, reader, wait_until};

const MILLION: u32 = 1_000_000;
/// Frames of one round; sixteen make the million.
const ROUND: u32 = MILLION / 16;
const MAX_STATIONS: usize = 200;
/// The least that a network may be given, in seconds.
const AGEING: u32 = 10;
/// Where the inner source address lies: behind 14, 20, 8, 8, and the inner destination.
const INNER_SOURCE: usize = 14 + 20 + 8 + 8 + 6;

/// Two members of one network, both played by `a` of the pair.
struct World {
    host: Host,
    reader: Reader,
    /// Frames that were sent for each member.
    sent: [u64; 2],
}

#[derive(Clone, Copy)]
enum Member {
    Loud = 0,
    Quiet = 1,
}

fn station(member: Member, number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    [2, member as u8, a, b, c, d]
}

impl World {
    fn new() -> Result<Self> {
        let limits = format!("ageing = {AGEING}\nmax_stations = {MAX_STATIONS}\n");
        let other = r#"[[network.member]]
peer = "c"
allowed_ips = ["192.168.53.0/24"]
"#;
        let config = CONFIG
            .replace(
                "[[network]]\n",
                "[[peer]]\nname = \"c\"\nendpoint = \"203.0.113.3\"\n[[network]]\n",
            )
            .replace("[[network.member]]\n", &format!("{limits}[[network.member]]\n"));
        let mut host = Host::new(&(config + other))?;
        host.pair.static_neighbours()?;
        host.daemon.launch()?;
        let reader = reader(&host.daemon)?;
        Ok(Self { host, reader, sent: [0; 2] })
    }

    /// A frame each from stations `first` on, from a ring of frames that are made once.
    fn send(&mut self, member: Member, first: u32, count: u32) -> Result<()> {
        let (outer, inner) = match member {
            Member::Loud => ([203, 0, 113, 1], [192, 168, 43, 7]),
            Member::Quiet => ([203, 0, 113, 3], [192, 168, 53, 7]),
        };
        let ns = self.host.ns();
        // An answer that nobody asked for: the host does not react.
        let frame = Packet::new()
            .with(Eth::new(ns.mac("eth0")?, self.host.pair.a.mac("eth0")?))
            .with(Ipv4::new(outer, [203, 0, 113, 2]))
            .with(Udp::vxlan(50_000))
            .with(Vxlan::new(43))
            .with(Eth::new(ns.mac("vxlan43")?, station(member, 0)))
            .with(Ipv4::new(inner, [192, 168, 44, 1]))
            .with(Icmp::echo_reply(1, 1))
            .build();
        let mut ring = vec![frame; count.min(4096) as usize];
        let mut next = first;
        while next < first + count {
            let part = (first + count - next).min(ring.len() as u32);
            for (frame, number) in ring.iter_mut().zip(next..next + part) {
                frame[INNER_SOURCE..INNER_SOURCE + 6].copy_from_slice(&station(member, number));
            }
            inject(&self.host.pair.a, "eth0", &ring[..part as usize], u64::from(part))?;
            next += part;
        }
        self.sent[member as usize] += u64::from(count);
        Ok(())
    }

    /// Waits until everything that was sent is delivered, and holds that nothing was dropped.
    fn delivered(&self) -> Result<()> {
        let all = || -> Result<bool> {
            let metrics = self.host.daemon.metrics()?;
            let rx = ["a", "c"].map(|peer| {
                let labels = [("peer", peer), ("vni", "43"), ("direction", "rx")];
                metrics.get("vxlan_packets_total", &labels) as u64
            });
            let dropped = metrics.total("vxlan_drops_total", &[("direction", "rx")]);
            ensure!(dropped == 0.0, "{}", self.host.daemon.vxlan(&["show", "drops"])?.stdout);
            Ok(rx == self.sent)
        };
        wait_until("everything is delivered", all)
    }

    /// Stations in the table, sorted.
    fn learned(&self, member: Member) -> Result<Vec<Mac>> {
        let all = self.reader.mac_entries()?.into_iter();
        let mut of_it: Vec<Mac> =
            all.filter(|at| at.member == member as u32).map(|at| at.mac).collect();
        of_it.sort_unstable();
        Ok(of_it)
    }
}

#[test]
fn a_million_stations_of_one_member_take_nothing_from_another() -> Result<()> {
    let mut world = World::new()?;
    let quiet: Vec<Mac> = (0..5).map(|number| station(Member::Quiet, number)).collect();
    let mut most = 0;
    for round in 0..16 {
        // It goes on talking, as a station does.
        world.send(Member::Quiet, 0, 5)?;
        world.send(Member::Loud, round * ROUND, ROUND)?;
        let loud = world.learned(Member::Loud)?.len();
        ensure!(loud <= MAX_STATIONS, "{loud} stations in round {round}");
        most = most.max(loud);
        world.delivered()?;
        assert_eq!(world.learned(Member::Quiet)?, quiet, "round {round}");
    }
    assert_eq!(most, MAX_STATIONS, "the first ones are learned");

    // Nobody is heard any more: both have their whole share again, and no more than that.
    let empty =
        || Ok(world.learned(Member::Loud)?.is_empty() && world.learned(Member::Quiet)?.is_empty());
    wait_longer("the stations age", empty)?;
    wait_longer("as many are learned as may be", || {
        world.send(Member::Loud, 2 * MILLION, MAX_STATIONS as u32 + 50)?;
        world.delivered()?;
        let loud = world.learned(Member::Loud)?.len();
        ensure!(loud <= MAX_STATIONS, "{loud} stations after ageing");
        Ok(loud == MAX_STATIONS)
    })?;
    world.send(Member::Quiet, 0, 5)?;
    world.delivered()?;
    assert_eq!(world.learned(Member::Quiet)?, quiet);
    world.host.daemon.stop()
}

/// A declared station was never heard, and stays.
#[test]
fn a_declared_station_does_not_age() -> Result<()> {
    let mut world = World::new()?;
    world.host.daemon.terminate()?;
    let config = std::fs::read_to_string(world.host.daemon.config())?;
    let declared = config.replace("peer = \"c\"\n", "peer = \"c\"\nmac = \"02:00:00:00:00:c1\"\n");
    world.host.daemon.write_config(&declared)?;
    world.host.daemon.launch()?;
    world.reader = reader(&world.host.daemon)?;
    world.sent = [0; 2];
    let mac: Mac = [2, 0, 0, 0, 0, 0xc1];
    assert_eq!(world.learned(Member::Quiet)?, [mac]);
    // One that was heard after it goes, and it is still there.
    world.send(Member::Loud, 0, 1)?;
    world.delivered()?;
    assert_eq!(world.learned(Member::Loud)?.len(), 1);
    wait_longer("the entry that was used ages", || Ok(world.learned(Member::Loud)?.is_empty()))?;
    assert_eq!(world.learned(Member::Quiet)?, [mac]);
    world.host.daemon.stop()
}

/// As `wait_until`, for what takes the time that stations stay.
fn wait_longer(what: &str, condition: impl FnMut() -> Result<bool>) -> Result<()> {
    vxlan_tests::wait::wait_until(what, 6 * Duration::from_secs(AGEING.into()), condition)
}
