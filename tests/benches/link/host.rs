//! The hosts that are compared, one for each arm, all alike but for what carries their packets:
//!
//! ```text
//! generator w0 ═══ eth0 203.0.113.1            underlay
//!           l0 ═══ lan0 192.168.77.1   native  a third interface
//!           w1 ═══ eth0 203.0.113.1
//!           l1 ═══ lan0 192.168.77.1   kernel
//!           …
//! ```
//!
//! What is sent into `w0` arrives as from a card with native XDP: without a copy, with headroom.
//! These interfaces have no offloads but GRO, and their far ends none.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    env,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
};

use crate::{peers, socket::udp_counter};
use anyhow::{Context as _, Result};
use vxlan_tests::{
    Config, Netns, Ns, Run,
    bench::{Arm, Role},
    conserve::driver_stats,
    daemon::{self, Daemon},
    foreign::{ForeignXdp, Mode},
    kernel_vxlan::KernelVxlan,
    link::{UNDERLAY, Wire, mac_text, set_wire},
    packet::Mac,
};

pub(crate) const VNI: u32 = 43;
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The other end of the underlay, and the first peer.
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
pub(crate) const OWN_INNER: Ipv4Addr = Ipv4Addr::new(192, 168, 43, 1);
pub(crate) const PEER_INNER: Ipv4Addr = Ipv4Addr::new(192, 168, 44, 1);
/// On the third interface: another host there.
pub(crate) const LAN_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
/// Behind the peer, and behind the third interface.
pub(crate) const PEER_MAC: Mac = [2, 0, 0, 0, 0x44, 1];
pub(crate) const OVERLAY: &str = "vxlan43";

/// The environment's variable that names another binary to compare with.
const BEFORE: &str = "VXLAN_BEFORE";

/// What carries an arm's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Carrier {
    Native,
    Generic,
    Tc,
    Kernel,
    /// With an XDP program on the underlay that passes all.
    KernelXdp,
    None,
    NoneXdp,
    /// Another version of this product, in native XDP.
    Before,
}

use Carrier::{Before, Generic, Kernel, KernelXdp, Native, NoneXdp, Tc};

impl Carrier {
    pub(crate) const ALL: [Self; 7] = [Native, Generic, Tc, Kernel, KernelXdp, Self::None, NoneXdp];

    /// These, and the other version where one is to be compared with.
    pub(crate) fn with_before(carriers: &[Self]) -> Vec<Self> {
        let mut all = carriers.to_vec();
        if env::var_os(BEFORE).is_some() {
            all.push(Before);
        }
        all
    }

    pub(crate) fn arm(self) -> Arm {
        let (name, role) = match self {
            Native => ("native", Role::Ours),
            Generic => ("generic", Role::Ours),
            Tc => ("tc", Role::Ours),
            Kernel => ("kernel", Role::Kernel),
            KernelXdp => ("kernel+xdp", Role::Kernel),
            Self::None => ("none", Role::Ceiling),
            NoneXdp => ("none+xdp", Role::Floor),
            Before => return Arm::new("before", Role::Ours).against("native"),
        };
        Arm::new(name, role)
    }

    /// `xdp` in the configuration, where it is this product.
    pub(crate) fn mode(self) -> Option<&'static str> {
        match self {
            Native | Before => Some("native"),
            Generic => Some("generic"),
            Tc => Some("off"),
            Kernel | KernelXdp | Self::None | NoneXdp => None,
        }
    }

    /// Starts its daemon.
    pub(crate) fn start(self, ns: &Ns, run: &Run, name: &str, config: &str) -> Result<Daemon> {
        let binary = match (self, env::var_os(BEFORE)) {
            (Before, Some(binary)) => binary.into(),
            _ => daemon::binary()?,
        };
        let mut daemon = Daemon::prepare_with(binary, ns, run, name, config)?;
        daemon.launch()?;
        Ok(daemon)
    }

    /// Is there a tunnel?
    pub(crate) fn tunnels(self) -> bool {
        !matches!(self, Self::None | NoneXdp)
    }

    /// Where decapsulated packets arrive, and packets to the peer are sent.
    pub(crate) fn overlay(self) -> &'static str {
        if self.tunnels() { OVERLAY } else { UNDERLAY }
    }
}

/// A host of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) carrier: Carrier,
    /// How many other hosts there are in its tunnel.
    pub(crate) peers: usize,
}

impl Spec {
    pub(crate) fn new(carrier: Carrier) -> Self {
        Self { carrier, peers: 1 }
    }
}

/// A host with its tunnel at work.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) spec: Spec,
    pub(crate) carrier: Carrier,
    /// In the generator's namespace: the other ends of `eth0` and `lan0`.
    pub(crate) wire: String,
    pub(crate) lan: String,
    /// MAC addresses of `eth0`, `lan0` and the overlay interface.
    pub(crate) mac: Mac,
    pub(crate) lan_mac: Mac,
    pub(crate) overlay_mac: Mac,
    /// In front of the namespace, which must outlive it.
    daemon: Option<Daemon>,
    _pass: Option<ForeignXdp>,
    pub(crate) ns: Netns,
}

impl Host {
    fn new(run: &Run, generator: &Ns, number: usize, spec: Spec) -> Result<Self> {
        let Spec { carrier, peers } = spec;
        let name = format!("{number}");
        let ns = run.netns(&name)?;
        let (wire, lan) = (format!("w{number}"), format!("l{number}"));
        ns.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
        ns.sysctl("net.ipv4.ip_forward", "1")?;
        for (far, near) in [(&wire, UNDERLAY), (&lan, "lan0")] {
            generator.run(&format!(
                "ip link add {far} type veth peer name {near} netns {}",
                ns.name()
            ))?;
            generator.run(&format!("ip link set {far} up"))?;
            ns.run(&format!("ip link set {near} up"))?;
            // Only now: a veth that is down does not take GRO for NAPI.
            set_wire(&ns, near, Wire::Real)?;
            // The far end only counts: GRO there would verify checksums, of some arms alone.
            generator.run(&format!("ethtool -K {far} tx off tso off gso off gro off"))?;
        }
        ns.run(&format!("ip addr add {OWN}/24 dev {UNDERLAY}"))?;
        ns.run("ip addr add 192.168.77.1/24 dev lan0")?;
        ns.run(&format!("ip route add default via {PEER}"))?;
        let peer_mac = mac_text(generator.mac(&wire)?);
        ns.run(&format!("ip neigh replace {PEER} dev {UNDERLAY} lladdr {peer_mac}"))?;
        let mut daemon = None;
        match carrier.mode() {
            Some(mode) => {
                let config = config(carrier, mode, peers);
                daemon = Some(carrier.start(&ns, run, &name, &config)?);
            }
            None if carrier.tunnels() => {
                let device = KernelVxlan::new(OVERLAY, VNI, OWN.into(), PEER.into());
                let device = device.nolearning().address(&format!("{OWN_INNER}/24"));
                device.route("192.168.44.0/24").create(&ns)?;
            }
            None => {
                ns.run(&format!("ip addr add {OWN_INNER}/24 dev {UNDERLAY}"))?;
                ns.run(&format!("ip route add 192.168.44.0/24 dev {UNDERLAY}"))?;
            }
        }
        let overlay = carrier.overlay();
        let inner_mac = if carrier.tunnels() { mac_text(PEER_MAC) } else { peer_mac.clone() };
        ns.run(&format!("ip neigh replace {PEER_INNER} dev {overlay} lladdr {inner_mac}"))?;
        peers::neighbours(&ns, spec, &peer_mac)?;
        let pass = matches!(carrier, KernelXdp | NoneXdp)
            .then(|| ForeignXdp::attach(&ns, UNDERLAY, "pass", Mode::Native))
            .transpose()?;
        let (mac, lan_mac) = (ns.mac(UNDERLAY)?, ns.mac("lan0")?);
        let overlay_mac = ns.mac(overlay)?;
        Ok(Self { spec, carrier, wire, lan, mac, lan_mac, overlay_mac, daemon, _pass: pass, ns })
    }

    /// Where it tells its metrics, if it is this product.
    pub(crate) fn metrics(&self) -> Option<SocketAddr> {
        self.daemon.as_ref().map(Daemon::metrics_address)
    }

    /// What the host and the wires to it count as lost, by who counts it.
    pub(crate) fn losses(&self, generator: &Ns) -> Result<BTreeMap<String, u64>> {
        let mut losses = BTreeMap::new();
        if let Some(daemon) = &self.daemon {
            for (reason, count) in daemon.metrics()?.drops() {
                losses.insert(format!("vxlan {reason}"), count);
            }
        }
        // No room in a socket, or a wrong checksum.
        losses.insert("UDP InErrors".to_owned(), udp_counter(&self.ns, "InErrors")?);
        let ends = [
            (&*self.ns, UNDERLAY),
            (&*self.ns, "lan0"),
            (generator, self.wire.as_str()),
            (generator, self.lan.as_str()),
        ];
        for (ns, interface) in ends {
            for (counter, count) in driver_stats(ns, interface)? {
                // What did not fit into the ring of the other end: of XDP, and of the stack.
                let lost = counter.starts_with("tx_queue") && counter.ends_with("xmit_errors")
                    || counter.starts_with("rx_queue") && counter.ends_with("_drops");
                // Of an XDP program, which counts them itself.
                let lost = lost && !counter.ends_with("_xdp_drops");
                if lost && count > 0 {
                    losses.insert(format!("{interface} {counter}"), count);
                }
            }
        }
        Ok(losses)
    }
}

fn config(carrier: Carrier, mode: &str, peers: usize) -> Config {
    let config = Config::new("bench").set("address", OWN).set("xdp", mode);
    // As for a card. From a veth it is not the default, as senders there may leave checksums out.
    let config = if carrier == Native { config.set("redirect", "on") } else { config };
    let config = config.peer("peer-0", PEER);
    let more = 1..peers;
    let config = more
        .clone()
        .fold(config, |config, peer| config.peer(&format!("peer-{peer}"), peers::endpoint(peer)));
    let config = config.network(VNI, OVERLAY, &[format!("{OWN_INNER}/24")]);
    let config = config.member("peer-0", &["192.168.44.0/24"]);
    more.fold(config, |config, peer| {
        config.member(&format!("peer-{peer}"), &[format!("{}/32", peers::inner(peer))])
    })
}

/// Hosts, and the namespace that sends to them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) hosts: Vec<Host>,
    pub(crate) generator: Netns,
    /// Last: it must outlive the namespaces.
    _run: Run,
}

impl World {
    pub(crate) fn new(specs: &[Spec]) -> Result<Self> {
        let run = Run::new()?;
        let generator = run.netns("generator")?;
        generator.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
        let hosts = specs.iter().enumerate().map(|(number, &spec)| {
            Host::new(&run, &generator, number, spec).with_context(|| format!("{spec:?}"))
        });
        let hosts = hosts.collect::<Result<_>>()?;
        Ok(Self { hosts, generator, _run: run })
    }

    pub(crate) fn host(&self, spec: Spec) -> Result<&Host> {
        let found = self.hosts.iter().find(|host| host.spec == spec);
        found.with_context(|| format!("there is no host for {spec:?}"))
    }
}

/// Hosts that several benchmarks have in common, made when the first one's turn comes, and gone
/// with the last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Rc<OnceCell<Rc<World>>>);

impl Shared {
    /// With one peer each.
    pub(crate) fn plain(&self, carriers: &[Carrier]) -> Result<Rc<World>> {
        let carriers = Carrier::with_before(carriers);
        self.get(&carriers.into_iter().map(Spec::new).collect::<Vec<_>>())
    }

    pub(crate) fn get(&self, specs: &[Spec]) -> Result<Rc<World>> {
        if let Some(world) = self.0.get() {
            return Ok(Rc::clone(world));
        }
        let new = Rc::new(World::new(specs)?);
        Ok(Rc::clone(self.0.get_or_init(|| new)))
    }
}
