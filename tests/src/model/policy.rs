//! Who owns an address in a network, and which addresses a member may use (rules 17 to 19).

use std::net::{IpAddr, Ipv4Addr};

use super::{
    Network, Prefix,
    inner::{FrameKind, Inner},
};
use crate::packet::{BROADCAST, Mac};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    ThisHost,
    Member(usize),
}

impl Network {
    /// By the longest prefix.
    pub(super) fn owner(&self, address: IpAddr) -> Owner {
        let mut best = (None, Owner::Nobody);
        let mut offer = |prefix: Prefix, owner| {
            // Of two the same, which no configuration has, the first.
            if prefix.holds(address) && Some(prefix.length) > best.0 {
                best = (Some(prefix.length), owner);
            }
        };
        for prefix in self.local_prefixes() {
            offer(prefix, Owner::ThisHost);
        }
        for (index, member) in self.members.iter().enumerate() {
            for prefix in &member.allowed {
                offer(*prefix, Owner::Member(index));
            }
        }
        best.1
    }

    fn local_prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.local.iter().copied().chain(self.own_prefixes())
    }

    /// The interface's own addresses, and their broadcast addresses.
    fn own_prefixes(&self) -> impl Iterator<Item = Prefix> {
        let own = self.addresses.iter().map(|(address, _)| match address {
            IpAddr::V4(_) => Prefix::new(*address, 32),
            IpAddr::V6(_) => Prefix::new(*address, 128),
        });
        let broadcasts = self.addresses.iter().filter_map(|(_, prefix)| match prefix.address {
            IpAddr::V4(network) if prefix.length < 31 => {
                let last = u32::from(network) | u32::MAX >> prefix.length;
                Some(Prefix::new(Ipv4Addr::from(last), 32))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        });
        own.chain(broadcasts)
    }

    /// `mac`: the destination MAC that an address goes with.
    fn is_local(&self, address: IpAddr, mac: Mac, discovery: bool) -> bool {
        // Of a host behind this one.
        let station = mac != self.mac && !is_group(mac);
        if discovery && is_link_local(address) {
            return self.stations || !station;
        }
        let local = self.owner(address) == Owner::ThisHost;
        let own = self.own_prefixes().any(|prefix| prefix.holds(address));
        local && (!station || self.stations && !own && mac != [0; 6])
    }

    /// Rule 17.
    /// Two hosts have the same overlay MAC.
    pub(super) fn is_own_mac(&self, inner: &Inner<'_>) -> bool {
        inner.src == self.mac
    }

    pub(super) fn may_send(&self, member: usize, inner: &Inner<'_>) -> bool {
        if inner.src == [0; 6] || is_group(inner.src) {
            return false;
        }
        if let FrameKind::Arp(arp) = &inner.kind
            && arp.sender_mac != inner.src
        {
            return false;
        }
        if self.is_unspecified(member, inner) {
            return true;
        }
        match &inner.kind {
            FrameKind::Arp(arp) => {
                arp.sender_mac == inner.src && self.may_use(member, arp.sender, false)
            }
            FrameKind::Ip(ip) => {
                let discovery = ip.discovery();
                let claimed = discovery.filter(|discovery| !discovery.solicits);
                let right = |address| self.may_use(member, address, discovery.is_some());
                right(ip.src) && claimed.is_none_or(|claimed| right(claimed.target))
            }
        }
    }

    /// From a host without an address, and allowed to be.
    fn is_unspecified(&self, member: usize, inner: &Inner<'_>) -> bool {
        if !self.pass_unspecified {
            return false;
        }
        let target = match probed(inner) {
            Some(target) => target,
            None => return is_dhcp(inner),
        };
        let of_member = self.may_use(member, target, true);
        of_member || is_host_address(target) && self.owner(target) == Owner::ThisHost
    }

    fn may_use(&self, member: usize, address: IpAddr, discovery: bool) -> bool {
        if !is_host_address(address) {
            return false;
        }
        if is_link_local(address) {
            let allowed = &self.members[member].allowed;
            return discovery && allowed.iter().any(|prefix| prefix.address.is_ipv6());
        }
        self.owner(address) == Owner::Member(member)
    }

    /// Rule 19.
    pub(super) fn may_receive(&self, inner: &Inner<'_>) -> bool {
        if inner.dst == [0; 6] {
            return false;
        }
        if self.pass_unspecified && probed(inner).is_some() {
            // With the MAC of a group, and an IP destination that is one's.
            return inner.dst == BROADCAST || inner.ip().is_some_and(|ip| is_multicast(ip.dst));
        }
        match &inner.kind {
            FrameKind::Arp(arp) if inner.dst == BROADCAST && arp.announces_itself() => true,
            FrameKind::Arp(arp) => self.is_for_us(arp.target, inner.dst, false),
            FrameKind::Ip(ip) => {
                let discovery = ip.discovery();
                let solicited = discovery.filter(|discovery| discovery.solicits);
                let target_is_ours =
                    solicited.is_none_or(|at| self.is_local(at.target, inner.dst, true));
                target_is_ours && self.is_for_us(ip.dst, inner.dst, discovery.is_some())
            }
        }
    }

    /// An IP destination, or the target of an ARP frame, with the MAC address it came under.
    fn is_for_us(&self, destination: IpAddr, mac: Mac, discovery: bool) -> bool {
        if is_multicast(destination) {
            return is_group(mac);
        }
        (!is_group(mac) || mac == BROADCAST) && self.is_local(destination, mac, discovery)
    }
}

/// The address that a host without one asks about: an ARP probe, or duplicate address detection.
fn probed(inner: &Inner<'_>) -> Option<IpAddr> {
    if !is_group(inner.dst) {
        return None;
    }
    match &inner.kind {
        FrameKind::Arp(arp) => arp.sender.is_unspecified().then_some(arp.target),
        FrameKind::Ip(ip) => {
            let solicited = ip.discovery().filter(|discovery| discovery.solicits)?;
            (ip.src.is_unspecified() && is_multicast(ip.dst)).then_some(solicited.target)
        }
    }
}

/// A DHCP client that has no address asks every server.
fn is_dhcp(inner: &Inner<'_>) -> bool {
    inner.ip().is_some_and(|ip| {
        let ends = (ip.src, ip.dst);
        let all = IpAddr::V4(Ipv4Addr::BROADCAST);
        ends == (Ipv4Addr::UNSPECIFIED.into(), all) && ip.udp_ports() == Some((68, 67))
    })
}

pub(super) fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

/// Not one of the addresses that no host has.
pub(super) fn is_host_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !matches!(v4.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_loopback() && v6.octets()[0] != 0xff,
    }
}

/// A group's, or the limited broadcast.
pub(super) fn is_multicast(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}
