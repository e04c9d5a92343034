//! Two hosts with a tunnel between them, one such pair for each arm, all alike but for what carries
//! the packets:
//!
//! ```text
//! a eth0 203.0.113.1 ═══ 203.0.113.2 eth0 b
//!   192.168.43.1                     192.168.44.1
//! ```
//!
//! What joins the two interfaces is the condition of a benchmark: [`Medium`].

use std::{cell::OnceCell, net::IpAddr, rc::Rc};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Netns, Ns, Run,
    conserve::link_stats,
    daemon::Daemon,
    foreign::{ForeignXdp, Mode},
    link::{UNDERLAY, Wire, mac_text, set_queue, set_wire},
    traffic::{ping, tcp_transfer},
    two_hosts::{Family, OVERLAY, Side, Tunnel},
};

use crate::{
    bpf::{Hook, Insn, Kind, Link, Program},
    host::Carrier,
};

const REDIRECT: i32 = 23;
/// Of a packet on the overlay, and of the arm without a tunnel: so all have segments of one size.
const INNER_MTU: u32 = 1450;
/// Sent by each arm before it is measured, and held to its digest.
const CONTENT: u64 = 4 << 20;

/// What joins the interfaces of two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    /// Two veth pairs and an XDP program that redirects from one into the other: frames of the
    /// wire's size arrive with headroom and in pages, as a card delivers them, and native XDP
    /// copies none.
    Card,
    /// One veth pair without offloads but GRO: frames of the wire's size, of which native XDP
    /// copies each.
    Wire,
    /// One veth pair as the kernel makes it: packets of 64 KiB cross by pointer, as no wire has
    /// them, unless native XDP is there.
    Plain,
}

impl Medium {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Wire => "wire",
            Self::Plain => "plain",
        }
    }

    /// For the condition of a benchmark.
    pub(crate) fn condition(self) -> &'static str {
        match self {
            Self::Card => {
                "frames of at most 1,500 bytes that XDP redirects into the receiving veth, with \
                 headroom, as a card delivers them; no offloads but GRO"
            }
            Self::Wire => {
                "one veth pair without offloads but GRO, MTU 1,500; native XDP copies each frame \
                 there, which no card makes it do"
            }
            Self::Plain => {
                "one veth pair with all offloads: packets of 64 KiB cross by pointer, which no \
                 wire does, and native XDP prevents"
            }
        }
    }

    fn wire(self) -> Wire {
        match self {
            Self::Card | Self::Wire => Wire::Real,
            Self::Plain => Wire::Default,
        }
    }
}

/// The two hosts of an arm, ready for traffic.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) carrier: Carrier,
    /// In front of the namespaces, which must outlive them.
    daemons: Vec<Daemon>,
    _programs: Vec<Link>,
    _pass: Vec<ForeignXdp>,
    pub(crate) a: Netns,
    pub(crate) b: Netns,
    _hop: Option<Netns>,
}

/// A pair for each arm.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub(crate) pairs: Vec<Pair>,
    /// Last: it must outlive the namespaces.
    _run: Run,
}

/// Pairs that several benchmarks share, made when the first one's turn comes.
pub(crate) type SharedPairs = Rc<OnceCell<Rc<Pairs>>>;

pub(crate) fn shared(
    pairs: &SharedPairs,
    medium: Medium,
    carriers: &[Carrier],
) -> Result<Rc<Pairs>> {
    if let Some(pairs) = pairs.get() {
        return Ok(Rc::clone(pairs));
    }
    let new = Rc::new(Pairs::new(medium, carriers)?);
    Ok(Rc::clone(pairs.get_or_init(|| new)))
}

impl Pairs {
    pub(crate) fn new(medium: Medium, carriers: &[Carrier]) -> Result<Self> {
        let run = Run::new()?;
        let carriers = Carrier::with_before(carriers);
        let pairs = carriers.into_iter().enumerate().map(|(number, carrier)| {
            Pair::new(&run, number, medium, carrier)
                .with_context(|| format!("the hosts of the arm {}", carrier.arm().name))
        });
        Ok(Self { pairs: pairs.collect::<Result<_>>()?, _run: run })
    }

    pub(crate) fn pair(&self, arm: &str) -> Result<&Pair> {
        let found = self.pairs.iter().find(|pair| pair.carrier.arm().name == arm);
        found.with_context(|| format!("there are no hosts for {arm}"))
    }
}

impl Pair {
    fn new(run: &Run, number: usize, medium: Medium, carrier: Carrier) -> Result<Self> {
        let [a, b] = ["a", "b"].map(|name| run.netns(&format!("{name}{number}")));
        let (a, b) = (a?, b?);
        for ns in [&a, &b] {
            // No solicitations or reports of their own accord.
            ns.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
        }
        let (hop, programs) = match medium {
            Medium::Card => {
                let hop = run.netns(&format!("h{number}"))?;
                let programs = card(&hop, [&a, &b])?;
                (Some(hop), programs)
            }
            Medium::Wire | Medium::Plain => {
                cable(&a, UNDERLAY, &b, medium.wire())?;
                (None, Vec::new())
            }
        };
        let mut daemons = Vec::new();
        for side in Side::BOTH {
            let (ns, far) = ends(&a, &b, side);
            ns.run(&format!("ip addr add {} dev {UNDERLAY}", side.underlay_prefix(Family::V4)))?;
            know(ns, side.other().underlay(Family::V4), UNDERLAY, far, UNDERLAY)?;
        }
        for side in Side::BOTH {
            let (ns, _) = ends(&a, &b, side);
            let name = format!("{}{number}", side.name());
            daemons.extend(tunnel(ns, run, &name, side, carrier)?);
        }
        let overlay = if carrier.tunnels() { OVERLAY } else { UNDERLAY };
        for side in Side::BOTH {
            let (ns, far) = ends(&a, &b, side);
            know(ns, side.other().overlay(Family::V4), overlay, far, overlay)?;
        }
        let pass = if matches!(carrier, Carrier::KernelXdp | Carrier::NoneXdp) {
            let attach = |ns| ForeignXdp::attach(ns, UNDERLAY, "pass", Mode::Native);
            vec![attach(&a)?, attach(&b)?]
        } else {
            Vec::new()
        };
        Ok(Self { carrier, daemons, _programs: programs, _pass: pass, a, b, _hop: hop })
    }

    /// Where `b` is reached through the tunnel.
    pub(crate) fn far_address(&self) -> IpAddr {
        Side::B.overlay(Family::V4)
    }

    /// Where `a` is.
    pub(crate) fn near_address(&self) -> IpAddr {
        Side::A.overlay(Family::V4)
    }

    /// Both directions, whole packets and small ones; what the tunnel carries goes through it.
    pub(crate) fn check(&self) -> Result<()> {
        let (to, from) = (self.far_address(), self.near_address());
        let answers = ping(&self.a, Some(from), to, 3)?;
        ensure!(answers.all_answered(), "{}", answers.output);
        for (client, server, address) in [(&self.a, &self.b, to), (&self.b, &self.a, from)] {
            let transfer = tcp_transfer(client, server, address, CONTENT)?;
            ensure!(transfer.intact() && transfer.bytes == CONTENT, "{transfer:?}");
        }
        for carried in self.carried()? {
            ensure!(carried >= CONTENT, "only {carried} bytes went through the tunnel");
        }
        Ok(())
    }

    /// How many bytes each host has received through its tunnel, by whoever counts them there.
    fn carried(&self) -> Result<Vec<u64>> {
        if !self.daemons.is_empty() {
            let received = |daemon: &Daemon| -> Result<u64> {
                let metrics = daemon.metrics()?;
                Ok(metrics.total("vxlan_bytes_total", &[("direction", "rx")]) as u64)
            };
            return self.daemons.iter().map(received).collect();
        }
        let interface = if self.carrier.tunnels() { OVERLAY } else { UNDERLAY };
        [&self.a, &self.b].map(|ns| Ok(link_stats(ns, interface)?.rx_bytes)).into_iter().collect()
    }

    /// What this product has dropped, on both hosts, by reason.
    pub(crate) fn drops(&self) -> Result<Vec<String>> {
        let mut drops = Vec::new();
        for daemon in &self.daemons {
            let counted = daemon.metrics()?.drops();
            drops.extend(counted.into_iter().map(|(reason, count)| format!("{reason}: {count}")));
        }
        Ok(drops)
    }
}

/// The namespace of a side, and the other one.
fn ends<'a>(a: &'a Netns, b: &'a Netns, side: Side) -> (&'a Ns, &'a Ns) {
    match side {
        Side::A => (a, b),
        Side::B => (b, a),
    }
}

/// A veth pair from `eth0` of a host to an interface of another namespace, both up.
fn cable(host: &Ns, far_name: &str, far: &Ns, wire: Wire) -> Result<()> {
    host.run(&format!(
        "ip link add {UNDERLAY} type veth peer name {far_name} netns {}",
        far.name()
    ))?;
    host.run(&format!("ip link set {UNDERLAY} up"))?;
    far.run(&format!("ip link set {far_name} up"))?;
    for (ns, interface) in [(host, UNDERLAY), (far, far_name)] {
        set_queue(ns, interface)?;
        // Only now: a veth that is down does not take GRO for NAPI.
        set_wire(ns, interface, wire)?;
    }
    Ok(())
}

/// Two cables, and programs between them.
fn card(hop: &Netns, hosts: [&Netns; 2]) -> Result<Vec<Link>> {
    let names = ["h0", "h1"];
    for (host, name) in hosts.into_iter().zip(names) {
        cable(host, name, hop, Wire::Real)?;
    }
    let indices = [hop.ifindex(names[0])?, hop.ifindex(names[1])?];
    let redirect = |from: u32, to: u32| -> Result<Link> {
        let code =
            [Insn::set(1, to.cast_signed()), Insn::set(2, 0), Insn::call(REDIRECT), Insn::exit()];
        let program = Program::load(Kind::Xdp, "hop", &code)?;
        hop.exec(|| program.attach(Hook::NativeXdp, from))?
    };
    Ok(vec![redirect(indices[0], indices[1])?, redirect(indices[1], indices[0])?])
}

/// Gives a host its end of the tunnel; a daemon, if this product carries it.
fn tunnel(ns: &Ns, run: &Run, name: &str, side: Side, carrier: Carrier) -> Result<Option<Daemon>> {
    let tunnel = Tunnel::default();
    if let Some(mode) = carrier.mode() {
        let underlay = format!("xdp = \"{mode}\"");
        let config = Tunnel { underlay: &underlay, ..tunnel }.config(side);
        return carrier.start(ns, run, name, &config).map(Some);
    }
    if carrier.tunnels() {
        tunnel.kernel(side, OVERLAY).nolearning().mtu(INNER_MTU).create(ns)?;
        return Ok(None);
    }
    ns.run(&format!("ip addr add {} dev {UNDERLAY}", side.address(Family::V4)))?;
    ns.run(&format!(
        "ip route add {} dev {UNDERLAY} mtu {INNER_MTU}",
        side.other().prefix(Family::V4)
    ))?;
    Ok(None)
}

/// Has `ns` know the MAC address behind an address, by its interface, so that nobody has to ask.
fn know(ns: &Ns, address: IpAddr, interface: &str, far: &Ns, far_interface: &str) -> Result<()> {
    let mac = mac_text(far.mac(far_interface)?);
    ns.run(&format!("ip neigh replace {address} dev {interface} lladdr {mac}")).map(drop)
}
