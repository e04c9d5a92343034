//! Benchmarks of packets on one CPU: each arm is a lane from a source to an end, and what is
//! measured is the CPU time of everything between.

use std::{
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Ns,
    bench::{Arm, Bench, Better},
    conserve::softnet_dropped,
    wait::wait_until,
};

use crate::{
    cpu::{cost, measured},
    frames::Shape,
    host::{Carrier, Host, Spec, World},
    loss::Ledger,
    programs::{Generator, Sink},
    room::{Reading, Room},
};

/// For how long nothing may arrive before what is still missing is lost.
const LATE: Duration = Duration::from_millis(500);

/// What sends.
pub(crate) trait Source: Sync {
    /// Where it is called.
    fn ns(&self) -> &Ns;

    /// Sends about so many packets and returns how many it was.
    fn send(&self, packets: u32) -> Result<u64>;

    /// Begins with the first flow again.
    fn rewind(&self) -> Result<()> {
        Ok(())
    }
}

impl Source for Generator {
    fn ns(&self) -> &Ns {
        self.ns()
    }

    fn send(&self, packets: u32) -> Result<u64> {
        let before = self.sent()?;
        self.send(packets)?;
        Ok(self.sent()? - before)
    }

    fn rewind(&self) -> Result<()> {
        self.rewind()
    }
}

/// Where packets end.
pub(crate) trait End {
    /// Before a sample.
    fn open(&mut self) -> Result<()>;

    /// How many packets have come since.
    fn packets(&self) -> Result<u64>;

    /// Is each packet one in the kernel, too? Not where GRO merges them.
    fn counts_packets(&self) -> bool {
        true
    }

    /// After the sample: CPU time that was spent here and not by the source or softirqs, and why
    /// the sample does not count.
    fn close(&mut self) -> Result<(Duration, Option<String>)>;
}

/// A TC program that counts and drops. Clones have the same program.
#[derive(Debug, Clone)]
pub(crate) struct ToSink {
    /// Of several on one interface the first would get all packets: so lanes of one host share it.
    sink: Arc<Sink>,
    before: Vec<u64>,
}

impl ToSink {
    pub(crate) fn attach(ns: &Ns, interface: &str) -> Result<Self> {
        Ok(Self { sink: Arc::new(Sink::attach(ns, interface)?), before: Vec::new() })
    }

    /// The same in XDP.
    pub(crate) fn attach_xdp(ns: &Ns, interface: &str) -> Result<Self> {
        Ok(Self { sink: Arc::new(Sink::attach_xdp(ns, interface)?), before: Vec::new() })
    }

    /// On each CPU.
    fn counts(&self) -> Result<Vec<u64>> {
        let now = self.sink.packets()?;
        Ok(now.iter().zip(&self.before).map(|(now, before)| now - before).collect())
    }
}

impl End for ToSink {
    fn open(&mut self) -> Result<()> {
        self.before = self.sink.packets()?;
        Ok(())
    }

    fn packets(&self) -> Result<u64> {
        Ok(self.counts()?.iter().sum())
    }

    fn close(&mut self) -> Result<(Duration, Option<String>)> {
        let counts = self.counts()?;
        let all: u64 = counts.iter().sum();
        let elsewhere = all - counts.get(measured()?).copied().unwrap_or(0);
        let void = (elsewhere * 100 > all)
            .then(|| "more than 1 % of the packets came on another CPU".to_owned());
        Ok((Duration::ZERO, void))
    }
}

/// One arm.
pub(crate) struct Lane {
    pub(crate) arm: Arm,
    pub(crate) spec: Spec,
    pub(crate) shape: Shape,
    pub(crate) source: Box<dyn Source>,
    pub(crate) end: Box<dyn End>,
    ledger: Ledger,
}

impl Lane {
    pub(crate) fn new(
        world: &World,
        host: &Host,
        arm: Arm,
        shape: Shape,
        source: impl Source + 'static,
        end: impl End + 'static,
    ) -> Result<Self> {
        let ledger = Ledger::open(world, host)?;
        let (source, end) = (Box::new(source), Box::new(end));
        Ok(Self { arm, spec: host.spec, shape, source, end, ledger })
    }

    /// Waits until so many packets have got to the end since that was opened, and closes it.
    pub(crate) fn arrived(&mut self, count: u64) -> Result<()> {
        let arrived = wait_until("all packets to arrive", Duration::from_secs(5), || {
            Ok(self.end.packets()? >= count)
        });
        let found = self.end.packets()?;
        self.end.close()?;
        arrived?;
        ensure!(found == count, "{found} packets have arrived of {count}");
        Ok(())
    }
}

/// Says whether a lane delivers the right bytes.
pub(crate) type Check = fn(&World, &mut Lane) -> Result<()>;

/// All arms of a benchmark.
pub(crate) struct Lanes {
    pub(crate) name: String,
    pub(crate) condition: String,
    /// For each sample.
    pub(crate) packets: u32,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) check: Check,
    pub(crate) world: Rc<World>,
}

impl Lanes {
    fn index(&self, arm: &str) -> Result<usize> {
        let found = self.lanes.iter().position(|lane| lane.arm.name == arm);
        found.with_context(|| format!("there is no arm {arm}"))
    }
}

impl Room for Lanes {
    fn benches(&self) -> Vec<Bench> {
        let arms = self.lanes.iter().map(|lane| lane.arm.clone()).collect();
        vec![Bench {
            name: self.name.clone(),
            condition: self.condition.clone(),
            unit: "ns/packet".to_owned(),
            better: Better::Less,
            baseline: Carrier::Kernel.arm().name,
            arms,
        }]
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        let index = self.index(arm)?;
        (self.check)(&self.world, &mut self.lanes[index])
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let index = self.index(arm)?;
        let Lane { source, end, ledger, .. } = &mut self.lanes[index];
        let overflowed = softnet_dropped()?;
        end.open()?;
        let unmerged = end.counts_packets();
        let packets = self.packets;
        // What ksoftirqd and readers have still to do.
        let settled = |sent| {
            let (mut arrived, mut last) = (0, Instant::now());
            while arrived < sent && last.elapsed() < LATE {
                thread::sleep(Duration::from_millis(1));
                let now = end.packets()?;
                if now > arrived {
                    (arrived, last) = (now, Instant::now());
                }
            }
            Ok(())
        };
        let cost = cost(source.ns(), unmerged, || source.send(packets), settled)?;
        let sent = cost.sent;
        let delivered = end.packets()?;
        let (time, void) = end.close()?;
        let lost = ledger.settle(&self.world, sent, delivered, overflowed)?;
        let time = cost.time + time;
        let value = time.as_nanos() as f64 / delivered.max(1) as f64;
        Ok(Reading { values: vec![value], void: lost.or(void).or(cost.void) })
    }
}
