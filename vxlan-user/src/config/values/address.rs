//! Turns one text into one IP address, endpoint or prefix. MAC addresses, names, numbers and words
//! are the matter of `scalar`.
//!
//! Each function returns the value or adds one problem that says what to write instead. How values
//! relate to each other is the matter of `rules`, and slips in writing are that of `slips`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use crate::config::error::Problems;
use crate::config::text::item::Item;
use crate::config::text::source::quoted;
use crate::config::types::Located;

use super::slips;

/// Tells why an address cannot be an end of a tunnel. `None`: it can.
fn unfit(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("is no host's address");
    }
    if address.is_loopback() {
        return Some("is a loopback address");
    }
    if address.is_multicast() {
        return Some("is a multicast address");
    }
    match address {
        IpAddr::V4(v4) => v4.is_broadcast().then_some("is the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Some("is an IPv4 address written as IPv6")
        }
        IpAddr::V6(v6) => v6.is_unicast_link_local().then_some("is a link-local address"),
    }
}

/// Tells why an address cannot be where a peer is reached. `None`: it can.
pub fn unfit_for_endpoint(address: IpAddr) -> Option<&'static str> {
    let of_no_host = |v4: Ipv4Addr| match v4.octets()[0] {
        0 => Some("is no host's address (0.0.0.0/8)"),
        240.. => Some("is of the reserved range 240.0.0.0/4"),
        _ => None,
    };
    unfit(address).or(match address {
        IpAddr::V4(v4) => of_no_host(v4),
        IpAddr::V6(_) => None,
    })
}

/// Ranges of which no part can be behind another host, and why.
const UNROUTABLE: [(&str, &str); 7] = [
    ("0.0.0.0/8", "addresses of no host"),
    ("127.0.0.0/8", "loopback addresses, which each host has for itself"),
    ("224.0.0.0/4", "multicast groups, which all members get anyway"),
    ("255.255.255.255/32", "the broadcast address, which all members get anyway"),
    ("::/127", "addresses of no other host"),
    ("fe80::/10", "link-local addresses, which each link has for itself"),
    ("ff00::/8", "multicast groups, which all members get anyway"),
];

/// Tells of what range a prefix is whose addresses cannot be behind another host. `None`: they can.
/// A link-local IPv4 prefix can, as links between routers have such, but not all of them together:
/// there are the metadata services of clouds.
fn unroutable(prefix: IpNet) -> Option<&'static str> {
    let ranges = UNROUTABLE.iter().filter_map(|(range, why)| Some((range.parse().ok()?, *why)));
    let within = |(range, _): &(IpNet, &str)| range.contains(&prefix);
    let metadata = IpAddr::from([169, 254, 169, 254]);
    let link_local = prefix.addr().is_ipv4() && prefix.prefix_len() >= 16;
    ranges.into_iter().find(within).map(|(_, why)| why).or_else(|| {
        (link_local && prefix.contains(&metadata))
            .then_some("link-local addresses, with the metadata service of clouds among them")
    })
}

/// Reads an address without port or prefix length that can be an end of a tunnel.
pub(in crate::config) fn address(
    item: &Item<&str>,
    problems: &mut Problems,
) -> Option<Located<IpAddr>> {
    let text = item.value;
    let bare = |address: IpAddr| item.instead(&format!("\"{address}\""));
    let message = if let Ok(address) = text.parse::<IpAddr>() {
        match unfit(address) {
            None => return Some(item.locate(address)),
            Some(why) => {
                let wanted = match item.key {
                    "private_address" => "the address that the peer's own interface carries",
                    "public_address" => "the address that peers send to",
                    "probe_address" => "the address of a host behind the peer",
                    _ => "a unicast address of the underlay interface",
                };
                format!("{item} {why}. Write {wanted}.")
            }
        }
    } else if let Ok(prefix) = text.parse::<IpNet>() {
        format!("{item} has a prefix length. Write {}.", bare(prefix.addr()))
    } else if let Ok(with_port) = text.parse::<SocketAddr>() {
        format!("{item} has a port. Write {}.", bare(with_port.ip()))
    } else if let Some((why, address)) = slips::repaired::<IpAddr>(text) {
        format!("{item} {why}. Write {}.", bare(address))
    } else {
        let example = item.instead("\"10.0.0.2\"");
        format!(
            "{item} is not an IP address, and names are not resolved. Write the address, such as \
             {example}."
        )
    };
    problems.add(item.line, message);
    None
}

/// Reads where a peer is reached: an address with or without port.
pub(in crate::config) fn endpoint(
    item: &Item<&str>,
    default_port: u16,
    problems: &mut Problems,
) -> Option<Located<SocketAddr>> {
    match parse_endpoint(item, default_port) {
        Ok(endpoint) => Some(item.locate(endpoint)),
        Err(message) => {
            problems.add(item.line, message);
            None
        }
    }
}

fn parse_endpoint(item: &Item<&str>, default_port: u16) -> Result<SocketAddr, String> {
    let text = item.value;
    let in_brackets = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let endpoint = if let Ok(endpoint) = text.parse::<SocketAddr>() {
        endpoint
    } else if let Some(Ok(IpAddr::V6(v6))) = in_brackets.map(str::parse) {
        SocketAddr::new(IpAddr::V6(v6), default_port)
    } else if let Ok(address) = text.parse::<IpAddr>() {
        if address.is_ipv6() {
            let whole = item.instead(&format!("\"[{address}]:{default_port}\""));
            let good = match slips::ipv6_with_port(text, default_port) {
                Some(meant) => format!(
                    "{}, or {whole} if :{} belongs to the address",
                    item.instead(&format!("\"{meant}\"")),
                    meant.port()
                ),
                None => whole,
            };
            return Err(format!("{item} has no brackets around its IPv6 address. Write {good}."));
        }
        SocketAddr::new(address, default_port)
    } else if let Ok(prefix) = text.parse::<IpNet>() {
        let good = item.instead(&format!("\"{}\"", SocketAddr::new(prefix.addr(), default_port)));
        return Err(format!("{item} has a prefix length. Write {good}."));
    } else {
        return Err(no_endpoint(item, default_port));
    };
    if endpoint.port() == 0 {
        let good = item.instead(&format!("\"{}\"", SocketAddr::new(endpoint.ip(), default_port)));
        return Err(format!("{item} has port 0, which cannot be sent to. Write {good}."));
    }
    match unfit_for_endpoint(endpoint.ip()) {
        None => Ok(endpoint),
        Some(why) => Err(format!("{item} {why}. Write the unicast address that reaches the peer.")),
    }
}

/// Tells what is wrong with a text that is neither an endpoint nor an address.
fn no_endpoint(item: &Item<&str>, default_port: u16) -> String {
    let (host, port) = item.value.rsplit_once(':').unwrap_or((item.value, ""));
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        let good = item.instead(&format!("\"{}\"", SocketAddr::new(address, default_port)));
        let port = quoted(port);
        return format!("{item} has {port} for a port, not 1 to 65535. Write {good}.");
    }
    let slip = slips::repaired::<SocketAddr>(item.value);
    let slip = slip.or_else(|| {
        let (why, address) = slips::repaired::<IpAddr>(item.value)?;
        Some((why, SocketAddr::new(address, default_port)))
    });
    if let Some((why, endpoint)) = slip {
        return format!("{item} {why}. Write {}.", item.instead(&format!("\"{endpoint}\"")));
    }
    let good = item.instead("\"198.51.100.20:4789\"");
    format!(
        "{item} is not an IP address, and names are not resolved. Write the peer's address, such \
         as {good}."
    )
}

/// Reads an address and port to listen on.
pub(in crate::config) fn listen(
    item: &Item<&str>,
    problems: &mut Problems,
) -> Option<Located<SocketAddr>> {
    let example = item.instead("\"127.0.0.1:9839\"");
    let message = match (item.value.parse::<SocketAddr>(), item.value.parse::<IpAddr>()) {
        (Ok(listen), _) if listen.port() != 0 => return Some(item.locate(listen)),
        (Ok(listen), _) => {
            let good = item.instead(&format!("\"{}\"", SocketAddr::new(listen.ip(), 9839)));
            format!("{item} has port 0, which nobody could find. Write {good}.")
        }
        (Err(_), Ok(address)) => {
            let good = item.instead(&format!("\"{}\"", SocketAddr::new(address, 9839)));
            format!("{item} has no port. Write {good}.")
        }
        (Err(_), Err(_)) => match slips::repaired::<SocketAddr>(item.value) {
            Some((why, listen)) => {
                let good = item.instead(&format!("\"{listen}\""));
                format!("{item} {why}. Write {good}.")
            }
            None => format!("{item} is not an IP address and a port. Write {example}."),
        },
    };
    problems.add(item.line, message);
    None
}

/// Reads a prefix without host bits.
pub(in crate::config) fn prefix(
    item: &Item<&str>,
    problems: &mut Problems,
) -> Option<Located<IpNet>> {
    let message = match (item.value.parse::<IpNet>(), item.value.parse::<IpAddr>()) {
        (Ok(prefix), _) if prefix.addr() == prefix.network() => {
            match unroutable(prefix).filter(|_| item.key == "allowed_ips") {
                None => return Some(item.locate(prefix)),
                Some(range) => format!("{item} holds {range}. Write the prefixes behind the peer."),
            }
        }
        (Ok(prefix), _) => {
            let host = IpNet::from(prefix.addr());
            let meant = prefix.trunc();
            format!("{item} has host bits set. Write \"{meant}\", or \"{host}\" for the one host.")
        }
        (Err(_), Ok(address)) => {
            format!("{item} has no prefix length. Write \"{}\".", IpNet::from(address))
        }
        (Err(_), Err(_)) => match slips::prefixes(item.value) {
            Some((why, good)) => format!("{item} {why}. Write {good}."),
            None => format!("{item} is not an IP prefix. Write one such as \"192.168.44.0/24\"."),
        },
    };
    problems.add(item.line, message);
    None
}

/// Reads a host address with the prefix length of its network, as an interface has it.
pub(in crate::config) fn interface_address(
    item: &Item<&str>,
    problems: &mut Problems,
) -> Option<Located<IpNet>> {
    let message = match (item.value.parse::<IpNet>(), item.value.parse::<IpAddr>()) {
        (Ok(address), _) => match unfit_for_interface(address) {
            None => return Some(item.locate(address)),
            Some(why) => format!("{item} {why}"),
        },
        (Err(_), Ok(address)) => {
            let length = if address.is_ipv4() { 24 } else { 64 };
            let good = format!("\"{address}/{length}\"");
            format!("{item} has no prefix length. Write that of the network, such as {good}.")
        }
        (Err(_), Err(_)) => match slips::prefixes(item.value) {
            Some((why, good)) => format!("{item} {why}. Write {good}."),
            None => format!(
                "{item} is not an IP address with prefix length. Write \"192.168.43.1/24\"."
            ),
        },
    };
    problems.add(item.line, message);
    None
}

/// Tells why an address cannot be an interface's, and what to write instead. `None`: it can.
fn unfit_for_interface(address: IpNet) -> Option<String> {
    // Networks of one or two addresses have neither a network nor a broadcast address.
    let spare_bits = address.max_prefix_len() - address.prefix_len();
    let write_host = || {
        let first = address.hosts().next().unwrap_or(address.addr());
        format!("Write a host of it, such as \"{first}/{}\".", address.prefix_len())
    };
    if address.prefix_len() == 0 {
        return Some("has prefix length 0. Write the length of the overlay network.".to_owned());
    }
    if spare_bits > 1 && address.addr() == address.network() {
        return Some(format!("is a network, not a host in it. {}", write_host()));
    }
    if spare_bits > 1 && address.addr().is_ipv4() && address.addr() == address.broadcast() {
        return Some(format!("is the broadcast address of its network. {}", write_host()));
    }
    let link_local = matches!(address.addr(), IpAddr::V6(v6) if v6.is_unicast_link_local());
    let why = unfit(address.addr()).filter(|_| !link_local)?;
    Some(format!("{why}. Write a unicast address of the overlay network."))
}
