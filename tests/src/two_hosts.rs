//! Two hosts and one network between them, whatever lies on the way: which addresses they have,
//! what their configurations say, and traffic from either end to the other.
//!
//! ```text
//! a 203.0.113.1, 192.168.43.1 ═══ b 203.0.113.2, 192.168.44.1
//! ```
//!
//! The hosts themselves, and what joins them, belong to a topology, which implements [`TwoHosts`].

use std::net::IpAddr;

use anyhow::{Result, ensure};

use crate::{
    config::Config,
    kernel_vxlan::KernelVxlan,
    netns::Ns,
    traffic::{Transfer, ping, tcp_transfer},
};

pub const VNI: u32 = 43;
/// The overlay interface of that network.
pub const OVERLAY: &str = "vxlan43";

/// A version of IP, of the underlay or of what is in the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Length of the headers of an echo request, ICMP and IP.
    pub fn echo_headers(self) -> u32 {
        match self {
            Self::V4 => 20 + 8,
            Self::V6 => 40 + 8,
        }
    }

    /// What the tunnel takes of its underlay's MTU: outer IP, UDP and VXLAN, inner Ethernet.
    pub fn overhead(self) -> u32 {
        match self {
            Self::V4 => 20 + 8 + 8 + 14,
            Self::V6 => 40 + 8 + 8 + 14,
        }
    }
}

/// One of the two hosts.
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

    fn number(self) -> u16 {
        self as u16 + 1
    }

    /// Third part of its overlay addresses: 43 or 44, also where it stands for hexadecimal digits.
    fn overlay_number(self) -> u8 {
        43 + self as u8
    }

    /// On the underlay, where the two are on one cable.
    pub fn underlay(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => [203, 0, 113, self.number() as u8].into(),
            Family::V6 => [0x2001, 0xdb8, 1, 0, 0, 0, 0, self.number()].into(),
        }
    }

    /// With its prefix length.
    pub fn underlay_prefix(self, family: Family) -> String {
        let length = if family == Family::V4 { 24 } else { 64 };
        format!("{}/{length}", self.underlay(family))
    }

    /// What the other one's configuration calls it.
    pub fn endpoint(self, outer: Family) -> String {
        match outer {
            Family::V4 => self.underlay(outer).to_string(),
            Family::V6 => format!("[{}]", self.underlay(outer)),
        }
    }

    /// On the overlay.
    pub fn overlay(self, family: Family) -> IpAddr {
        let number = self.overlay_number();
        match family {
            Family::V4 => [192, 168, number, 1].into(),
            Family::V6 => [0x2001, 0xdb8, 0x43 + self as u16, 0, 0, 0, 0, 1].into(),
        }
    }

    /// With its prefix length.
    pub fn address(self, family: Family) -> String {
        let length = if family == Family::V4 { 24 } else { 64 };
        format!("{}/{length}", self.overlay(family))
    }

    /// The addresses behind it.
    pub fn prefix(self, family: Family) -> String {
        let number = self.overlay_number();
        match family {
            Family::V4 => format!("192.168.{number}.0/24"),
            Family::V6 => format!("2001:db8:{number}::/64"),
        }
    }
}

/// What both configurations have in common, and keys of their own.
#[derive(Debug, Clone, Copy)]
pub struct Tunnel<'a> {
    pub outer: Family,
    /// What has addresses on the overlay.
    pub inner: &'a [Family],
    /// More lines for `[underlay]`, and for sections behind it.
    pub underlay: &'a str,
    /// More lines for `[[peer]]`.
    pub peer: &'a str,
}

impl Default for Tunnel<'_> {
    /// IPv4 over IPv4, and nothing that has a default.
    fn default() -> Self {
        Self { outer: Family::V4, inner: &[Family::V4], underlay: "", peer: "" }
    }
}

impl Tunnel<'_> {
    /// For a peer that is a kernel vxlan device: its source ports follow another rule.
    pub const TO_KERNEL: &'static str = "source_port = \"any\"";

    /// The configuration of a host; the peer has the other one's name.
    pub fn config(&self, own: Side) -> Config {
        let Self { outer, inner, underlay, peer } = *self;
        let other = own.other();
        let addresses: Vec<_> = inner.iter().map(|&family| own.address(family)).collect();
        let prefixes: Vec<_> = inner.iter().map(|&family| other.prefix(family)).collect();
        Config::new(own.name())
            .lines(underlay)
            .peer(other.name(), other.endpoint(outer))
            .lines(peer)
            .network(VNI, OVERLAY, &addresses)
            .member(other.name(), &prefixes)
    }

    /// A kernel vxlan device instead of a daemon; to be made after more settings.
    pub fn kernel(&self, own: Side, device: &str) -> KernelVxlan {
        let other = own.other();
        let (local, remote) = (own.underlay(self.outer), other.underlay(self.outer));
        self.inner.iter().fold(KernelVxlan::new(device, VNI, local, remote), |device, &family| {
            device.address(&own.address(family)).route(&other.prefix(family))
        })
    }
}

/// Traffic between the overlay addresses of two hosts.
pub trait TwoHosts {
    fn ns(&self, end: Side) -> &Ns;

    /// So many pings, all of them answered.
    fn ping(&self, from: Side, family: Family, count: u32) -> Result<()> {
        let to = from.other().overlay(family);
        let result = ping(self.ns(from), Some(from.overlay(family)), to, count)?;
        ensure!(result.all_answered(), "from {from:?}: {}", result.output);
        Ok(())
    }

    fn ping_from_both(&self, family: Family, count: u32) -> Result<()> {
        Side::BOTH.into_iter().try_for_each(|from| self.ping(from, family, count))
    }

    /// A TCP transfer that arrives whole.
    fn transfer(&self, from: Side, family: Family, bytes: u64) -> Result<Transfer> {
        let (to, at) = (from.other(), from.other().overlay(family));
        let transfer = tcp_transfer(self.ns(from), self.ns(to), at, bytes)?;
        ensure!(transfer.intact(), "from {from:?} to {at}: digests differ: {transfer:?}");
        ensure!(transfer.bytes == bytes, "{bytes} bytes sent, {} arrived", transfer.bytes);
        println!("from {from:?} to {at}: {:.0} Mbit/s", transfer.mbit_per_second());
        Ok(transfer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_names_the_other_ones_addresses() {
        let tunnel = Tunnel { outer: Family::V6, inner: &Family::BOTH, ..Tunnel::default() };
        let text = r#"[node]
name = "b"

[underlay]
interface = "eth0"

[[peer]]
name = "a"
endpoint = "[2001:db8:1::1]"

[[network]]
vni = 43
interface = "vxlan43"
addresses = ["192.168.44.1/24", "2001:db8:44::1/64"]

[[network.member]]
peer = "a"
allowed_ips = ["192.168.43.0/24", "2001:db8:43::/64"]
"#;
        assert_eq!(&*tunnel.config(Side::B), text);
        assert_eq!(Side::B.underlay_prefix(Family::V4), "203.0.113.2/24");
    }
}
