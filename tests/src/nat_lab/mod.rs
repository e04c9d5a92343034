//! Two hosts, each behind a router that does NAT or does not, an internet in between, and a third
//! host on the internet itself:
//!
//! ```text
//! a ── router (203.0.113.10) ── internet ── (198.51.100.20) router ── b
//! second ┘                         └── third 192.0.2.30
//! ```
//!
//! Owns the wiring of the whole. One side is in [`site`], what a router rewrites in [`nat`], what
//! goes wrong on the internet in [`trouble`], and a box that spoils checksums in [`breaker`].

pub mod breaker;
mod insn;
pub mod nat;
pub mod site;
pub mod trouble;

use std::net::Ipv4Addr;

use anyhow::Result;

use self::site::{Lan, MTU};
pub use self::{
    nat::{Nat, PORT},
    site::{PROBES, Site},
};
pub use crate::two_hosts::Side;
use crate::{
    link::{End, Wire, connect, set_queue},
    netns::Netns,
    run::Run,
    topology::UNDERLAY,
};

/// The host on the internet itself.
pub const THIRD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 30);

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
