//! What a router of the lab rewrites: real NAT of the kernel's, by nftables and its connection
//! tracking. A mapping lasts until it is changed or forgotten.

use std::net::Ipv4Addr;

/// The port that the tunnel uses.
pub const PORT: u16 = 4789;

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

    /// Rules for what leaves a router by `wan`: its public address, and those of the two hosts
    /// behind it.
    pub(super) fn postrouting(self, router: Ipv4Addr, own: [Ipv4Addr; 2]) -> String {
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
    pub(super) fn prerouting(self, router: Ipv4Addr, own: Ipv4Addr) -> String {
        if self != Self::OneToOne {
            return String::new();
        }
        format!("iifname \"wan\" ip daddr {router} dnat to {own}")
    }
}
