//! Transmitting: packets that are forwarded into the overlay, or sent from a socket, end in a TC
//! program at the far end of the underlay.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Result, ensure};
use vxlan_tests::{
    packet::{Checksum, ones_complement_sum},
    sniff::Sniffer,
};

use crate::{
    frames::{PORT, Shape},
    host::{Carrier, Host, OWN, OWN_INNER, PEER_INNER, Shared, VNI, World},
    lanes::{Lane, Lanes, ToSink},
    peers,
    programs::Generator,
    room::{Entry, Room, Size},
    socket::{FromSocket, Merging},
};

/// The modes differ in receiving alone; so does an XDP program on the underlay.
const CARRIERS: [Carrier; 4] =
    [Carrier::Native, Carrier::Kernel, Carrier::KernelXdp, Carrier::None];

fn shape(bytes: usize, flows: usize) -> Shape {
    Shape { bytes, flows, checksum: Checksum::Zero }
}

pub(crate) fn entries() -> Vec<Entry> {
    let world = Shared::default();
    let mut cases = Vec::new();
    for flows in [1, 1_024] {
        cases.extend([64, 512, 1_400].map(|bytes| (Origin::Forwarded, shape(bytes, flows))));
    }
    for merging in [Merging::Off, Merging::On] {
        let shapes = [64, 512, 1_400].map(|bytes| shape(bytes, 1));
        cases.extend(shapes.map(|shape| (Origin::Socket(merging), shape)));
    }
    let entry = |(origin, shape): (Origin, Shape)| {
        let world = world.clone();
        Entry {
            name: format!("transmit/{}/{}", origin.name(), shape.name()),
            make: Box::new(move |size| {
                let world = world.plain(&CARRIERS)?;
                Ok(Box::new(origin.lanes(world, shape, size)?) as Box<dyn Room>)
            }),
        }
    };
    cases.into_iter().map(entry).collect()
}

/// Where packets come from.
#[derive(Debug, Clone, Copy)]
enum Origin {
    Forwarded,
    Socket(Merging),
}

impl Origin {
    fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Socket(Merging::Off) => "socket",
            Self::Socket(Merging::On) => "socket-gso",
        }
    }

    fn condition(self, shape: Shape) -> String {
        let (bytes, flows) = (shape.bytes, shape.flows());
        let from = match self {
            Self::Forwarded => {
                "from XDP live frames into the veth of a third interface, routed into the overlay"
            }
            Self::Socket(Merging::Off) => "from a connected UDP socket, 64 in one system call",
            Self::Socket(Merging::On) => "from a connected UDP socket with UDP_SEGMENT",
        };
        format!(
            "UDP frames of {bytes} bytes, {flows}, {from}, to a TC program at the \
             far end of the underlay that counts and drops; CPU time of sender and softirqs, on \
             one CPU"
        )
    }

    fn lanes(self, world: Rc<World>, shape: Shape, size: Size) -> Result<Lanes> {
        let lane = |host: &Host| {
            let end = ToSink::attach(&world.generator, &host.wire)?;
            match self {
                Self::Forwarded => {
                    let frames = shape.forwarded(host);
                    let generator = Generator::new(&world.generator, &host.lan, &frames)?;
                    Lane::new(&world, host, host.carrier.arm(), shape, generator, end)
                }
                Self::Socket(merging) => {
                    let to = SocketAddr::from((PEER_INNER, PORT));
                    let payload = shape.payload();
                    let source = FromSocket::connect(&host.ns, OWN_INNER, to, &payload, merging)?;
                    Lane::new(&world, host, host.carrier.arm(), shape, source, end)
                }
            }
        };
        Ok(Lanes {
            name: format!("transmit/{}/{}", self.name(), shape.name()),
            condition: self.condition(shape),
            packets: size.packets(300_000),
            lanes: world.hosts.iter().map(lane).collect::<Result<_>>()?,
            check,
            world,
        })
    }
}

/// The first packets as they arrive at the far end of the underlay.
pub(crate) fn check(world: &World, lane: &mut Lane) -> Result<()> {
    let shape = lane.shape;
    let host = world.host(lane.spec)?;
    let sniffer = Sniffer::start(&world.generator, &host.wire, |frame| frame[12..14] == [8, 0])?;
    lane.source.rewind()?;
    lane.end.open()?;
    let source = &lane.source;
    let count = source.ns().exec(|| source.send(shape.flows.min(64) as u32))??;
    sniffer.wait_for(count as usize, Duration::from_secs(5));
    let frames = sniffer.finish()?.frames;
    ensure!(frames.len() as u64 == count, "{} frames of {count}", frames.len());
    for (flow, frame) in frames.iter().enumerate() {
        let peer = flow % host.spec.peers;
        let tunnels = host.carrier.tunnels();
        let inner = if tunnels { inner(host, peer, &frame.frame)? } else { &frame.frame };
        ensure!(inner.len() == shape.bytes, "{} bytes of {}", inner.len(), shape.bytes);
        ensure!(inner[42..] == shape.payload(), "another payload in flow {flow}");
        ensure!(checksum_is_right(inner), "a wrong checksum in flow {flow}");
        let port = u16::from_be_bytes([inner[34], inner[35]]);
        ensure!(usize::from(port) == 10_000 + flow % shape.flows, "flow {flow}: port {port}");
        ensure!(inner[30..34] == peers::inner(peer).octets(), "flow {flow}: to another host");
    }
    lane.arrived(count)
}

/// Of a UDP datagram over IPv4, if it has one.
fn checksum_is_right(frame: &[u8]) -> bool {
    let datagram = &frame[34..];
    let pseudo_header = [&frame[26..34], &[0, 17], &datagram[4..6]].concat();
    datagram[6..8] == [0, 0] || ones_complement_sum(&[&pseudo_header, datagram]) == 0xffff
}

/// What is in the tunnel.
fn inner<'a>(host: &Host, peer: usize, frame: &'a [u8]) -> Result<&'a [u8]> {
    let wrong = format!("{:02x?}", &frame[..frame.len().min(64)]);
    ensure!(frame.len() > 64, "a frame of {} bytes", frame.len());
    ensure!(frame[6..12] == host.mac, "not from the underlay interface: {wrong}");
    ensure!(frame[23] == 17 && frame[26..30] == OWN.octets(), "from another host: {wrong}");
    ensure!(frame[30..34] == peers::endpoint(peer).octets(), "to another host: {wrong}");
    ensure!(frame[36..38] == 4_789_u16.to_be_bytes(), "another port: {wrong}");
    ensure!(frame[46..49] == VNI.to_be_bytes()[1..], "another network: {wrong}");
    ensure!(frame[50..56] == peers::mac(peer), "to another MAC address: {wrong}");
    Ok(&frame[50..])
}
