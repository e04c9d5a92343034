//! Chooses the addresses of the underlay interface that packets leave from and arrive at: one of
//! each family that is declared, or that the interface has. What is in use stays, as peers know it:
//! a further address on the interface moves nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    config::{Config, ConfigError, Located, Peer},
    host::{InterfaceAddress, UnderlayLink},
};

/// Chooses an address of each family. Those in use come first, in this order.
///
/// # Errors
/// The interface lacks an address that is declared, or that an endpoint of a peer needs.
pub(in crate::daemon) fn choose(
    config: &Config,
    underlay: &UnderlayLink,
    in_use: &[IpAddr],
) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), ConfigError> {
    let (v4, v6, missing) = choose_available(config, underlay, in_use);
    missing.into_iter().next().map_or(Ok((v4, v6)), Err)
}

/// Chooses an address of each family where there is one, and returns what is wrong with the other
/// families.
pub(in crate::daemon) fn choose_available(
    config: &Config,
    underlay: &UnderlayLink,
    in_use: &[IpAddr],
) -> (Option<Ipv4Addr>, Option<Ipv6Addr>, Vec<ConfigError>) {
    let (mut v4, mut v6, mut missing) = (None, None, Vec::new());
    for family in [Family::V4, Family::V6] {
        match choose_one(config, underlay, in_use, family) {
            Ok(Some(IpAddr::V4(address))) => v4 = Some(address),
            Ok(Some(IpAddr::V6(address))) => v6 = Some(address),
            Ok(None) => {}
            Err(error) => missing.push(error),
        }
    }
    if v4.is_none() && v6.is_none() && missing.is_empty() {
        missing.push(no_address(config, underlay));
    }
    (v4, v6, missing)
}

fn choose_one(
    config: &Config,
    underlay: &UnderlayLink,
    in_use: &[IpAddr],
    family: Family,
) -> Result<Option<IpAddr>, ConfigError> {
    let declared = config.underlay.address.iter().find(|at| family.has(at.value));
    if let Some(declared) = declared {
        return on_interface(config, underlay, &declared).map(Some);
    }
    let address = best(underlay, in_use, family);
    if address.is_none() {
        check_unneeded(config, underlay, family)?;
    }
    Ok(address)
}

/// Returns the error for an interface without any address, in a configuration that has no peer yet.
pub(in crate::daemon) fn no_address(config: &Config, underlay: &UnderlayLink) -> ConfigError {
    let message = format!(
        "interface {} has no address to send from. Give it one, or name another interface.",
        underlay.name
    );
    config.error(&config.underlay.interface, message)
}

/// Returns whether the choice may be another one soon: the kernel still looks whether somebody else
/// has an address of the interface.
pub(in crate::daemon) fn is_unsettled(underlay: &UnderlayLink) -> bool {
    let tentative = |at: &InterfaceAddress| at.tentative && !at.duplicate;
    underlay.addresses.iter().any(|at| tentative(at) && !is_link_local(at.address.addr()))
}

/// Returns whether the interface has an address to send neighbour solicitations from (RFC 4861,
/// section 7.2.2).
pub(in crate::daemon) fn has_link_local(underlay: &UnderlayLink) -> bool {
    underlay.addresses.iter().any(|at| is_link_local(at.address.addr()))
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

fn addresses_of(
    underlay: &UnderlayLink,
    family: Family,
) -> impl Iterator<Item = (&InterfaceAddress, IpAddr)> {
    let addresses = underlay.addresses.iter().map(|at| (at, at.address.addr()));
    addresses.filter(move |(_, address)| family.has(*address))
}

/// Returns the address in use, as long as the interface has it; else the one that other programs
/// would send from too: the first that is not secondary. A deprecated address is chosen only where
/// there is no other. Link-local addresses do not count, since they reach no other link, nor do
/// those that the kernel does not use, or not yet.
fn best(underlay: &UnderlayLink, in_use: &[IpAddr], family: Family) -> Option<IpAddr> {
    let usable = || {
        addresses_of(underlay, family)
            .filter(|(at, address)| !at.tentative && !at.duplicate && !is_link_local(*address))
    };
    let preferred = || usable().filter(|(at, _)| !at.deprecated);
    let kept = |mut of: Vec<IpAddr>| {
        of.retain(|address| in_use.contains(address));
        of.into_iter().min_by_key(|address| in_use.iter().position(|used| used == address))
    };
    let all = |of: &mut dyn Iterator<Item = (&InterfaceAddress, IpAddr)>| {
        of.map(|(_, address)| address).collect::<Vec<_>>()
    };
    let anew = || preferred().find(|(at, _)| !at.secondary).map(|(_, address)| address);
    let deprecated = || usable().find(|(at, _)| !at.secondary).map(|(_, address)| address);
    kept(all(&mut preferred()))
        .or_else(anew)
        .or_else(|| kept(all(&mut usable())))
        .or_else(deprecated)
}

/// Checks that a declared address is one of the interface's.
fn on_interface(
    config: &Config,
    underlay: &UnderlayLink,
    wanted: &Located<IpAddr>,
) -> Result<IpAddr, ConfigError> {
    let family = if wanted.value.is_ipv4() { Family::V4 } else { Family::V6 };
    if let Some((at, _)) =
        addresses_of(underlay, family).find(|(_, address)| *address == wanted.value)
    {
        if !at.duplicate {
            return Ok(wanted.value);
        }
        let message = format!(
            "address = \"{}\" is used by another host on the link of interface {}, too, so the \
             kernel does not use it (duplicate address detection). Take it off that host, then \
             delete it here and add it again.",
            wanted.value, underlay.name
        );
        return Err(config.error(wanted, message));
    }
    let listed: Vec<String> =
        addresses_of(underlay, family).map(|(_, address)| address.to_string()).collect();
    let found =
        if listed.is_empty() { format!("no {} address", family.name()) } else { listed.join(", ") };
    let instead = match best(underlay, &[], family) {
        Some(first) => format!(
            "write address = \"{first}\" (or leave the key out) and, if {} is where peers send to, \
             public_address = \"{0}\"",
            wanted.value
        ),
        None => "give the interface an address first".to_owned(),
    };
    let message = format!(
        "address = \"{}\" is not on interface {}, which has {found}. Behind a 1:1 NAT the public \
         address is not on the host: {instead}.",
        wanted.value, underlay.name
    );
    Err(config.error(wanted, message))
}

/// Checks that no endpoint is of a family that the interface has no address of: nothing could be
/// sent there.
fn check_unneeded(
    config: &Config,
    underlay: &UnderlayLink,
    family: Family,
) -> Result<(), ConfigError> {
    let endpoint_of = |peer: &Peer| peer.endpoints.iter().find(|at| family.has(at.ip())).copied();
    let needed = config.peers.iter().find_map(|peer| Some((peer, endpoint_of(peer)?)));
    let Some((peer, endpoint)) = needed else { return Ok(()) };
    let message = format!(
        "interface {} has no {} address to send from, which the endpoint {endpoint} of peer \"{}\" \
         needs. Give it one, name another interface, or write an endpoint of the other family.",
        underlay.name,
        family.name(),
        peer.name
    );
    Err(config.error(&endpoint, message))
}
