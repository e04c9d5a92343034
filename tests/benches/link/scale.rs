//! Many peers, and many flows: what it costs that the tables are longer, and caches too small.

use std::rc::Rc;

use anyhow::Result;
use vxlan_tests::{bench::Arm, packet::Checksum};

use crate::{
    frames::Shape,
    host::{Carrier, Host, Shared, Spec, World},
    lanes::{Lane, Lanes, ToSink},
    programs::Generator,
    receive,
    room::{Entry, Room, Size},
    transmit,
};

const PEERS: [usize; 4] = [1, 100, 1_000, 10_000];
const FLOWS: [usize; 5] = [1, 64, 1_024, 16_384, 65_536];
const CARRIERS: [Carrier; 3] = [Carrier::Native, Carrier::Kernel, Carrier::None];

pub(crate) fn entries() -> Vec<Entry> {
    let (by_peers, by_flows) = (Shared::default(), Shared::default());
    let directions = [Direction::Receive, Direction::Transmit];
    let peers = directions.map(|direction| {
        let world = by_peers.clone();
        Entry {
            name: format!("peers/{}", direction.name()),
            make: Box::new(move |size| {
                let specs =
                    PEERS.iter().flat_map(|&peers| CARRIERS.map(|carrier| Spec { carrier, peers }));
                let world = world.get(&specs.collect::<Vec<_>>())?;
                Ok(Box::new(many_peers(world, direction, size)?) as Box<dyn Room>)
            }),
        }
    });
    let flows = directions.map(|direction| {
        let world = by_flows.clone();
        Entry {
            name: format!("flows/{}", direction.name()),
            make: Box::new(move |size| {
                let world = world.plain(&CARRIERS)?;
                Ok(Box::new(many_flows(world, direction, size)?) as Box<dyn Room>)
            }),
        }
    });
    peers.into_iter().chain(flows).collect()
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    Receive,
    Transmit,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Transmit => "transmit",
        }
    }

    pub(crate) fn condition(self) -> &'static str {
        match self {
            Self::Receive => {
                "UDP frames of 64 bytes, from XDP live frames into the veth of the underlay, to a \
                 TC program on the overlay interface that counts and drops"
            }
            Self::Transmit => {
                "UDP frames of 64 bytes, from XDP live frames into the veth of a third interface, \
                 routed into the overlay, to a TC program at the far end of the underlay that \
                 counts and drops"
            }
        }
    }

    pub(crate) fn sink(self, world: &World, host: &Host) -> Result<ToSink> {
        match self {
            Self::Receive => ToSink::attach(&host.ns, host.carrier.overlay()),
            Self::Transmit => ToSink::attach(&world.generator, &host.wire),
        }
    }

    /// Such frames to that end, by way of that host.
    pub(crate) fn lane(
        self,
        world: &World,
        host: &Host,
        arm: Arm,
        end: ToSink,
        shape: Shape,
    ) -> Result<Lane> {
        let (interface, frames) = match self {
            Self::Receive => (&host.wire, shape.received(host)?),
            Self::Transmit => (&host.lan, shape.forwarded(host)),
        };
        let generator = Generator::new(&world.generator, interface, &frames)?;
        Lane::new(world, host, arm, shape, generator, end)
    }

    pub(crate) fn lanes(
        self,
        what: &str,
        condition: &str,
        size: Size,
        lanes: Vec<Lane>,
        world: Rc<World>,
    ) -> Lanes {
        Lanes {
            name: format!("{what}/{}", self.name()),
            condition: format!(
                "{}, {condition}; CPU time of generator and softirqs, on one CPU",
                self.condition()
            ),
            packets: size.packets(300_000),
            lanes,
            check: match self {
                Self::Receive => receive::check,
                Self::Transmit => transmit::check,
            },
            world,
        }
    }
}

fn shape(flows: usize) -> Shape {
    Shape { bytes: 64, flows, checksum: Checksum::Zero }
}

/// An arm with so many of what the benchmark has many of. The kernel's device is compared with
/// itself where it is one.
fn arm(carrier: Carrier, axis: &str, x: usize) -> Arm {
    let line = carrier.arm();
    let kernel = Carrier::Kernel.arm().name;
    let other = line.baseline.as_ref().unwrap_or(&kernel);
    let baseline = if carrier == Carrier::Kernel { 1 } else { x };
    Arm::new(&format!("{} {x}", line.name), line.role)
        .at(&line.name, axis, x as f64)
        .against(&format!("{other} {baseline}"))
}

fn many_peers(world: Rc<World>, direction: Direction, size: Size) -> Result<Lanes> {
    let lane = |host: &Host| {
        let Spec { carrier, peers } = host.spec;
        let arm = arm(carrier, "peers", peers);
        direction.lane(&world, host, arm, direction.sink(&world, host)?, shape(peers))
    };
    let lanes = world.hosts.iter().map(lane).collect::<Result<_>>()?;
    Ok(direction.lanes("peers", "one flow of each peer in turn", size, lanes, world))
}

fn many_flows(world: Rc<World>, direction: Direction, size: Size) -> Result<Lanes> {
    let mut lanes = Vec::new();
    for host in &world.hosts {
        let sink = direction.sink(&world, host)?;
        for flows in FLOWS {
            let arm = arm(host.carrier, "flows", flows);
            lanes.push(direction.lane(&world, host, arm, sink.clone(), shape(flows))?);
        }
    }
    Ok(direction.lanes("flows", "all flows of one peer in turn", size, lanes, world))
}
