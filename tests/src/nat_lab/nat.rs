//! What a router of the lab rewrites: real NAT of the kernel's, by nftables and its connection
//! tracking. A mapping lasts until it is changed or forgotten.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::{Lan, PORT, PROBES, Site};

/// How a router translates what crosses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// Not at all: the hosts behind it have public addresses.
    None,
    /// The router's public address stands for the first host, both ways, whoever begins.
    OneToOne,
    /// All hosts share the router's address and keep their ports, as long as no two want the same.
    PortPreserving,
    /// The tunnel's port of the first host becomes this one, whatever the destination; that of the
    /// second host becomes the next one.
    Mapped(u16),
    /// Every destination sees another port, drawn at random.
    Symmetric,
}

impl Nat {
    pub(super) fn is_none(self) -> bool {
        self == Self::None
    }

    /// Rules for what leaves a router by `wan`.
    fn postrouting(self, site: &Site) -> String {
        let router = site.side.router();
        let own = [Lan::First, Lan::Second].map(|lan| site.address(lan));
        match self {
            Self::None => String::new(),
            Self::OneToOne => {
                format!("oifname \"wan\" ip saddr {} snat to {router}", own[0])
            }
            Self::PortPreserving => "oifname \"wan\" masquerade".to_owned(),
            Self::Mapped(port) => {
                let rule = |own, port| {
                    format!(
                        "oifname \"wan\" ip saddr {own} udp sport {PORT} snat to {router}:{port}\n"
                    )
                };
                rule(own[0], port) + &rule(own[1], port + 1) + "oifname \"wan\" masquerade"
            }
            Self::Symmetric => "oifname \"wan\" masquerade random".to_owned(),
        }
    }

    /// Rules for what comes in by `wan`.
    fn prerouting(self, site: &Site) -> String {
        if self != Self::OneToOne {
            return String::new();
        }
        let (router, own) = (site.side.router(), site.address(Lan::First));
        format!("iifname \"wan\" ip daddr {router} dnat to {own}")
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
        let nat = self.nat;
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
                nat.prerouting(self),
                nat.postrouting(self)
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
