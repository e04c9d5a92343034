//! Refusing: what a frame costs that must not enter, over a program that does nothing but count and
//! drop it.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Result, ensure};
use vxlan_tests::{
    Ns,
    bench::{Arm, Bench, Role},
    conserve::link_stats,
    link::UNDERLAY,
    metrics::Metrics,
    packet::Checksum,
};

use crate::{
    frames::{Shape, encapsulated},
    host::{Carrier, Host, PEER, Shared, VNI, World},
    lanes::{End, Lane, Lanes, ToSink},
    programs::Generator,
    room::{Entry, Reading, Room, Size},
    socket::udp_counter,
};

const CARRIERS: [Carrier; 5] =
    [Carrier::Native, Carrier::Generic, Carrier::Tc, Carrier::Kernel, Carrier::None];
const FLOOR: &str = "count-and-drop";
pub(crate) const SHAPE: Shape = Shape { bytes: 64, flows: 1_024, checksum: Checksum::Zero };

/// Why a frame is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    UnknownSource,
    UnknownVni,
    InvalidHeader,
}

impl Stranger {
    const ALL: [Self; 3] = [Self::UnknownSource, Self::UnknownVni, Self::InvalidHeader];

    /// As this product counts it.
    fn reason(self) -> &'static str {
        match self {
            Self::UnknownSource => "unknown_source",
            Self::UnknownVni => "unknown_vni",
            Self::InvalidHeader => "invalid_vxlan_header",
        }
    }

    /// The kernel's device knows no sources.
    fn refuses(self, carrier: Carrier) -> bool {
        carrier != Carrier::Kernel || self != Self::UnknownSource
    }

    /// As they reach the host; where there is no tunnel, too.
    pub(crate) fn frames(self, host: &Host) -> Result<Vec<Vec<u8>>> {
        let frame = |flow: usize| {
            let inner = SHAPE.inner(host, flow);
            let from = match self {
                Self::UnknownSource => [192, 0, 2, flow as u8].into(),
                Self::UnknownVni | Self::InvalidHeader => PEER,
            };
            let vni = if self == Self::UnknownVni { VNI + 1 + flow as u32 } else { VNI };
            let mut frame = encapsulated(host, from, vni, inner)?;
            if self == Self::InvalidHeader {
                // A reserved bit beside the one that there is a VNI.
                frame[42] |= 0x40;
            }
            Ok(frame)
        };
        (0..SHAPE.flows).map(frame).collect()
    }
}

pub(crate) fn entries() -> Vec<Entry> {
    let world = Shared::default();
    let entry = |stranger: Stranger| {
        let world = world.clone();
        Entry {
            name: format!("strangers/{}", stranger.reason()),
            make: Box::new(move |size| {
                let world = world.plain(&CARRIERS)?;
                Ok(Box::new(Refused::new(world, stranger, size)?) as Box<dyn Room>)
            }),
        }
    };
    Stranger::ALL.map(entry).into_iter().collect()
}

/// Where strangers end: with whoever counts them.
struct ToCount {
    ns: Ns,
    counter: Counter,
    before: u64,
}

enum Counter {
    /// The daemon's metrics, by reason.
    Drops(SocketAddr, String),
    /// The datagrams that the kernel has taken for a socket, its vxlan device's too.
    Datagrams,
}

impl ToCount {
    fn new(host: &Host, stranger: Stranger) -> Self {
        let counter = match host.metrics() {
            Some(address) => Counter::Drops(address, format!("rx {}", stranger.reason())),
            None => Counter::Datagrams,
        };
        Self { ns: host.ns.clone(), counter, before: 0 }
    }

    fn count(&self) -> Result<u64> {
        match &self.counter {
            Counter::Drops(address, reason) => {
                let drops = Metrics::fetch(&self.ns, *address)?.drops();
                Ok(drops.get(reason).copied().unwrap_or(0))
            }
            Counter::Datagrams => udp_counter(&self.ns, "InDatagrams"),
        }
    }
}

impl End for ToCount {
    fn open(&mut self) -> Result<()> {
        self.before = self.count()?;
        Ok(())
    }

    fn packets(&self) -> Result<u64> {
        Ok(self.count()? - self.before)
    }

    fn close(&mut self) -> Result<(Duration, Option<String>)> {
        Ok((Duration::ZERO, None))
    }
}

/// All arms with one kind of strangers.
struct Refused {
    stranger: Stranger,
    lanes: Lanes,
    floor: Arm,
}

impl Refused {
    fn new(world: Rc<World>, stranger: Stranger, size: Size) -> Result<Self> {
        let floor = Arm::new(FLOOR, Role::Floor);
        let mut lanes = Vec::new();
        for host in &world.hosts {
            let generator = Generator::new(&world.generator, &host.wire, &stranger.frames(host)?)?;
            let (carrier, shape) = (host.carrier, SHAPE);
            if carrier == Carrier::None {
                let end = ToSink::attach_xdp(&host.ns, UNDERLAY)?;
                lanes.push(Lane::new(&world, host, floor.clone(), shape, generator, end)?);
            } else if stranger.refuses(carrier) {
                let end = ToCount::new(host, stranger);
                lanes.push(Lane::new(&world, host, carrier.arm(), shape, generator, end)?);
            }
        }
        let lanes = Lanes {
            name: format!("strangers/{}", stranger.reason()),
            condition: format!(
                "VXLAN frames with 64 bytes each, refused as {}, 1024 in turn, from XDP live \
                 frames into the veth of the underlay; CPU time of generator and softirqs on one \
                 CPU, without that of an XDP program that counts and drops them in the same round",
                stranger.reason()
            ),
            packets: size.packets(600_000),
            lanes,
            check,
            world,
        };
        Ok(Self { stranger, lanes, floor })
    }
}

impl Room for Refused {
    fn benches(&self) -> Vec<Bench> {
        let mut benches = self.lanes.benches();
        if !self.stranger.refuses(Carrier::Kernel) {
            benches.iter_mut().for_each(|bench| bench.baseline.clear());
        }
        benches
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        self.lanes.check(arm)
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let floor = self.lanes.measure(&self.floor.name)?;
        if arm == self.floor.name {
            return Ok(floor);
        }
        let mut reading = self.lanes.measure(arm)?;
        for (value, floor) in reading.values.iter_mut().zip(floor.values) {
            *value -= floor;
        }
        Ok(Reading { void: reading.void.take().or(floor.void), ..reading })
    }
}

/// All of them are counted, and none is carried.
fn check(world: &World, lane: &mut Lane) -> Result<()> {
    let host = world.host(lane.spec)?;
    let interface = host.carrier.overlay();
    let carried = |host: &Host| Ok::<_, anyhow::Error>(link_stats(&host.ns, interface)?.rx_packets);
    let before = carried(host)?;
    lane.source.rewind()?;
    lane.end.open()?;
    let source = &lane.source;
    let count = source.ns().exec(|| source.send(SHAPE.flows as u32))??;
    lane.arrived(count)?;
    let carried = carried(host)? - before;
    ensure!(!host.carrier.tunnels() || carried == 0, "{carried} frames came to the overlay");
    Ok(())
}
