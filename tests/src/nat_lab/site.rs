//! One side of the lab: a host behind its router, their addresses, and what the router's NAT does
//! and remembers. The rules themselves are [`Nat`]'s.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::nat::{Nat, PORT};
use crate::{
    link::{End, Wire, connect, set_queue},
    netns::{Netns, Ns},
    topology::UNDERLAY,
    two_hosts::Side,
};

/// In nft's words: the tunnel's probes, by the VNI that they have.
pub const PROBES: &str = "meta l4proto udp @th,96,24 16777215";
/// Of every link of the lab, in bytes.
pub(super) const MTU: u32 = 1500;

/// A side of the internet is that of one of the two hosts.
impl Side {
    /// What the side's router has on the internet.
    pub fn router(self) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(203, 0, 113, 10),
            Self::B => Ipv4Addr::new(198, 51, 100, 20),
        }
    }

    /// An address of the side's part of the internet, `prefix` and all.
    pub(super) fn internet(self, last: u8, prefix: u8) -> String {
        let [first, second, third, _] = self.router().octets();
        format!("{first}.{second}.{third}.{last}/{prefix}")
    }
}

/// Which network behind a router.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lan {
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
    pub(super) side: Side,
    pub(super) nat: Nat,
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
    pub(super) fn address(&self, lan: Lan) -> Ipv4Addr {
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
    pub(super) fn wire(&self, host: &Ns, lan: Lan, wire: Wire) -> Result<()> {
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

impl Site {
    pub fn nat(&self) -> Nat {
        self.nat
    }

    /// Translates another way from now on; what was known of connections is forgotten. From or to
    /// [`Nat::None`] is not possible, as the hosts would need other addresses.
    pub fn change_nat(&mut self, nat: Nat) -> Result<()> {
        ensure!(!nat.is_none() && !self.nat.is_none(), "{:?} to {nat:?}", self.nat);
        self.nat = nat;
        self.apply_nat()?;
        self.forget()
    }

    /// The box has lost its memory, as after a power cut: every mapping is gone, the rules stay.
    pub fn forget(&self) -> Result<()> {
        self.router.run("conntrack -F").map(drop)
    }

    /// What the box remembers of UDP, a line each.
    pub fn mappings(&self) -> Result<String> {
        self.router.run("conntrack -L -p udp")
    }

    /// The port that the host `own` sends from, from its tunnel's port to that of `to`, as `to`
    /// sees it; nothing while the box remembers none.
    pub fn mapped_port(&self, own: Ipv4Addr, to: Ipv4Addr) -> Result<Option<u16>> {
        let text = self.mappings()?;
        let sent = format!("src={own} dst={to} sport={PORT} dport={PORT} ");
        let line = text.lines().find_map(|line| line.split_once(&sent));
        // What follows is where answers come to.
        let port = line.and_then(|(_, rest)| rest.split_once("dport=")?.1.split(' ').next());
        Ok(port.map(str::parse).transpose()?)
    }

    /// Packets that came by `wan` and belong to no mapping, so that the box has swallowed them;
    /// without probes.
    pub fn swallowed(&self) -> Result<u64> {
        let text = self.router.run("nft -j list chain ip guard input")?;
        let listing: serde_json::Value = serde_json::from_str(&text)?;
        let items = listing["nftables"].as_array().into_iter().flatten();
        let parts = items.filter_map(|item| item["rule"]["expr"].as_array()).flatten();
        let packets = parts.filter_map(|part| part["counter"]["packets"].as_u64()).next();
        packets.context("the router's rules have no counter")
    }

    /// Puts the rules in place of those that are there.
    pub(super) fn apply_nat(&self) -> Result<()> {
        let (nat, router) = (self.nat, self.side.router());
        if nat.is_none() {
            return Ok(());
        }
        self.router.run_with_input(
            "nft -f -",
            &format!(
                "table ip nat {{}}
                delete table ip nat
                table ip nat {{
                    chain prerouting {{
                        type nat hook prerouting priority dstnat;
                        {}
                    }}
                    chain postrouting {{
                        type nat hook postrouting priority srcnat;
                        {}
                    }}
                }}",
                nat.prerouting(router, self.address(Lan::First)),
                nat.postrouting(router, [Lan::First, Lan::Second].map(|lan| self.address(lan)))
            ),
        )?;
        Ok(())
    }

    /// What belongs to no mapping would else get as far as the router itself, which would remember
    /// it as a connection of its own, and give its port to nobody.
    pub(super) fn guard(&self) -> Result<()> {
        self.router.run_with_input(
            "nft -f -",
            &format!(
                "table ip guard {{
                    chain input {{
                        type filter hook input priority filter;
                        iifname \"wan\" {PROBES} drop
                        iifname \"wan\" meta l4proto udp counter drop
                    }}
                }}"
            ),
        )?;
        // A box in silicon does not look at the checksums of what it translates.
        self.router.sysctl("net.netfilter.nf_conntrack_checksum", "0")
    }
}
