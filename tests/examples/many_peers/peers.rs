//! Peers that answer, played by the product's own probers over one socket: so many daemons would
//! need more than this machine has.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use vxlan_common::{
    addr::{Address, IPV4},
    probe::{FRAME_LEN, ProbeTag, ReceivedProbe, TAG_AT},
    wire::VXLAN_LEN,
};
use vxlan_tests::{
    Ns,
    frame_socket::FrameSocket,
    packet::{Eth, Ipv4, Mac, Packet, Udp},
};
use vxlan_user::{
    dataplane::now,
    nat::SourcePorts,
    probe::{Action, Key, Prober, ProberConfig, name_id},
};

/// The address that the daemon has.
pub(crate) const HUB: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The address of all peers that are behind a NAT.
pub(crate) const NAT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const PORT: u16 = 4_789;
/// Both defaults.
const PROBE_VNI: [u8; 3] = [0xff; 3];
const INTERVAL: Duration = Duration::from_secs(5);
/// How late a probe may be sent.
const TURN: Duration = Duration::from_millis(2);
/// Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;

/// Key of a peer, as in its file.
pub(crate) fn key(peer: usize) -> String {
    format!("{:064x}", peer + 1)
}

/// Where a peer is that is not behind the NAT.
pub(crate) fn address(peer: usize) -> Ipv4Addr {
    let [_, _, high, low] = (peer as u32).to_be_bytes();
    Ipv4Addr::new(198, 18, high, low)
}

/// Peers that are at work until dropped.
pub(crate) struct Peers {
    first_port: Arc<AtomicU32>,
    stop: Arc<AtomicU32>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Peers {
    /// Plays the peers on an interface to which their packets are routed. With a `first_port` they
    /// are behind one NAT, each with a port of its own from there on.
    pub(crate) fn start(
        ns: &Ns,
        interface: &str,
        peers: usize,
        hub: Mac,
        first_port: Option<u16>,
    ) -> Result<Self> {
        let first = Arc::new(AtomicU32::new(first_port.map_or(0, u32::from)));
        let stop = Arc::new(AtomicU32::new(0));
        let each: Vec<Prober> = (0..peers).map(|peer| prober(peer, first_port.is_some())).collect();
        let tags = (0..peers).map(|peer| Ok((key_of(peer)?.tag(), peer)));
        let mut world = World {
            socket: FrameSocket::open(ns, interface)?,
            link: Eth::new(hub, ns.mac(interface)?),
            due: vec![Duration::ZERO; each.len()],
            peers: each,
            by_tag: tags.collect::<Result<_>>()?,
            first_port: Arc::clone(&first),
        };
        let stopped = Arc::clone(&stop);
        let run = move || {
            while stopped.load(Ordering::Relaxed) == 0 {
                world.turn()?;
            }
            match world.socket.lost()? {
                0 => Ok(()),
                lost => bail!("the peers were too slow for {lost} frames"),
            }
        };
        Ok(Self { first_port: first, stop, thread: Some(thread::spawn(run)) })
    }

    /// The NAT gives each peer another port, and knows the former ones no longer.
    pub(crate) fn move_to(&self, first_port: u16) {
        self.first_port.store(first_port.into(), Ordering::Relaxed);
    }

    /// Ends them.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.stop.store(1, Ordering::Relaxed);
        let thread = self.thread.take().map(JoinHandle::join);
        thread.unwrap_or(Ok(Ok(()))).map_err(|_| anyhow!("the peers have panicked"))?
    }
}

fn key_of(peer: usize) -> Result<Key> {
    Key::parse(&key(peer)).map_err(|error| anyhow!("{error}"))
}

fn prober(peer: usize, behind_nat: bool) -> Prober {
    let own = if behind_nat { Ipv4Addr::new(10, 0, 0, 1) } else { address(peer) };
    let config = ProberConfig {
        peer: "hub".to_owned(),
        local: name_id(&format!("p{peer}")),
        remote: name_id("hub"),
        key: key_of(peer).expect("64 digits"),
        session: 1 + peer as u64,
        interval: INTERVAL,
        keepalive: INTERVAL * 5,
        vni: PROBE_VNI,
        port: PORT,
        fixed_source_port: behind_nat,
        addresses: vec![own.into()],
        public_addresses: Vec::new(),
        private_addresses: Vec::new(),
        ports: SourcePorts::Fixed(PORT),
        ttl: 64,
        tos: 0,
        learned: false,
        endpoint: Some((HUB, PORT).into()),
        // No path MTU is searched.
        mtu: 1_200,
    };
    Prober::new(config, now())
}

struct World {
    socket: FrameSocket,
    link: Eth,
    peers: Vec<Prober>,
    due: Vec<Duration>,
    by_tag: HashMap<ProbeTag, usize>,
    first_port: Arc<AtomicU32>,
}

impl World {
    fn turn(&mut self) -> Result<()> {
        let first_port = self.first_port.load(Ordering::Relaxed) as u16;
        let mut frames = Vec::new();
        while let Some(frame) = self.socket.receive()? {
            let Some((arrived, tag)) = arrived(frame) else { continue };
            let Some(peer) = self.by_tag.get(&tag).copied() else { continue };
            if first_port != 0 && arrived.destination_port != first_port + peer as u16 {
                continue;
            }
            let Some(prober) = self.peers.get_mut(peer) else { continue };
            let actions = prober.arrived(&arrived, now(), &mut rand::random);
            self.due[peer] = prober.next_poll(now());
            let actions = actions.unwrap_or_default();
            frames.extend(sent(&self.link, first_port, peer, actions));
        }
        for (peer, prober) in self.peers.iter_mut().enumerate() {
            let now = now();
            if self.due[peer] <= now {
                let actions = prober.poll(now, &mut rand::random);
                self.due[peer] = prober.next_poll(now);
                frames.extend(sent(&self.link, first_port, peer, actions));
            }
        }
        self.socket.send(&frames)?;
        self.socket.wait(TURN)
    }
}

/// The frames of these actions, as they leave the peer's NAT if it has one.
fn sent(link: &Eth, first_port: u16, peer: usize, actions: Vec<Action>) -> Vec<Vec<u8>> {
    let frame = |action| {
        let Action::Transmit(packet) = action else { return None };
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (packet.source, packet.destination) else {
            return None;
        };
        let (address, port) = match first_port {
            0 => (*from.ip(), from.port()),
            first => (NAT, first + peer as u16),
        };
        let udp = Udp { dst_port: to.port(), ..Udp::vxlan(port) };
        let ip = Ipv4 { ttl: packet.ttl, tos: packet.tos, ..Ipv4::new(address, *to.ip()) };
        let frame = Packet::new().with(link.clone()).with(ip).with(udp).payload(&packet.payload);
        Some(frame.build().to_vec())
    };
    actions.into_iter().filter_map(frame).collect()
}

/// A probe, as the programs would hand it over, and its tag.
fn arrived(frame: &[u8]) -> Option<(ReceivedProbe, ProbeTag)> {
    let (headers, payload) = frame.split_at_checked(HEADERS)?;
    let be16 = |at: usize| Some(u16::from_be_bytes(*headers.get(at..)?.first_chunk()?));
    let address = |at: usize| Some(Address::ipv4(*headers.get(at..)?.first_chunk()?));
    if be16(12)? != 0x0800 || headers.get(23) != Some(&17) || be16(36)? != PORT && be16(34)? != PORT
    {
        return None;
    }
    let probe = ReceivedProbe {
        at: now().as_nanos() as u64,
        peer: 0,
        length: be16(16)?.into(),
        source: address(26)?,
        destination: address(30)?,
        source_port: be16(34)?,
        destination_port: be16(36)?,
        checksum: [0; 2],
        family: IPV4,
        ttl: *headers.get(22)?,
        tos: *headers.get(15)?,
        dont_fragment: 1,
        pad: [0; 2],
        bytes: *payload.first_chunk::<{ VXLAN_LEN + FRAME_LEN }>()?,
        pad_end: [0; 6],
    };
    let tag = *payload.get(VXLAN_LEN + TAG_AT..)?.first_chunk()?;
    Some((probe, tag))
}
