//! What differs between two configurations, in the words of the file: for the log of a reload.

use std::{collections::HashMap, fmt};

use super::types::{Config, Member, Metrics, Network, Peer, Probe, Underlay};

/// Longer lists of changes are cut.
const MAX_LISTED: usize = 20;

/// The changes from one configuration to another, by section and key.
#[derive(Debug, PartialEq, Eq)]
pub struct Changes(Vec<String>);

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(changes) = self;
        if changes.is_empty() {
            return f.write_str("nothing has changed");
        }
        f.write_str(&changes[..changes.len().min(MAX_LISTED)].join("; "))?;
        match changes.len().checked_sub(MAX_LISTED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "; and {more} more"),
        }
    }
}

/// The names of the listed fields in which two structs differ. A field that is not listed does not
/// compile.
macro_rules! differing {
    ($type:ident { $($field:ident $(as $key:literal)?),+ $(,)? }, $before:expr, $now:expr) => {{
        let $type { $($field: _),+ } = $before;
        let mut keys: Vec<&'static str> = Vec::new();
        $(if $before.$field != $now.$field {
            keys.push(differing!(@key $field $($key)?));
        })+
        keys
    }};
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}

impl Changes {
    pub fn between(before: &Config, now: &Config) -> Self {
        let mut changes = Vec::new();
        let mut section = |name: &str, keys: Vec<&'static str>| {
            if !keys.is_empty() {
                changes.push(format!("{name}: {}", keys.join(", ")));
            }
        };
        let node = if before.node == now.node { Vec::new() } else { vec!["name"] };
        section("[node]", node);
        section("[underlay]", underlay(&before.underlay, &now.underlay));
        section("[metrics]", differing!(Metrics { listen }, &before.metrics, &now.metrics));
        section(
            "[probe]",
            differing!(Probe { vni, interval, keepalive }, &before.probe, &now.probe),
        );
        each(
            (&before.peers, &now.peers),
            |peer| format!("peer {}", peer.name.value),
            peer,
            &mut changes,
        );
        each(
            (&before.networks, &now.networks),
            |network| format!("network {}", network.vni),
            |old, new| network((before, old), (now, new)),
            &mut changes,
        );
        Self(changes)
    }
}

/// Adds what was added, removed or changed in a list whose elements have a name.
fn each<T>(
    (before, now): (&[T], &[T]),
    name: impl Fn(&T) -> String,
    keys: impl Fn(&T, &T) -> Vec<&'static str>,
    changes: &mut Vec<String>,
) {
    let mut old: HashMap<String, &T> = before.iter().map(|at| (name(at), at)).collect();
    for new in now {
        let name = name(new);
        match old.remove(&name) {
            None => changes.push(format!("{name} added")),
            Some(old) => match keys(old, new) {
                keys if keys.is_empty() => {}
                keys => changes.push(format!("{name}: {}", keys.join(", "))),
            },
        }
    }
    let removed = before.iter().map(&name).filter(|name| old.contains_key(name));
    changes.extend(removed.map(|name| format!("{name} removed")));
}

fn underlay(before: &Underlay, now: &Underlay) -> Vec<&'static str> {
    differing!(
        Underlay {
            interface,
            address,
            public_address,
            port,
            xdp,
            redirect,
            tc,
            source_port,
            unknown_vni,
            reserved_bits,
            udp_checksum,
            ttl,
            dscp,
            tag,
        },
        before,
        now
    )
}

fn peer(before: &Peer, now: &Peer) -> Vec<&'static str> {
    let mut keys = differing!(
        Peer {
            name,
            endpoints as "endpoint",
            learns as "endpoint",
            private_addresses as "private_address",
            accept_private,
            packets_per_second,
            bytes_per_second,
            source_port,
            source_ports,
            udp_checksum,
            key_file,
        },
        before,
        now
    );
    keys.dedup();
    keys
}

fn network(
    (config_before, before): (&Config, &Network),
    (config_now, now): (&Config, &Network),
) -> Vec<&'static str> {
    let mut keys = differing!(
        Network {
            vni,
            interface,
            addresses,
            local_ips,
            stations as "local_ips",
            mtu,
            route_table,
            blackhole,
            broadcast_rate,
            unknown_unicast,
            unspecified_source,
            nested_tunnels,
            ageing,
            max_stations,
            members as "members",
        },
        before,
        now
    );
    keys.dedup();
    // Members name their peer by its place in the file, which may move.
    keys.retain(|key| *key != "members");
    if members(config_before, before) != members(config_now, now) {
        keys.push("members");
    }
    keys
}

/// Returns the members with their peers' names, in the order of these.
fn members(config: &Config, network: &Network) -> Vec<(Option<String>, Member)> {
    let name = |member: &Member| Some(config.peers.get(member.peer)?.name.value.clone());
    let mut members: Vec<_> = network
        .members
        .iter()
        .map(|member| (name(member), Member { peer: 0, ..member.clone() }))
        .collect();
    members.sort_by(|(left, _), (right, _)| left.cmp(right));
    members
}
