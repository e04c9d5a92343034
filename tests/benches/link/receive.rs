//! Receiving: frames arrive at the underlay interface, and end where the overlay interface
//! receives, in a TC program that counts and drops them, or in a socket.

use std::{rc::Rc, time::Duration};

use anyhow::{Result, ensure};
use vxlan_tests::{packet::Checksum, sniff::Sniffer};

use crate::{
    frames::{PORT, Shape},
    host::{Carrier, Host, Shared, World},
    lanes::{Lane, Lanes, ToSink},
    programs::Generator,
    room::{Entry, Room, Size},
    socket::{Merging, Reader, ToSocket},
};

const SIZES: [usize; 3] = [64, 512, 1_400];
const FLOWS: [usize; 2] = [1, 1_024];
const FROM: &str = "from XDP live frames into the veth of the underlay";

pub(crate) fn entries() -> Vec<Entry> {
    let world = Shared::default();
    let ends = [
        Target::Sink,
        Target::Socket(Merging::Off, Reader::Here),
        Target::Socket(Merging::Off, Reader::Elsewhere),
        Target::Socket(Merging::On, Reader::Here),
    ];
    let mut entries = Vec::new();
    for target in ends {
        for flows in FLOWS {
            for bytes in SIZES {
                // For comparison with the socket that is read on the same CPU.
                let elsewhere = matches!(target, Target::Socket(_, Reader::Elsewhere));
                if elsewhere && (bytes == 512 || flows > 1) {
                    continue;
                }
                let (world, shape) =
                    (world.clone(), Shape { bytes, flows, checksum: target.checksum() });
                entries.push(Entry {
                    name: format!("receive/{}/{}", target.name(), shape.name()),
                    make: Box::new(move |size| {
                        let world = world.plain(&Carrier::ALL)?;
                        Ok(Box::new(target.lanes(world, shape, size)?) as Box<dyn Room>)
                    }),
                });
            }
        }
    }
    entries
}

/// Where packets end.
#[derive(Debug, Clone, Copy)]
enum Target {
    Sink,
    Socket(Merging, Reader),
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Socket(Merging::Off, Reader::Here) => "socket",
            Self::Socket(Merging::Off, Reader::Elsewhere) => "socket-2cpus",
            Self::Socket(Merging::On, _) => "socket-gro",
        }
    }

    fn checksum(self) -> Checksum {
        match self {
            Self::Sink => Checksum::Zero,
            Self::Socket(..) => Checksum::Right,
        }
    }

    fn condition(self, shape: Shape) -> String {
        let (bytes, flows) = (shape.bytes, shape.flows());
        let end = match self {
            Self::Sink => {
                "to a TC program on the overlay interface that counts and drops; CPU time of \
                 generator and softirqs"
            }
            Self::Socket(Merging::Off, Reader::Elsewhere) => {
                "to a UDP socket that another CPU reads; CPU time of generator and softirqs"
            }
            Self::Socket(Merging::Off, Reader::Here) => {
                "to a UDP socket that reads up to 64 datagrams at once; CPU time of generator, \
                 softirqs and reader"
            }
            Self::Socket(Merging::On, _) => {
                "to a UDP socket with UDP_GRO; CPU time of generator, softirqs and reader"
            }
        };
        format!("UDP frames of {bytes} bytes, {flows}, {FROM}, {end}, on one CPU")
    }

    fn lanes(self, world: Rc<World>, shape: Shape, size: Size) -> Result<Lanes> {
        let lane = |host: &Host| {
            let frames = shape.received(host)?;
            let generator = Generator::new(&world.generator, &host.wire, &frames)?;
            match self {
                Self::Sink => {
                    let end = ToSink::attach(&host.ns, host.carrier.overlay())?;
                    Lane::new(&world, host, host.carrier.arm(), shape, generator, end)
                }
                Self::Socket(merging, reader) => {
                    let payload = shape.payload().len();
                    let end = ToSocket::open(&host.ns, PORT, payload, merging, reader)?;
                    Lane::new(&world, host, host.carrier.arm(), shape, generator, end)
                }
            }
        };
        Ok(Lanes {
            name: format!("receive/{}/{}", self.name(), shape.name()),
            condition: self.condition(shape),
            packets: size.packets(400_000),
            lanes: world.hosts.iter().map(lane).collect::<Result<_>>()?,
            check,
            world,
        })
    }
}

/// The first frames as they arrive at the overlay interface, and whether they get to the end.
pub(crate) fn check(world: &World, lane: &mut Lane) -> Result<()> {
    let shape = lane.shape;
    let host = world.host(lane.spec)?;
    let count = shape.flows.min(64);
    let expected: Vec<_> =
        (0..count).map(|flow| shape.inner(host, flow).build().to_vec()).collect();
    let is_ipv4 = |frame: &[u8]| frame[12..14] == [8, 0];
    let sniffer = Sniffer::start(&host.ns, host.carrier.overlay(), is_ipv4)?;
    lane.source.rewind()?;
    lane.end.open()?;
    let source = &lane.source;
    source.ns().exec(|| source.send(count as u32))??;
    sniffer.wait_for(count, Duration::from_secs(5));
    let frames = sniffer.finish()?.frames;
    let found: Vec<_> = frames.into_iter().map(|captured| captured.frame).collect();
    // GRO may have merged them for a socket that wants that.
    if found.len() == count {
        ensure!(found == expected, "other frames than were sent");
    }
    lane.arrived(count as u64)
}
