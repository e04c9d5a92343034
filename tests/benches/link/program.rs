//! What the programs themselves cost, in traffic: nanoseconds of a run as the kernel counts them,
//! without those of an empty program at the same hook.

use std::{os::fd::OwnedFd, rc::Rc};

use anyhow::{Context as _, Result, ensure};
use aya::{
    programs::{ProgramInfo, SchedClassifier, TcAttachType, loaded_programs},
    sys::{Stats, enable_stats},
};
use vxlan_tests::{
    Ns,
    bench::{Arm, Bench, Better, Role},
    link::UNDERLAY,
    packet::Checksum,
};

use crate::{
    bpf::{Hook, Insn, Kind, Link, Program},
    frames::Shape,
    host::{Carrier, OVERLAY, Shared, Spec, World},
    lanes::{Lanes, ToSink},
    room::{Entry, Reading, Room, Size},
    scale::Direction,
};

const CARRIERS: [Carrier; 4] = [Carrier::Native, Carrier::Tc, Carrier::None, Carrier::NoneXdp];
const EMPTY: &str = "empty";
const FLOWS: [usize; 2] = [1, 1_024];

/// A program, where it is, and an empty one at the same hook of another host.
#[derive(Debug, Clone, Copy)]
struct Subject {
    name: &'static str,
    carrier: Carrier,
    at: Place,
    direction: Direction,
    empty: Carrier,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Xdp,
    Tc(TcAttachType, &'static str),
}

/// Not `deliver`: UDP, which the generator sends, is redirected past it where XDP may.
const SUBJECTS: [Subject; 3] = [
    Subject {
        name: "decap",
        carrier: Carrier::Native,
        at: Place::Xdp,
        direction: Direction::Receive,
        empty: Carrier::NoneXdp,
    },
    Subject {
        name: "decap_tc",
        carrier: Carrier::Tc,
        at: Place::Tc(TcAttachType::Ingress, UNDERLAY),
        direction: Direction::Receive,
        empty: Carrier::None,
    },
    Subject {
        name: "encap",
        carrier: Carrier::Native,
        at: Place::Tc(TcAttachType::Egress, OVERLAY),
        direction: Direction::Transmit,
        empty: Carrier::None,
    },
];

pub(crate) fn entries() -> Vec<Entry> {
    let world = Shared::default();
    let cases = SUBJECTS.into_iter().flat_map(|subject| FLOWS.map(|flows| (subject, flows)));
    let entry = |(subject, flows): (Subject, usize)| {
        let world = world.clone();
        Entry {
            name: subject.name(flows),
            make: Box::new(move |size| {
                let world = world.plain(&CARRIERS)?;
                Ok(Box::new(Measured::new(world, subject, flows, size)?) as Box<dyn Room>)
            }),
        }
    };
    cases.map(entry).collect()
}

impl Subject {
    fn name(self, flows: usize) -> String {
        format!("program/{}/{}", self.name, shape(flows).name())
    }

    /// The empty program, which passes every packet on to the next one.
    fn attach_empty(self, world: &World) -> Result<Option<Link>> {
        let Place::Tc(attach, _) = self.at else {
            // It is there already.
            return Ok(None);
        };
        let hook = match attach {
            TcAttachType::Egress => Hook::TcEgress,
            TcAttachType::Ingress | TcAttachType::Custom(_) => Hook::TcIngress,
        };
        // TCX_NEXT.
        let program = Program::load(Kind::Tc, EMPTY, &[Insn::set(0, -1), Insn::exit()])?;
        let ns = &world.host(Spec::new(self.empty))?.ns;
        let ifindex = ns.ifindex(UNDERLAY)?;
        Ok(Some(ns.exec(|| program.attach(hook, ifindex))??))
    }

    /// Its arms: the program, the empty one, and that of another version.
    fn arms(self) -> Vec<(Arm, Carrier)> {
        let mut arms = vec![
            (Arm::new(self.name, Role::Ours), self.carrier),
            (Arm::new(EMPTY, Role::Floor), self.empty),
        ];
        let before = Carrier::Before;
        if self.carrier == Carrier::Native && Carrier::with_before(&[]).contains(&before) {
            arms.push((before.arm().against(self.name), before));
        }
        arms
    }

    /// What the kernel knows of the program of an arm.
    fn info(self, world: &World, arm: &str) -> Result<ProgramInfo> {
        let arms = self.arms();
        let found = arms.iter().find(|(other, _)| other.name == arm);
        let &(_, carrier) = found.with_context(|| format!("there is no arm {arm}"))?;
        let empty = arm == EMPTY;
        let ns = &world.host(Spec::new(carrier))?.ns;
        match self.at {
            Place::Xdp => xdp(ns),
            Place::Tc(attach, interface) => {
                let (interface, name) =
                    if empty { (UNDERLAY, EMPTY) } else { (interface, self.name) };
                let (_, programs) =
                    ns.exec(move || SchedClassifier::query_tcx(interface, attach))??;
                let mut programs = programs.into_iter();
                let found = programs.find(|program| program.name_as_str() == Some(name));
                found.with_context(|| format!("there is no {name} on {interface}"))
            }
        }
    }
}

/// The XDP program on the underlay interface.
fn xdp(ns: &Ns) -> Result<ProgramInfo> {
    let links = ns.run(&format!("ip -d -j link show dev {UNDERLAY}"))?;
    let links: serde_json::Value = serde_json::from_str(&links)?;
    let id = links[0]["xdp"]["prog"]["id"].as_u64().context("there is no XDP program")?;
    // Others' may be gone by the time that they are looked at.
    let found = loaded_programs().flatten().find(|info| u64::from(info.id()) == id);
    found.with_context(|| format!("there is no program {id}"))
}

fn shape(flows: usize) -> Shape {
    Shape { bytes: 64, flows, checksum: Checksum::Zero }
}

struct Measured {
    subject: Subject,
    flows: usize,
    /// One with the program, one with the empty one.
    lanes: Lanes,
    world: Rc<World>,
    _empty: Option<Link>,
    _statistics: OwnedFd,
}

impl Measured {
    fn new(world: Rc<World>, subject: Subject, flows: usize, size: Size) -> Result<Self> {
        let empty = subject.attach_empty(&world)?;
        let direction = subject.direction;
        let lane = |(arm, carrier): (Arm, Carrier)| {
            let host = world.host(Spec::new(carrier))?;
            let sink: ToSink = direction.sink(&world, host)?;
            direction.lane(&world, host, arm, sink, shape(flows))
        };
        let lanes = subject.arms().into_iter().map(lane).collect::<Result<_>>()?;
        let lanes = direction.lanes("program", "", size, lanes, Rc::clone(&world));
        let statistics = enable_stats(Stats::RunTime)?;
        Ok(Self { subject, flows, lanes, world, _empty: empty, _statistics: statistics })
    }

    /// How often the program of an arm has run in a sample, and for how long.
    fn cost(&mut self, arm: &str) -> Result<Cost> {
        let before = self.subject.info(&self.world, arm)?;
        let reading = self.lanes.measure(arm)?;
        let after = self.subject.info(&self.world, arm)?;
        ensure!(before.id() == after.id(), "{arm} was replaced by another program");
        let runs = after.run_count() - before.run_count();
        // Fewer, where packets do not pass there, as after a redirect. What comes by itself is
        // little beside them.
        let packets = u64::from(self.lanes.packets);
        ensure!(runs < packets + 1_000, "{runs} runs for {packets} packets");
        let time = (after.run_time() - before.run_time()).as_nanos() as f64;
        Ok(Cost { runs: runs as f64, time, void: reading.void })
    }
}

struct Cost {
    runs: f64,
    /// In nanoseconds.
    time: f64,
    void: Option<String>,
}

impl Room for Measured {
    fn benches(&self) -> Vec<Bench> {
        let Subject { name, direction, .. } = self.subject;
        let condition = format!(
            "{}, {}; ns that {name} runs by the kernel's statistics, without those \
             of an empty program at the same hook in the same round",
            direction.condition(),
            shape(self.flows).flows()
        );
        vec![Bench {
            name: self.subject.name(self.flows),
            condition,
            unit: "ns/packet".to_owned(),
            better: Better::Less,
            // Nothing of the kernel's is a program.
            baseline: String::new(),
            arms: self.subject.arms().into_iter().map(|(arm, _)| arm).collect(),
        }]
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        self.lanes.check(arm)
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let empty = self.cost(EMPTY)?;
        ensure!(empty.runs > 0.0, "no packet has passed the empty program");
        let each = empty.time / empty.runs;
        if arm == EMPTY {
            return Ok(Reading { values: vec![each], void: empty.void });
        }
        let cost = self.cost(arm)?;
        let value = (cost.time - cost.runs * each) / f64::from(self.lanes.packets);
        Ok(Reading { values: vec![value], void: empty.void.or(cost.void) })
    }
}
