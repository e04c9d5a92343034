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
    host::{Carrier, Host, Shared, World},
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
/// length: it may lose up to this part.
const LIMITS: (f64, f64) = (50e3, 3e6);
const STEPS: usize = 8;
const STEP: Duration = Duration::from_millis(60);
const LOSS: f64 = 0.01;

pub(crate) fn entries() -> Vec<Entry> {
    let world = Shared::default();
    let entry = |millions: u32| {
        let world = world.clone();
        Entry {
            name: name(millions),
            make: Box::new(move |size| {
                let world = world.plain(&CARRIERS)?;
                Ok(Box::new(Beside::new(world, millions, size)?) as Box<dyn Room>)
            }),
        }
    };
    STRANGERS.map(entry).into_iter().collect()
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
    mixed: Option<Generator>,
    listed: f64,
}

struct Beside {
    millions: u32,
    duration: Duration,
    receivers: Vec<Receiver>,
    world: Rc<World>,
}

impl Beside {
    fn new(world: Rc<World>, millions: u32, size: Size) -> Result<Self> {
        let receiver = |host: &Host| {
            receive_in_a_thread(&host.ns)?;
            Ok(Receiver {
                carrier: host.carrier,
                sink: ToSink::attach(&host.ns, host.carrier.overlay())?,
                capacity: 0.0,
                mixed: None,
                listed: 0.0,
            })
        };
        let receivers = world.hosts.iter().map(receiver).collect::<Result<_>>()?;
        let duration = Duration::from_millis(if size == Size::Full { 300 } else { 100 });
        Ok(Self { millions, duration, receivers, world })
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
    /// Measures what it can carry, and makes the mixture.
    fn prepare(&mut self, world: &World, millions: u32) -> Result<()> {
        let host = world.hosts.iter().find(|host| host.carrier == self.carrier);
        let host = host.context("no host")?;
        let (good, bad) = (SHAPE.received(host)?, Stranger::UnknownVni.frames(host)?);
        let (mut carried, mut lost) = LIMITS;
        for _ in 0..STEPS {
            let rate = f64::midpoint(carried, lost);
            let generator = Generator::paced(&world.generator, &host.wire, &good, rate)?;
            let frames = (rate * STEP.as_secs_f64()) as u32;
            let flight = Flight::of(&generator, &mut self.sink, frames)?;
            let all = flight.delivered as f64 >= (1.0 - LOSS) * flight.sent as f64;
            *(if all { &mut carried } else { &mut lost }) = rate;
        }
        self.capacity = carried;
        let strangers = f64::from(millions) * 1e6;
        let rate = self.capacity / 2.0 + strangers;
        // Evenly spread.
        let part = strangers / rate;
        let (mut owed, mut frames) = (0.0, Vec::with_capacity(LIST));
        let mut listed = 0;
        for index in 0..LIST {
            owed += part;
            if owed >= 1.0 {
                owed -= 1.0;
                frames.push(&bad[index % bad.len()]);
            } else {
                listed += 1;
                frames.push(&good[index % good.len()]);
            }
        }
        self.listed = f64::from(listed) / LIST as f64;
        self.mixed = Some(Generator::paced(&world.generator, &host.wire, &frames, rate)?);
        Ok(())
    }
}

impl Room for Beside {
    fn benches(&self) -> Vec<Bench> {
        let condition = format!(
            "VXLAN frames with 64 bytes each: those of a peer at half of what the arm carries \
             alone with a loss of up to 1 %, evenly mixed with {} million a second of unknown \
             VNIs; sent by XDP live frames on one CPU, received by a thread on another (ring of \
             256), to a TC program that counts: which part of the peer's arrives",
            self.millions
        );
        vec![Bench {
            name: name(self.millions),
            condition,
            unit: "part".to_owned(),
            better: Better::More,
            baseline: Carrier::Kernel.arm().name,
            arms: self.receivers.iter().map(|receiver| receiver.carrier.arm()).collect(),
        }]
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        let (world, millions) = (Rc::clone(&self.world), self.millions);
        self.receiver(arm)?.prepare(&world, millions)
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let (world, duration, millions) = (Rc::clone(&self.world), self.duration, self.millions);
        let receiver = self.receiver(arm)?;
        let host = world.hosts.iter().find(|host| host.carrier == receiver.carrier);
        let host = host.context("no host")?;
        let mixed = receiver.mixed.as_ref().context("not prepared")?;
        let rate = receiver.capacity / 2.0 + f64::from(millions) * 1e6;
        // Whole rounds of the list.
        let rounds = (rate * duration.as_secs_f64() / LIST as f64).ceil();
        mixed.rewind()?;
        let before = host.losses(&world.generator)?;
        let flight = Flight::of(mixed, &mut receiver.sink, (rounds * LIST as f64) as u32)?;
        let listed = flight.sent as f64 * receiver.listed;
        let losses = added(&host.losses(&world.generator)?, &before);
        conserved(host, &flight, listed as u64, &losses)?;
        let reached = flight.sent as f64 / flight.duration.as_secs_f64() / rate;
        let void = if flight.stolen {
            Some("the hypervisor ran something else".to_owned())
        } else {
            (reached < RATE_REACHED)
                .then(|| format!("the generator reached {:.0} % of its rate", reached * 100.0))
        };
        Ok(Reading { values: vec![flight.delivered as f64 / listed], void })
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
