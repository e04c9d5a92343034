//! Slips in writing an address or prefix, and what was meant: blanks, leading zeros, a URL scheme,
//! a netmask in place of a prefix length, several prefixes in one text.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;

/// Returns what is wrong with the writing of a text that does not parse, and the value that was
/// meant. `None`: no known slip.
pub(super) fn repaired<T: FromStr>(text: &str) -> Option<(&'static str, T)> {
    let (why, clean) = repaired_text(text)?;
    Some((why, clean.parse().ok()?))
}

fn repaired_text(text: &str) -> Option<(&'static str, String)> {
    let trimmed = text.trim();
    if let Some((scheme, rest)) = trimmed.split_once("://") {
        let is_word = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        return is_word.then(|| ("has a URL scheme", rest.trim_end_matches('/').to_owned()));
    }
    let (why, clean) = match text.len() == trimmed.len() {
        true => ("has leading zeros, which some programs read as octal", trimmed),
        false => ("has blanks around the address", trimmed),
    };
    let clean = without_leading_zeros(clean);
    (clean != text).then_some((why, clean))
}

/// Removes leading zeros from the four numbers of an IPv4 address, which may have a port or prefix
/// length behind it.
fn without_leading_zeros(text: &str) -> String {
    let end = text.find([':', '/']).unwrap_or(text.len());
    let (address, rest) = text.split_at(end);
    let octets: Vec<&str> = address.split('.').collect();
    let all_digits =
        |octet: &&str| !octet.is_empty() && octet.bytes().all(|byte| byte.is_ascii_digit());
    if octets.len() != 4 || !octets.iter().all(all_digits) {
        return text.to_owned();
    }
    let short = |octet: &str| match octet.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    };
    let octets: Vec<String> = octets.into_iter().map(short).collect();
    octets.join(".") + rest
}

/// Returns the address and port that an IPv6 address without brackets may have been meant to be:
/// its last group is the port that tunnels have.
pub(super) fn ipv6_with_port(text: &str, default_port: u16) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok()?;
    let address = address.parse::<Ipv6Addr>().ok()?;
    [4789, 8472, default_port].contains(&port).then(|| SocketAddr::new(address.into(), port))
}

/// Returns what is wrong with a text in place of a prefix, and the prefixes that were meant, in
/// quotes.
pub(super) fn prefixes(text: &str) -> Option<(&'static str, String)> {
    let separator = |at: char| matches!(at, ',' | ';') || at.is_whitespace();
    let parts: Vec<&str> = text.split(separator).filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 {
        let parts: Option<Vec<IpNet>> = parts.into_iter().map(prefix).collect();
        let quoted = parts?.iter().map(|net| format!("\"{net}\"")).collect::<Vec<_>>().join(", ");
        return Some(("holds several prefixes in one text", quoted));
    }
    if let Some((address, mask)) = text.split_once('/')
        && let (Ok(address), Ok(mask)) = (address.trim().parse::<IpAddr>(), mask.trim().parse())
    {
        let net = IpNet::with_netmask(address, mask).ok()?;
        return Some(("has a netmask for a prefix length", format!("\"{net}\"")));
    }
    let (why, net) = repaired::<IpNet>(text)?;
    Some((why, format!("\"{net}\"")))
}

fn prefix(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
