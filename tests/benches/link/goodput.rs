//! What arrives of the traffic of peers while strangers send, too: one CPU sends at a rate, the
//! other one receives, in a thread of the interface.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use vxlan_tests::{
    Ns,
    bench::{Bench, Better},
    cmd,
    conserve::added,
    link::UNDERLAY,
};

use crate::{
    cpu::{self, measured},
    host::{Carrier, Host, Spec, World},
    lanes::{End as _, ToSink},
    programs::Generator,
    room::{Entry, Reading, Room, Size},
    strangers::{SHAPE, Stranger},
};

const CARRIERS: [Carrier; 4] = [Carrier::Native, Carrier::Tc, Carrier::Kernel, Carrier::KernelXdp];
/// How many of them there are each second, in millions.
const STRANGERS: [u32; 2] = [1, 3];
/// What is sent in turn; the strangers among them follow from the rates.
const LIST: usize = 4_096;
/// Void, if the generator reaches less than this part of its rate.
const RATE_REACHED: f64 = 0.97;
/// What an arm carries alone is looked for between these rates, by halves, with flights of this
/// length, which may lose up to this part; the median of so many searches counts.
const LIMITS: (f64, f64) = (50e3, 3e6);
const STEPS: usize = 8;
const STEP: Duration = Duration::from_millis(30);
const LOSS: f64 = 0.01;
const SEARCHES: usize = 5;

pub(crate) fn entries() -> Vec<Entry> {
    vec![Entry {
        name: "goodput".to_owned(),
        make: Box::new(|size| Ok(Box::new(Beside::new(size)?) as Box<dyn Room>)),
    }]
}

fn name(millions: u32) -> String {
    format!("goodput/{millions}Mpps-of-strangers")
}

/// An arm: how much it can carry, and what is sent to it.
struct Receiver {
    carrier: Carrier,
    sink: ToSink,
    /// Packets a second of peers alone.
    capacity: f64,
    mixtures: Vec<Mixture>,
}

/// Peers' and strangers' traffic.
struct Mixture {
    generator: Generator,
    /// Packets a second.
    rate: f64,
    /// The peers' part.
    listed: f64,
}

struct Beside {
    duration: Duration,
    receivers: Vec<Receiver>,
    world: Rc<World>,
}

impl Beside {
    fn new(size: Size) -> Result<Self> {
        let carriers = Carrier::with_before(&CARRIERS);
        let world = World::new(&carriers.into_iter().map(Spec::new).collect::<Vec<_>>())?;
        let receiver = |host: &Host| {
            receive_in_a_thread(&host.ns)?;
            Ok(Receiver {
                carrier: host.carrier,
                sink: ToSink::attach(&host.ns, host.carrier.overlay())?,
                capacity: 0.0,
                mixtures: Vec::new(),
            })
        };
        let receivers = world.hosts.iter().map(receiver).collect::<Result<_>>()?;
        let duration = Duration::from_millis(if size == Size::Full { 300 } else { 100 });
        Ok(Self { duration, receivers, world: Rc::new(world) })
    }

    fn receiver(&mut self, arm: &str) -> Result<&mut Receiver> {
        let found = self.receivers.iter_mut().find(|receiver| receiver.carrier.arm().name == arm);
        found.with_context(|| format!("there is no arm {arm}"))
    }
}

/// What came of so many frames, and how long they took.
#[derive(Debug)]
struct Flight {
    sent: u64,
    delivered: u64,
    /// From the first to the last.
    duration: Duration,
    stolen: bool,
}

impl Flight {
    fn of(generator: &Generator, sink: &mut ToSink, frames: u32) -> Result<Self> {
        let sending = measured()?.checked_sub(1).context("this needs two CPUs")?;
        let readings = [sending, measured()?].map(cpu::Reading::now);
        sink.open()?;
        let before = generator.sent()?;
        let duration = generator.ns().exec(|| -> Result<_> {
            cpu::bind(sending)?;
            cpu::run_first()?;
            generator.send(frames)?;
            generator.duration()
        })??;
        // As long as something comes.
        let mut delivered = sink.packets()?;
        loop {
            thread::sleep(Duration::from_millis(5));
            let now = sink.packets()?;
            if now == delivered {
                break;
            }
            delivered = now;
        }
        let sent = generator.sent()? - before;
        let mut stolen = false;
        for reading in readings {
            stolen |= reading?.void(None)?.is_some();
        }
        Ok(Self { sent, delivered, duration, stolen })
    }
}

impl Receiver {
    /// The highest rate at which nearly all arrives.
    fn search(&mut self, world: &World, host: &Host, frames: &[Vec<u8>]) -> Result<f64> {
        let (mut carried, mut lost) = LIMITS;
        for _ in 0..STEPS {
            let rate = f64::midpoint(carried, lost);
            let generator = Generator::paced(&world.generator, &host.wire, frames, rate)?;
            let flight =
                Flight::of(&generator, &mut self.sink, (rate * STEP.as_secs_f64()) as u32)?;
            let all = flight.delivered as f64 >= (1.0 - LOSS) * flight.sent as f64;
            *(if all { &mut carried } else { &mut lost }) = rate;
        }
        Ok(carried)
    }

    /// Measures what it can carry, and makes the mixtures.
    fn prepare(&mut self, world: &World) -> Result<()> {
        let host = world.host(Spec::new(self.carrier))?;
        let (good, bad) = (SHAPE.received(host)?, Stranger::UnknownVni.frames(host)?);
        let searches = (0..SEARCHES).map(|_| self.search(world, host, &good));
        let mut capacities = searches.collect::<Result<Vec<_>>>()?;
        capacities.sort_by(f64::total_cmp);
        self.capacity = capacities[SEARCHES / 2];
        for millions in STRANGERS {
            let strangers = f64::from(millions) * 1e6;
            let rate = self.capacity / 2.0 + strangers;
            // Evenly spread.
            let (mut owed, mut frames) = (0.0, Vec::with_capacity(LIST));
            let mut listed = 0;
            for index in 0..LIST {
                owed += strangers / rate;
                if owed >= 1.0 {
                    owed -= 1.0;
                    frames.push(&bad[index % bad.len()]);
                } else {
                    listed += 1;
                    frames.push(&good[index % good.len()]);
                }
            }
            let listed = f64::from(listed) / LIST as f64;
            let generator = Generator::paced(&world.generator, &host.wire, &frames, rate)?;
            self.mixtures.push(Mixture { generator, rate, listed });
        }
        Ok(())
    }

    /// The part of the peers' traffic that arrives, and why that does not count.
    fn fly(
        &mut self,
        world: &World,
        mixture: usize,
        duration: Duration,
    ) -> Result<(f64, Option<String>)> {
        let host = world.host(Spec::new(self.carrier))?;
        let Mixture { generator, rate, listed } = &self.mixtures[mixture];
        // Whole rounds of the list.
        let rounds = (rate * duration.as_secs_f64() / LIST as f64).ceil();
        generator.rewind()?;
        let before = host.losses(&world.generator)?;
        let flight = Flight::of(generator, &mut self.sink, (rounds * LIST as f64) as u32)?;
        let listed = flight.sent as f64 * listed;
        let losses = added(&host.losses(&world.generator)?, &before);
        conserved(host, &flight, listed as u64, &losses)?;
        let reached = flight.sent as f64 / flight.duration.as_secs_f64() / rate;
        let void = if flight.stolen {
            Some("the hypervisor ran something else".to_owned())
        } else {
            (reached < RATE_REACHED)
                .then(|| format!("the generator reached {:.0} % of its rate", reached * 100.0))
        };
        Ok((flight.delivered as f64 / listed, void))
    }
}

impl Room for Beside {
    fn benches(&self) -> Vec<Bench> {
        let bench = |millions: u32| Bench {
            name: name(millions),
            condition: format!(
                "VXLAN frames with 64 bytes each: those of a peer at half of what the arm carries \
                 alone with a loss of up to 1 %, evenly mixed with {millions} million a second of \
                 unknown VNIs; sent by XDP live frames on one CPU, received by a thread on \
                 another (ring of 256), to a TC program that counts: which part of the peer's \
                 arrives"
            ),
            unit: "part".to_owned(),
            better: Better::More,
            baseline: Carrier::Kernel.arm().name,
            arms: self.receivers.iter().map(|receiver| receiver.carrier.arm()).collect(),
        };
        STRANGERS.map(bench).into()
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        let world = Rc::clone(&self.world);
        self.receiver(arm)?.prepare(&world)
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let (world, duration) = (Rc::clone(&self.world), self.duration);
        let receiver = self.receiver(arm)?;
        let mut reading = Reading { values: Vec::new(), void: None };
        for mixture in 0..STRANGERS.len() {
            let (value, void) = receiver.fly(&world, mixture, duration)?;
            reading.values.push(value);
            reading.void = reading.void.or(void);
        }
        Ok(reading)
    }
}

/// All that was sent was delivered, refused, or lost by somebody who counts it. The kernel does not
/// count the strangers that its device refuses.
fn conserved(
    host: &Host,
    flight: &Flight,
    listed: u64,
    losses: &BTreeMap<String, u64>,
) -> Result<()> {
    let counted: u64 = losses.values().sum();
    let all = flight.delivered + counted;
    let missing = flight.sent.checked_sub(all);
    let uncounted = if host.metrics().is_some() { 0 } else { flight.sent - listed };
    ensure!(
        missing.is_some_and(|missing| missing <= uncounted),
        "{flight:?}, lost {losses:?}: {missing:?} are missing"
    );
    Ok(())
}

/// Has the underlay interface receive in a thread, on the measured CPU, before all else there.
fn receive_in_a_thread(ns: &Ns) -> Result<()> {
    let before = threads()?;
    // In a mount namespace of its own, where /sys shows this network namespace.
    let file = format!("/sys/class/net/{UNDERLAY}/threaded");
    let command = |program: &str| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", ns.name(), program, &file]);
        command
    };
    if cmd::run(&mut command("cat"))?.trim() == "1" {
        return Ok(());
    }
    cmd::run_with_input(&mut command("tee"), "1")?;
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        let new: Vec<_> = threads()?.difference(&before).copied().collect();
        if new.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        ensure!(!new.is_empty(), "{UNDERLAY} in {} has no thread", ns.name());
        let mut set = CpuSet::new();
        set.set(measured()?)?;
        for pid in new {
            sched_setaffinity(Pid::from_raw(pid), &set).context("binding the thread")?;
            cpu::run_thread_first(pid)?;
        }
        return Ok(());
    }
}

/// The threads of interfaces of that name.
fn threads() -> Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(&format!("napi/{UNDERLAY}-")) {
            found.insert(pid);
        }
    }
    Ok(found)
}
