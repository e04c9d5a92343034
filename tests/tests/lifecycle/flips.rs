//! An endpoint that changes under traffic: every packet on the wire goes to the old one or to the
//! new one. The real program on a real interface, senders on as many threads as it takes, and the
//! data plane's own way to change a peer.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{
    LinkOrder, TcAttachType,
    tc::{NlOptions, TcAttachOptions, qdisc_add_clsact},
};
use vxlan_tests::{
    Ns, Pair, Wire,
    conserve::{link_stats, quiet},
    kernel::{self, Feature},
    link::set_queue,
    packet::hex,
    sniff::Sniffer,
};
use vxlan_user::{
    config,
    dataplane::{DataPlane, LoadOptions, names},
    plan::{Inherited, OverlayFacts, PeerPath, Plan, UnderlayFacts, peer_entry},
};

use crate::host::CONFIG;

const FLIPS: u64 = 10_000;
/// Of each endpoint, at least as many packets must have been seen.
const SEEN: u64 = 50_000;
const SENDERS: u16 = 2;
const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint, and the gateway to it, with the MAC address of that.
struct Place {
    endpoint: &'static str,
    gateway: &'static str,
    mac: [u8; 6],
}

/// They differ in every byte of address, port, gateway and MAC address.
const PLACES: [Place; 2] = [
    Place {
        endpoint: "192.0.2.1:4789",
        gateway: "203.0.113.77",
        mac: [0x02, 0x11, 0x22, 0x33, 0x44, 0x55],
    },
    Place {
        endpoint: "198.51.100.200:40961",
        gateway: "10.7.99.140",
        mac: [0x06, 0x66, 0x77, 0x88, 0x99, 0xaa],
    },
];

impl Place {
    fn endpoint(&self) -> Result<SocketAddr> {
        Ok(self.endpoint.parse()?)
    }

    fn path(&self) -> Result<PeerPath> {
        let gateway: IpAddr = self.gateway.parse()?;
        Ok(PeerPath { endpoint: self.endpoint()?, gateway, resolved: true, mtu: 1500 })
    }

    /// What a frame to it says of where it goes: MAC address, IP address, port.
    fn marks(&self) -> Result<[Vec<u8>; 3]> {
        let endpoint = self.endpoint()?;
        let IpAddr::V4(address) = endpoint.ip() else { anyhow::bail!("not IPv4") };
        let port = endpoint.port().to_be_bytes().to_vec();
        Ok([self.mac.to_vec(), address.octets().to_vec(), port])
    }
}

/// The same three of a frame without options in its IPv4 header.
fn marks_of(frame: &[u8]) -> [Vec<u8>; 3] {
    [0..6, 30..34, 36..38].map(|range| frame.get(range).unwrap_or_default().to_vec())
}

/// `b` with the overlay's interface and neighbours, all made by hand.
fn prepare(ns: &Ns) -> Result<()> {
    ns.run("ip link add vxlan43 type veth peer name vxport43")?;
    ns.run("ip addr add 192.168.44.1/24 dev vxlan43")?;
    ns.run("ip link set vxport43 up")?;
    ns.run("ip link set vxlan43 up")?;
    ns.run("ip route add 192.168.43.0/24 dev vxlan43")?;
    ns.run("ip neigh add 192.168.43.1 dev vxlan43 lladdr 02:00:00:00:43:01 nud permanent")?;
    for place in &PLACES {
        let mac = place.mac.map(|byte| format!("{byte:02x}")).join(":");
        let gateway = place.gateway;
        ns.run(&format!("ip neigh add {gateway} dev eth0 lladdr {mac} nud permanent"))?;
    }
    set_queue(ns, "eth0")
}

fn planned(ns: &Ns) -> Result<(config::Config, UnderlayFacts, Plan)> {
    let text = CONFIG.replace("203.0.113.1", "192.0.2.1");
    let text =
        text.replace("[[network.member]]", "[[network.member]]\nmac = \"02:00:00:00:43:01\"");
    let config = config::parse(&text, Path::new("flips.toml"))?;
    let underlay = UnderlayFacts {
        ifindex: ns.ifindex("eth0")?,
        mtu: 1500,
        v4: Some([203, 0, 113, 2].into()),
        v6: None,
    };
    let overlay =
        OverlayFacts { ifindex: ns.ifindex("vxlan43")?, mac: ns.mac("vxlan43")?, redirect: None };
    let path = PLACES[0].path()?;
    let inherited = Inherited::default();
    let mut plan = Plan::new(&config, &underlay, &[], &inherited, &mut rand::rng());
    plan.set_overlays(&[overlay]);
    plan.set_paths(&config, &underlay, &[], &[Some(path)]);
    Ok((config, underlay, plan))
}

#[derive(Default)]
struct Seen {
    at: [AtomicU64; 2],
    mixed: Mutex<Vec<Vec<u8>>>,
}

impl Seen {
    fn note(&self, frame: &[u8], patterns: &[[Vec<u8>; 3]; 2]) {
        let found = marks_of(frame);
        match patterns.iter().position(|marks| *marks == found) {
            Some(place) => {
                self.at[place].fetch_add(1, Ordering::Relaxed);
            }
            None => self.mixed.lock().expect("whole").push(frame[..42.min(frame.len())].to_vec()),
        }
    }

    fn at(&self) -> [u64; 2] {
        [0, 1].map(|place: usize| self.at[place].load(Ordering::Relaxed))
    }
}

#[test]
fn every_packet_goes_to_the_old_endpoint_or_the_new_one() -> Result<()> {
    let pair = Pair::new(Wire::Real)?;
    let ns = &pair.b;
    prepare(ns)?;
    let (config, underlay, plan) = planned(ns)?;
    let slot = plan.peers[0].slot;
    let entries = PLACES.iter().map(|place| {
        let path = place.path()?;
        Ok(peer_entry(&config.peers[0], &underlay, Some(&path), None, slot))
    });
    let entries = entries.collect::<Result<Vec<_>>>()?;
    let mut plane = ns.exec(|| -> Result<DataPlane> {
        let mut plane = DataPlane::load(LoadOptions::default())?;
        plane.fill(&plan)?;
        let hook = if kernel::has(Feature::Tcx)? {
            TcAttachOptions::TcxOrder(LinkOrder::default())
        } else {
            qdisc_add_clsact("vxlan43")?;
            TcAttachOptions::Netlink(NlOptions::default())
        };
        let encap = plane.classifier(names::ENCAP)?;
        encap.attach_with_options("vxlan43", TcAttachType::Egress, hook)?;
        Ok(plane)
    })??;

    let marks = [PLACES[0].marks()?, PLACES[1].marks()?];
    let seen = Arc::<Seen>::default();
    let sniffer = Sniffer::start(ns, "eth0", {
        let seen = Arc::clone(&seen);
        move |frame| {
            seen.note(frame, &marks);
            false
        }
    })?;
    let before = link_stats(ns, "eth0")?.tx_packets;
    let stop = Arc::<AtomicBool>::default();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let stop = Arc::clone(&stop);
            ns.spawn(move || blast(5_000 + sender, &stop))
        })
        .collect();
    let flips = flip(&mut plane, &entries, &seen);
    stop.store(true, Ordering::Release);
    let mut sent = 0;
    for sender in senders {
        sent += sender.join().expect("the sender panicked")??;
    }
    let flips = flips?;
    let left = quiet(|| Ok(link_stats(ns, "eth0")?.tx_packets))? - before;
    let unseen = sniffer.finish()?.lost;
    let mixed = seen.mixed.lock().expect("whole");
    ensure!(
        mixed.is_empty(),
        "{} of {left} packets went to neither, in {flips} flips; the first one: {}",
        mixed.len(),
        hex(&mixed[0])
    );
    assert_eq!(left, sent, "{flips} flips: sent, and gone out of eth0");
    let [old, new] = seen.at();
    eprintln!(
        "{flips} flips, {old} packets to the one, {new} to the other, {unseen} not looked at"
    );
    Ok(())
}

/// Until there were enough flips, and enough packets to each endpoint.
fn flip(
    plane: &mut DataPlane,
    entries: &[vxlan_common::table::PeerEntry],
    seen: &Seen,
) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    let mut flips = 0;
    while flips < FLIPS || seen.at().iter().any(|seen| *seen < SEEN) {
        for entry in entries.iter().rev() {
            plane.set_peer(0, entry)?;
            flips += 1;
        }
        ensure!(Instant::now() < deadline, "{flips} flips, {:?} packets seen", seen.at());
    }
    Ok(flips)
}

/// Sends as fast as it goes, and says how much that was.
fn blast(port: u16, stop: &AtomicBool) -> Result<u64> {
    let socket = UdpSocket::bind(("192.168.44.1", port)).context("the overlay's address")?;
    socket.connect(("192.168.43.1", port))?;
    let mut sent = 0;
    while !stop.load(Ordering::Acquire) {
        socket.send(&[0; 64])?;
        sent += 1;
    }
    Ok(sent)
}
