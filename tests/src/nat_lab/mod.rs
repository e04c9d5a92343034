//! Two hosts, each behind a router that does NAT or does not, an internet in between, and a third
//! host on the internet itself:
//!
//! ```text
//! a ── router (203.0.113.10) ── internet ── (198.51.100.20) router ── b
//! second ┘                         └── third 192.0.2.30
//! ```
//!
//! Owns the wiring and who has which address. What a router rewrites is in [`nat`], what goes wrong
//! on the internet in [`trouble`], and a box that spoils checksums in [`breaker`].

pub mod breaker;
mod insn;
pub mod nat;
pub mod trouble;

use std::net::Ipv4Addr;

use anyhow::Result;

pub use self::nat::Nat;
use crate::{
    link::{End, Wire, connect, set_queue},
    netns::{Netns, Ns},
    run::Run,
    topology::UNDERLAY,
};

/// The port that the tunnel uses.
pub const PORT: u16 = 4789;
/// In nft's words: the tunnel's probes, by the VNI that they have.
pub const PROBES: &str = "meta l4proto udp @th,96,24 16777215";
/// The host on the internet itself.
pub const THIRD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 30);
const MTU: u32 = 1500;

/// One of the two sides of the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// What the side's router has on the internet.
    pub fn router(self) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(203, 0, 113, 10),
            Self::B => Ipv4Addr::new(198, 51, 100, 20),
        }
    }

    /// An address of the side's part of the internet, `prefix` and all.
    fn internet(self, last: u8, prefix: u8) -> String {
        let [first, second, third, _] = self.router().octets();
        format!("{first}.{second}.{third}.{last}/{prefix}")
    }
}

/// Which network behind a router.
#[derive(Debug, Clone, Copy)]
enum Lan {
    First,
    Second,
}

impl Lan {
    /// The router's interface.
    fn interface(self) -> &'static str {
        match self {
            Self::First => "lan",
            Self::Second => "lan2",
        }
    }
}

/// A side: a host behind its router, whose interfaces are `lan` and `wan`.
#[derive(Debug)]
pub struct Site {
    pub host: Netns,
    pub router: Netns,
    side: Side,
    nat: Nat,
}

impl Site {
    /// What the host's own card carries.
    pub fn own(&self) -> Ipv4Addr {
        self.address(Lan::First)
    }

    /// Where the rest of the internet sends to, to reach it.
    pub fn public(&self) -> Ipv4Addr {
        if self.nat.is_none() { self.own() } else { self.side.router() }
    }

    pub fn side(&self) -> Side {
        self.side
    }

    /// Both sides use the same private network, as clouds do.
    fn address(&self, lan: Lan) -> Ipv4Addr {
        let last = match self.side {
            Side::A => 2,
            Side::B => 119,
        };
        let [first, second, third, _] = self.side.router().octets();
        match (self.nat.is_none(), lan) {
            (true, Lan::First) => Ipv4Addr::new(first, second, third, 130),
            (true, Lan::Second) => Ipv4Addr::new(first, second, third, 194),
            (false, Lan::First) => Ipv4Addr::new(10, 0, 0, last),
            (false, Lan::Second) => Ipv4Addr::new(10, 0, 1, last),
        }
    }

    /// Puts a host behind the router.
    fn wire(&self, host: &Ns, lan: Lan, wire: Wire) -> Result<()> {
        let address = self.address(lan);
        let [first, second, third, last] = address.octets();
        let (gateway, prefix) = if self.nat.is_none() { (last - 1, 26) } else { (1, 24) };
        let gateway = Ipv4Addr::new(first, second, third, gateway);
        connect(
            End { ns: host, interface: UNDERLAY, address: &format!("{address}/{prefix}") },
            End {
                ns: &self.router,
                interface: lan.interface(),
                address: &format!("{gateway}/{prefix}"),
            },
            MTU,
            wire,
        )?;
        host.run(&format!("ip route add default via {gateway}"))?;
        set_queue(host, UNDERLAY)?;
        set_queue(&self.router, lan.interface())
    }
}

/// The whole of it. Every wire is a [`Wire::Real`].
#[derive(Debug)]
pub struct NatLab {
    pub a: Site,
    pub b: Site,
    /// [`THIRD`].
    pub third: Netns,
    /// Behind `a`'s router too, in a network of its own; there after [`NatLab::add_second`].
    second: Option<Netns>,
    /// Interfaces `to-a`, `to-b` and `to-third`.
    pub internet: Netns,
    /// Last: it must outlive the namespaces.
    pub run: Run,
}

impl NatLab {
    pub fn new(a: Nat, b: Nat) -> Result<Self> {
        let run = Run::new()?;
        let site = |side: Side, nat| -> Result<Site> {
            let name = side.name();
            let (host, router) = (run.netns(name)?, run.netns(&format!("{name}-router"))?);
            Ok(Site { host, router, side, nat })
        };
        let lab = Self {
            a: site(Side::A, a)?,
            b: site(Side::B, b)?,
            third: run.netns("third")?,
            second: None,
            internet: run.netns("internet")?,
            run,
        };
        lab.internet.sysctl("net.ipv4.ip_forward", "1")?;
        for site in [&lab.a, &lab.b] {
            lab.plug(site)?;
        }
        connect(
            End { ns: &lab.third, interface: UNDERLAY, address: &format!("{THIRD}/24") },
            End { ns: &lab.internet, interface: "to-third", address: "192.0.2.1/24" },
            MTU,
            Wire::Real,
        )?;
        lab.third.run("ip route add default via 192.0.2.1")?;
        set_queue(&lab.third, UNDERLAY)?;
        set_queue(&lab.internet, "to-third")?;
        Ok(lab)
    }

    pub fn site(&self, side: Side) -> &Site {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// Puts a second host behind `a`'s router. A router that does 1:1 NAT has no address for it.
    pub fn add_second(&mut self) -> Result<&Netns> {
        let second = self.run.netns("second")?;
        self.a.wire(&second, Lan::Second, Wire::Real)?;
        Ok(self.second.insert(second))
    }

    /// The second host, if there is one.
    pub fn second(&self) -> Option<&Netns> {
        self.second.as_ref()
    }

    /// The second host's own address.
    pub fn second_own(&self) -> Ipv4Addr {
        self.a.address(Lan::Second)
    }

    /// A host, its router and the internet, one behind the other.
    fn plug(&self, site: &Site) -> Result<()> {
        let Site { host, router, side, nat } = site;
        router.sysctl("net.ipv4.ip_forward", "1")?;
        site.wire(host, Lan::First, Wire::Real)?;
        let gateway = side.internet(1, 25);
        connect(
            End { ns: router, interface: "wan", address: &format!("{}/25", side.router()) },
            End {
                ns: &self.internet,
                interface: &internet_interface(side.name()),
                address: &gateway,
            },
            MTU,
            Wire::Real,
        )?;
        let gateway = gateway.trim_end_matches("/25");
        router.run(&format!("ip route add default via {gateway}"))?;
        set_queue(router, "wan")?;
        set_queue(&self.internet, &internet_interface(side.name()))?;
        if nat.is_none() {
            return self.internet.run(&self.route(*side, "add", "")).map(drop);
        }
        site.apply_nat()?;
        site.guard()
    }

    /// The internet's route to the hosts of a side without NAT.
    fn route(&self, side: Side, verb: &str, options: &str) -> String {
        format!("ip route {verb} {} via {} {options}", side.internet(128, 25), side.router())
    }
}

/// The internet's interface to `a`, `b` or `third`.
fn internet_interface(to: &str) -> String {
    format!("to-{to}")
}
