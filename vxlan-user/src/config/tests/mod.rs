//! Tests of the configuration as its users meet it: a text goes in, a configuration or the exact
//! sentences come out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod accepted;
mod changes;
mod document;
mod fuzz;
mod refused_limits;
mod refused_networks;
mod refused_prefixes;
mod refused_probes;
mod refused_syntax;
mod refused_values;

use std::path::Path;

use super::{Config, ConfigErrors, parse};

/// The complete example: every key of the format.
pub(super) const EXAMPLE: &str = r#"[node]
name = "gcp"

[underlay]
interface = "ens4"
address = "10.0.0.2"
public_address = "203.0.113.10"
port = 4789
xdp = "auto"
source_port = "flow"
unknown_vni = "drop"

[metrics]
listen = "127.0.0.1:9839"

[[peer]]
name = "aws"
endpoint = "198.51.100.20:4789"
private_address = "10.0.0.119"
source_port = "flow"
key_file = "/etc/vxlan/aws.key"

[[network]]
vni = 43
interface = "vxlan43"
addresses = ["192.168.43.1/24"]
mtu = 1410

[[network.member]]
peer = "aws"
allowed_ips = ["192.168.44.0/24"]
mac = "02:00:00:00:44:01"
"#;

/// Two peers in one network, with the least that is needed. Line numbers in the tables count here.
pub(super) const TWO_PEERS: &str = r#"[node]
name = "gcp"
[underlay]
interface = "ens4"
address = "10.0.0.2"
public_address = "203.0.113.10"
[[peer]]
name = "aws"
endpoint = "198.51.100.20"
private_address = "10.0.0.119"
[[peer]]
name = "office"
endpoint = "192.0.2.7"
[[network]]
vni = 43
interface = "vxlan43"
addresses = ["192.168.43.1/24"]
[[network.member]]
peer = "aws"
allowed_ips = ["192.168.44.0/24"]
[[network.member]]
peer = "office"
allowed_ips = ["192.168.45.0/24"]
"#;

/// A hub with a peer behind NAPT, and a kernel `vxlan` device beside it.
pub(super) const LEARNING: &str = r#"[node]
name = "hub"
[underlay]
interface = "eth0"
source_port = "fixed"
[probe]
vni = 99
interval = 2
keepalive = 30
[[peer]]
name = "office"
endpoint = "learn"
private_address = "192.168.1.2"
key_file = "office.key"
[[peer]]
name = "kernel"
endpoint = "192.0.2.20"
source_port = "any"
source_ports = "40000-49999"
udp_checksum = "zero"
[[network]]
vni = 43
interface = "vxlan43"
addresses = ["10.43.0.1/24"]
[[network.member]]
peer = "office"
allowed_ips = ["10.43.1.0/24"]
[[network.member]]
peer = "kernel"
allowed_ips = ["0.0.0.0/0"]
probe_address = "10.43.2.1"
"#;

pub(super) fn read(text: &str) -> Result<Config, ConfigErrors> {
    parse(text, Path::new("vxlan.toml"))
}

/// `base` with one piece of text, which must stand there once, replaced.
pub(super) fn edited(base: &str, from: &str, to: &str) -> String {
    assert_eq!(base.matches(from).count(), 1, "{from:?} must stand once in the base text");
    base.replacen(from, to, 1)
}

/// A mistake in a base text, and all errors about it.
pub(super) struct Row {
    pub(super) base: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) errors: &'static [&'static str],
}

pub(super) const fn row(
    from: &'static str,
    to: &'static str,
    errors: &'static [&'static str],
) -> Row {
    Row { base: TWO_PEERS, from, to, errors }
}

pub(super) const fn example(
    from: &'static str,
    to: &'static str,
    errors: &'static [&'static str],
) -> Row {
    Row { base: EXAMPLE, from, to, errors }
}

pub(super) fn check(rows: &[Row]) {
    let mut wrong = String::new();
    for Row { base, from, to, errors } in rows {
        let found = match read(&edited(base, from, to)) {
            Ok(_) => "accepted".to_owned(),
            Err(errors) => errors.to_string(),
        };
        let wanted =
            errors.iter().map(|line| format!("vxlan.toml:{line}")).collect::<Vec<_>>().join("\n");
        if found != wanted {
            wrong += &format!("\n{from:?} -> {to:?}\n  found:   {found}\n  wanted: {wanted}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
