//! The single changes that bring an overlay interface to what it shall be. Carries none out.

use std::fmt;

use ipnet::IpNet;

use super::overlay_spec::RouteSpec;

/// One change of the host, made by one request to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Makes the pair.
    Make,
    /// Removes what is left of a pair, by either end.
    Delete {
        ifindex: u32,
        name: String,
    },
    Link {
        ifindex: u32,
        name: String,
        change: LinkChange,
    },
    AddAddress {
        ifindex: u32,
        address: IpNet,
    },
    RemoveAddress {
        ifindex: u32,
        address: IpNet,
    },
    /// `replaces`: there is a route for the prefix, which goes in the same step.
    AddRoute {
        ifindex: u32,
        route: RouteSpec,
        replaces: bool,
    },
    AddBlackhole(IpNet),
}

/// One change of one end of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkChange {
    Name(String),
    Mac([u8; 6]),
    Mtu(u32),
    Group(u32),
    Alias(String),
    /// Settings of IPv4: `accept_local`, and `proxy_arp` unless it is to stay as it is.
    Ipv4 {
        proxy_arp: Option<bool>,
    },
    /// Whether the kernel makes a link-local address.
    GenerateIpv6(bool),
    EnableIpv6,
    ReplyAtOnce,
    /// Nothing can be sent out of the interface.
    BlockTransmit,
    AddClsact,
    Up,
    Down,
}

impl LinkChange {
    /// Returns whether one request can make this change together with others of its kind.
    pub(super) fn is_setting(&self) -> bool {
        matches!(self, Self::Group(_) | Self::Alias(_) | Self::Ipv4 { .. } | Self::GenerateIpv6(_))
    }
}

impl Step {
    /// Returns whether without the step anybody could send packets as if they had come out of the
    /// tunnel.
    pub(super) fn keeps_strangers_out(&self) -> bool {
        matches!(self, Self::Link { change: LinkChange::BlockTransmit, .. })
    }

    /// Returns whether packets of the network cannot pass, or not all of them, without the step.
    pub(super) fn is_vital(&self) -> bool {
        match self {
            Self::Link { change, .. } => match change {
                // The maps have the address that the interface has.
                LinkChange::Mac(_)
                | LinkChange::Group(_)
                | LinkChange::Alias(_)
                | LinkChange::ReplyAtOnce
                | LinkChange::BlockTransmit
                | LinkChange::AddClsact => false,
                LinkChange::Name(_)
                | LinkChange::Mtu(_)
                | LinkChange::Ipv4 { .. }
                | LinkChange::GenerateIpv6(_)
                | LinkChange::EnableIpv6
                | LinkChange::Up
                | LinkChange::Down => true,
            },
            Self::RemoveAddress { .. } | Self::AddBlackhole(_) => false,
            Self::Make | Self::Delete { .. } | Self::AddAddress { .. } | Self::AddRoute { .. } => {
                true
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make => f.write_str("the interface is made"),
            Self::Delete { name, .. } => write!(f, "{name} is removed, its other end has gone"),
            Self::Link { name, change, .. } => write!(f, "{name} {change}"),
            Self::AddAddress { address, .. } => write!(f, "address {address} is added"),
            Self::RemoveAddress { address, .. } => write!(f, "address {address} is removed"),
            Self::AddRoute { route: RouteSpec { prefix, mtu, .. }, .. } => {
                write!(f, "route {prefix} is added")?;
                mtu.map_or(Ok(()), |mtu| write!(f, " with MTU {mtu}"))
            }
            Self::AddBlackhole(prefix) => write!(f, "blackhole {prefix} is added"),
        }
    }
}

impl fmt::Display for LinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "is renamed to {name}"),
            Self::Mac([a, b, c, d, e, g]) => {
                write!(f, "gets MAC {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            Self::Mtu(mtu) => write!(f, "gets MTU {mtu}"),
            Self::Group(group) => write!(f, "gets group {group}"),
            Self::Alias(alias) => write!(f, "gets the alias \"{alias}\""),
            Self::Ipv4 { .. } => f.write_str("gets accept_local and proxy_arp"),
            Self::GenerateIpv6(true) => f.write_str("gets a link-local address"),
            Self::GenerateIpv6(false) => f.write_str("gets no link-local address"),
            Self::EnableIpv6 => f.write_str("gets IPv6 again"),
            Self::ReplyAtOnce => f.write_str("gets proxy_delay 0"),
            Self::BlockTransmit => f.write_str("can send nothing"),
            Self::AddClsact => f.write_str("gets a clsact qdisc"),
            Self::Up => f.write_str("is set up"),
            Self::Down => f.write_str("is set down for a moment"),
        }
    }
}
