//! Receiving: frames arrive at the underlay interface, and end in a TC program that counts them
//! where the overlay interface receives.

use std::{
    cell::OnceCell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    bench::{Bench, Better},
    conserve::softnet_dropped,
    sniff::Sniffer,
};

use crate::{
    cpu::{cost, measured},
    frames::Shape,
    host::{Carrier, World},
    loss::Ledger,
    programs::{Generator, Sink},
    room::{Entry, Reading, Room, Size},
};

const SIZES: [usize; 3] = [64, 512, 1_400];
const FLOWS: [usize; 2] = [1, 1_024];

/// Hosts that several benchmarks share, made when the first one's turn comes.
pub(crate) type Shared = Rc<OnceCell<Rc<World>>>;

pub(crate) fn shared(world: &Shared, carriers: &[Carrier]) -> Result<Rc<World>> {
    if let Some(world) = world.get() {
        return Ok(Rc::clone(world));
    }
    let new = Rc::new(World::new(carriers, "")?);
    Ok(Rc::clone(world.get_or_init(|| new)))
}

pub(crate) fn entries() -> Vec<Entry> {
    let world = Shared::default();
    let shapes = FLOWS.iter().flat_map(|&flows| SIZES.map(|bytes| Shape { bytes, flows }));
    let entry = |shape: Shape| {
        let world = Rc::clone(&world);
        Entry {
            name: format!("receive/sink/{}", shape.name()),
            make: Box::new(move |size| {
                let world = shared(&world, &Carrier::ALL)?;
                Ok(Box::new(ToSink::new(world, shape, size)?))
            }),
        }
    };
    shapes.map(entry).collect()
}

struct ToSink {
    shape: Shape,
    packets: u32,
    /// For each host.
    paths: Vec<(Generator, Sink, Ledger)>,
    world: Rc<World>,
}

impl ToSink {
    fn new(world: Rc<World>, shape: Shape, size: Size) -> Result<Self> {
        let path = |host: &crate::host::Host| {
            let frames = shape.received(host)?;
            let generator = Generator::new(&world.generator, &host.wire, &frames)?;
            let sink = Sink::attach(&host.ns, host.carrier.overlay())?;
            Ok((generator, sink, Ledger::open(&world, host)?))
        };
        let paths = world.hosts.iter().map(path).collect::<Result<_>>()?;
        let packets = match size {
            Size::Full => 600_000,
            Size::Quick => 200_000,
        };
        Ok(Self { shape, packets, paths, world })
    }

    fn index(&self, arm: &str) -> Result<usize> {
        let carrier = Carrier::named(arm)?;
        let found = self.world.hosts.iter().position(|host| host.carrier == carrier);
        found.context("no host")
    }
}

impl Room for ToSink {
    fn benches(&self) -> Vec<Bench> {
        let Shape { bytes, flows } = self.shape;
        vec![Bench {
            name: format!("receive/sink/{}", self.shape.name()),
            condition: format!(
                "UDP frames of {bytes} bytes in {flows} flows in turn, from XDP live frames into \
                 the veth of the underlay, to a TC program on the overlay interface that counts \
                 and drops; CPU time of generator and softirqs, one CPU"
            ),
            unit: "ns/packet".to_owned(),
            better: Better::Less,
            baseline: Carrier::Kernel.arm().name,
            arms: self.world.hosts.iter().map(|host| host.carrier.arm()).collect(),
        }]
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        let index = self.index(arm)?;
        let host = &self.world.hosts[index];
        let (generator, sink, _) = &self.paths[index];
        let count = self.shape.flows.min(64);
        let expected: Vec<_> =
            (0..count).map(|flow| self.shape.inner(host, flow).build().to_vec()).collect();
        let sniffer =
            Sniffer::start(&host.ns, host.carrier.overlay(), |frame| frame[12..14] == [8, 0])?;
        generator.rewind()?;
        let before: u64 = sink.packets()?.iter().sum();
        generator.ns().exec(|| generator.send(count as u32))??;
        sniffer.wait_for(count, Duration::from_secs(5));
        let frames = sniffer.finish()?.frames;
        let found: Vec<_> = frames.into_iter().map(|captured| captured.frame).collect();
        ensure!(found == expected, "{} frames of {count}, or others than were sent", found.len());
        let sunk = sink.packets()?.iter().sum::<u64>() - before;
        ensure!(sunk == count as u64, "{sunk} of {count} frames reached the program");
        Ok(())
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let index = self.index(arm)?;
        let (generator, sink, ledger) = &mut self.paths[index];
        let (before, sent_before) = (sink.packets()?, generator.sent()?);
        let overflowed = softnet_dropped()?;
        let sent = || -> Result<u64> { Ok(generator.sent()? - sent_before) };
        let sunk = || -> Result<Vec<u64>> {
            let now = sink.packets()?;
            Ok(now.iter().zip(&before).map(|(now, before)| now - before).collect())
        };
        let packets = self.packets;
        let cost = cost(generator.ns(), || {
            generator.send(packets)?;
            let deadline = Instant::now() + Duration::from_millis(200);
            let sent = sent()?;
            // What ksoftirqd has still to do.
            while sunk()?.iter().sum::<u64>() < sent && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(sent)
        })?;
        let (sent, sunk) = (sent()?, sunk()?);
        let delivered: u64 = sunk.iter().sum();
        let void = ledger.settle(&self.world, sent, delivered, overflowed)?;
        let elsewhere = delivered - sunk.get(measured()?).copied().unwrap_or(0);
        let void = void.or(cost.void).or_else(|| {
            (elsewhere * 100 > delivered)
                .then(|| format!("{elsewhere} of {delivered} packets came on another CPU"))
        });
        Ok(Reading { values: vec![cost.time.as_nanos() as f64 / sent as f64], void })
    }
}
