//! Peers that the test plays by the product's own probers, over sockets of its own: so many that
//! daemons for them would take too long, and some with the state of an earlier moment.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use vxlan_common::{
    addr::{Address, IPV4},
    probe::{FRAME_LEN, ReceivedProbe},
    wire::VXLAN_LEN,
};
use vxlan_tests::Ns;
use vxlan_user::{
    dataplane::now,
    nat::SourcePorts,
    probe::{Action, Key, Prober, ProberConfig, name_id},
};

/// Where they are, all behind one address, and where the daemon is.
const HERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const HUB: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const PORT: u16 = 4_789;
/// The default.
const PROBE_VNI: [u8; 3] = [0xff; 3];
/// `[probe] interval` of the configuration below.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// A configuration of a hub with so many learned peers; the key files are put beside `config`.
pub(crate) fn hub(peers: usize, config: &Path) -> Result<String> {
    let mut text = String::from(
        "[node]\nname = \"hub\"\n[underlay]\ninterface = \"eth0\"\nsource_port = \"fixed\"\n\
         [probe]\ninterval = 1\n[metrics]\nlisten = \"127.0.0.1:9839\"\n",
    );
    for peer in 0..peers {
        let file = config.with_file_name(format!("p{peer}.key"));
        fs::write(&file, key(peer))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        text += &format!(
            "[[peer]]\nname = \"p{peer}\"\nendpoint = \"learn\"\nkey_file = \"p{peer}.key\"\n"
        );
    }
    text += "[[network]]\nvni = 43\ninterface = \"vxlan43\"\naddresses = [\"172.16.0.1/24\"]\n";
    for peer in 0..peers {
        let prefix = format!("10.0.{}.{}/32", peer / 256, peer % 256);
        text += &format!("[[network.member]]\npeer = \"p{peer}\"\nallowed_ips = [\"{prefix}\"]\n");
    }
    Ok(text)
}

fn key(peer: usize) -> String {
    format!("{:064x}", peer + 1)
}

/// The peers of [`hub`], in that order.
pub(crate) struct Played {
    peers: Vec<(Prober, UdpSocket)>,
}

impl Played {
    /// Each sends from a port of its own, from `first_port` on.
    pub(crate) fn new(ns: &Ns, peers: usize, first_port: u16) -> Result<Self> {
        let sockets = sockets(ns, peers, first_port)?;
        let each = sockets.into_iter().enumerate().map(|(peer, socket)| {
            let config = ProberConfig {
                peer: "hub".to_owned(),
                local: name_id(&format!("p{peer}")),
                remote: name_id("hub"),
                key: Key::parse(&key(peer)).expect("64 digits"),
                session: rand::random::<u64>().max(1),
                interval: INTERVAL,
                keepalive: INTERVAL,
                vni: PROBE_VNI,
                port: first_port + peer as u16,
                fixed_source_port: true,
                addresses: vec![HERE.into()],
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
            (Prober::new(config, now()), socket)
        });
        Ok(Self { peers: each.collect() })
    }

    /// A NAT gives each another port.
    pub(crate) fn move_to(&mut self, ns: &Ns, first_port: u16) -> Result<()> {
        let sockets = sockets(ns, self.peers.len(), first_port)?;
        self.peers.iter_mut().zip(sockets).for_each(|(peer, socket)| peer.1 = socket);
        Ok(())
    }

    /// What all of them know at this moment.
    pub(crate) fn snapshot(&self) -> Vec<Prober> {
        self.peers.iter().map(|(prober, _)| prober.clone()).collect()
    }

    /// All of them go on from there.
    pub(crate) fn restore(&mut self, snapshot: Vec<Prober>) {
        self.peers.iter_mut().zip(snapshot).for_each(|(peer, prober)| peer.0 = prober);
    }

    /// They do what peers do until `enough` says so; how long that took.
    pub(crate) fn run_until(
        &mut self,
        patience: Duration,
        mut enough: impl FnMut() -> Result<bool>,
    ) -> Result<Duration> {
        let began = Instant::now();
        let mut look = began;
        loop {
            self.turn();
            if look.elapsed() > Duration::from_millis(200) {
                if enough()? {
                    return Ok(began.elapsed());
                }
                look = Instant::now();
            }
            if began.elapsed() > patience {
                bail!("not within {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn turn(&mut self) {
        for (prober, socket) in &mut self.peers {
            let mut actions = Vec::new();
            if prober.next_poll(now()) <= now() {
                actions = prober.poll(now(), &mut rand::random);
            }
            let mut bytes = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let to = socket.local_addr().expect("is bound");
                if let Some(arrived) = arrived(&bytes[..length], from, to) {
                    let more = prober.arrived(&arrived, now(), &mut rand::random);
                    actions.extend(more.into_iter().flatten());
                }
            }
            for action in actions {
                if let Action::Transmit(packet) = action {
                    // What the kernel does not take is lost like any packet.
                    let _lost = socket.send_to(&packet.payload, (HUB, PORT));
                }
            }
        }
    }
}

fn sockets(ns: &Ns, peers: usize, first_port: u16) -> Result<Vec<UdpSocket>> {
    ns.exec(|| {
        let each = (first_port..).take(peers).map(|port| {
            let socket = UdpSocket::bind((HERE, port))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        each.collect()
    })?
}

/// As the programs would hand it over.
fn arrived(payload: &[u8], from: SocketAddr, to: SocketAddr) -> Option<ReceivedProbe> {
    let SocketAddr::V4(source) = from else { return None };
    let SocketAddr::V4(destination) = to else { return None };
    Some(ReceivedProbe {
        at: now().as_nanos() as u64,
        peer: 0,
        length: payload.len() as u32 + 28,
        source: Address::ipv4(source.ip().octets()),
        destination: Address::ipv4(destination.ip().octets()),
        source_port: source.port(),
        destination_port: destination.port(),
        checksum: [0; 2],
        family: IPV4,
        ttl: 64,
        tos: 0,
        dont_fragment: 1,
        pad: [0; 2],
        bytes: *payload.first_chunk::<{ VXLAN_LEN + FRAME_LEN }>()?,
        pad_end: [0; 6],
    })
}
