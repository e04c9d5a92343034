//! A model's configuration as a file for the program.

use std::net::IpAddr;

use vxlan_tests::model::{Config, FieldSource, Member, Network, Peer, Prefix, SourcePort};

use super::setups::Setup;

impl Setup {
    pub(super) fn text(&self) -> String {
        let mut lines = underlay(&self.config);
        self.config.peers.iter().for_each(|of| lines.extend(peer(of)));
        for of in &self.config.networks {
            lines.extend(network(of));
            of.members.iter().for_each(|of| lines.extend(member(&self.config, of)));
        }
        lines.join("\n")
    }
}

fn underlay(config: &Config) -> Vec<String> {
    let word = |set: bool, yes: &'static str, no: &'static str| if set { yes } else { no };
    let field = |from| match from {
        FieldSource::Settings(number) => number.to_string(),
        FieldSource::Inner => "\"inherit\"".to_owned(),
    };
    let public = addresses(&config.public_addresses);
    vec![
        "[node]".to_owned(),
        "name = \"gcp\"".to_owned(),
        "[underlay]".to_owned(),
        "interface = \"ens4\"".to_owned(),
        format!("address = {:?}", addresses(&config.addresses)),
        if public.is_empty() { String::new() } else { format!("public_address = {public:?}") },
        format!("port = {}", config.port),
        format!("unknown_vni = {:?}", word(config.pass_unknown_vni, "pass", "drop")),
        format!("reserved_bits = {:?}", word(config.ignore_reserved_bits, "ignore", "refuse")),
        format!("udp_checksum = {:?}", word(config.ignore_udp_checksum, "ignore", "verify")),
        format!("source_port = {:?}", word(config.fixed_source_port, "fixed", "flow")),
        format!("ttl = {}", field(config.ttl)),
        format!("dscp = {}", field(config.dscp)),
        "tag = \"metadata\"".to_owned(),
        "[probe]".to_owned(),
        format!("vni = {}", config.probe_vni),
    ]
}

fn peer(peer: &Peer) -> Vec<String> {
    let endpoints = peer.endpoints.iter().map(|endpoint| match endpoint {
        IpAddr::V4(v4) => format!("{v4}:{}", peer.port),
        IpAddr::V6(v6) => format!("[{v6}]:{}", peer.port),
    });
    let endpoints = if peer.learn { vec!["learn".to_owned()] } else { endpoints.collect() };
    let private = addresses(&peer.private_addresses);
    let source_port = match peer.source_port {
        SourcePort::Flow => "source_port = \"flow\"".to_owned(),
        SourcePort::Fixed => "source_port = \"fixed\"".to_owned(),
        SourcePort::Any { first, last } => {
            format!("source_port = \"any\"\nsource_ports = \"{first}-{last}\"")
        }
    };
    let checksum = if peer.sends_no_checksum { "zero" } else { "any" };
    vec![
        "[[peer]]".to_owned(),
        format!("name = {:?}", peer.name),
        format!("endpoint = {endpoints:?}"),
        source_port,
        format!("udp_checksum = {checksum:?}"),
        // There is no such file: the keys are not the programs' matter.
        if peer.tag.is_some() {
            format!("key_file = \"/{}.key\"", peer.name)
        } else {
            String::new()
        },
        if private.is_empty() { String::new() } else { format!("private_address = {private:?}") },
        if peer.accept_private { "accept_private = true".to_owned() } else { String::new() },
    ]
}

fn network(network: &Network) -> Vec<String> {
    let addresses = network.addresses.iter();
    let addresses = addresses.map(|(address, prefix)| format!("{address}/{}", prefix.length));
    vec![
        "[[network]]".to_owned(),
        format!("vni = {}", network.vni),
        format!("interface = \"vx{}\"", network.vni),
        format!("addresses = {:?}", addresses.collect::<Vec<_>>()),
        if network.stations {
            format!("local_ips = {:?}", prefixes(&network.local))
        } else {
            String::new()
        },
        format!(
            "unspecified_source = {:?}",
            if network.pass_unspecified { "pass" } else { "drop" }
        ),
        "route_table = \"off\"".to_owned(),
        format!("unknown_unicast = {:?}", if network.flood { "flood" } else { "drop" }),
        format!("nested_tunnels = {:?}", if network.pass_nested { "pass" } else { "drop" }),
        format!("max_stations = {}", network.max_stations),
        // More than the fuzz ever sends in a second.
        "broadcast_rate = 1000000".to_owned(),
    ]
}

fn member(config: &Config, member: &Member) -> Vec<String> {
    let mac = member.mac.map_or(String::new(), |mac| {
        let digits: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("mac = \"{}\"", digits.join(":"))
    });
    vec![
        "[[network.member]]".to_owned(),
        format!("peer = {:?}", config.peers[member.peer].name),
        format!("allowed_ips = {:?}", prefixes(&member.allowed)),
        mac,
    ]
}

fn addresses(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn prefixes(prefixes: &[Prefix]) -> Vec<String> {
    prefixes.iter().map(|prefix| format!("{}/{}", prefix.address, prefix.length)).collect()
}
