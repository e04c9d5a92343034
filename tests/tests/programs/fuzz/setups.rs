//! The configurations, as the model has them, and as a file that says the same.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use vxlan_tests::{
    model::{Config, From, Member, Network, Peer, Prefix},
    packet::Mac,
};

use crate::{
    bench::{Bench, Host},
    world::{
        AWS_PRIVATE, AWS_PUBLIC, GCP_MAC, GCP_PRIVATE, GCP_PUBLIC, OFFICE, OFFICE_MAC, OTHER_MAC,
        OTHER_VNI, UNDERLAY_MTU, VNI,
    },
};

pub(super) const PRIVATE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 2);
pub(super) const PUBLIC6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 2);
const AWS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 1);
const AWS_PRIVATE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 3);
const OFFICE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 2);
const LONE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 40);
const LONE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 3);
const HUB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 50);
const HUB6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 4);

/// The first is the loopback device, on which the kernel runs TC programs for a test.
const OVERLAYS: &[(u32, Mac)] = &[(1, GCP_MAC), (9_999, OTHER_MAC)];

pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) config: Config,
    pub(super) overlays: &'static [(u32, Mac)],
}

impl Setup {
    fn new(name: &'static str, config: Config) -> Self {
        Self { name, config, overlays: OVERLAYS }
    }

    pub(super) fn bench(&self) -> Bench {
        Bench::new(&text(&self.config), Host { address: GCP_PRIVATE, overlays: self.overlays })
    }
}

pub(super) fn all() -> Vec<Setup> {
    let v4 = Family::V4;
    vec![
        Setup::new("v4", config(v4)),
        Setup::new("plain", Config { public_addresses: Vec::new(), ..config(v4) }),
        Setup::new("pass", Config { pass_unknown_vni: true, ..config(v4) }),
        Setup::new("fixed", Config { fixed_source_port: true, port: 8472, ..with_hub(config(v4)) }),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(dead_code, reason = "IPv6 underlays follow")]
enum Family {
    V4,
    V6,
    /// `aws` and `hub` over IPv6, the others over IPv4.
    Both,
}

impl Family {
    fn only<T: Into<IpAddr>, U: Into<IpAddr>>(self, v4: T, v6: U) -> Vec<IpAddr> {
        match self {
            Self::V4 => vec![v4.into()],
            Self::V6 => vec![v6.into()],
            Self::Both => vec![v4.into(), v6.into()],
        }
    }
}

/// `aws` is behind a NAT; `office` has a path of 1400 bytes and is in both networks; to `lone` there
/// is no way.
fn config(family: Family) -> Config {
    let of = |v4: Ipv4Addr, v6: Ipv6Addr, prefers_v6: bool| match family {
        Family::V4 => IpAddr::from(v4),
        Family::Both if !prefers_v6 => v4.into(),
        Family::V6 | Family::Both => v6.into(),
    };
    let peer = |name: &str, endpoint, path_mtu| Peer {
        name: name.to_owned(),
        endpoint,
        port: 4789,
        private_addresses: Vec::new(),
        path_mtu,
        reachable: true,
    };
    let underlay = UNDERLAY_MTU as usize;
    let aws = Peer {
        private_addresses: family.only(AWS_PRIVATE, AWS_PRIVATE6),
        ..peer("aws", of(AWS_PUBLIC, AWS6, true), underlay)
    };
    let office = Peer { port: 8472, ..peer("office", of(OFFICE, OFFICE6, false), 1400) };
    let lone = Peer { reachable: false, ..peer("lone", of(LONE, LONE6, false), underlay) };
    // Its private address is one that aws has too, in another network.
    let far = Peer {
        private_addresses: family.only(AWS_PRIVATE, AWS_PRIVATE6),
        ..peer("far", of(HUB, HUB6, true), underlay)
    };
    let member = |peer, allowed: &[&str], mac| Member {
        peer,
        allowed: allowed.iter().map(|text| prefix(text)).collect(),
        mac,
    };
    let address = |text: &str, subnet| {
        let address: IpAddr = text.parse().expect("is an address");
        (address, prefix(subnet))
    };
    let first = Network {
        vni: VNI,
        mac: GCP_MAC,
        addresses: vec![
            address("192.168.43.1", "192.168.43.0/24"),
            address("2001:db8:43::1", "2001:db8:43::/64"),
        ],
        local: vec![prefix("192.168.43.0/24"), prefix("172.16.0.0/16"), prefix("2001:db8:43::/64")],
        members: vec![
            member(0, &["192.168.44.0/24", "2001:db8:44::/64"], None),
            member(1, &["192.168.45.0/24", "172.16.7.0/24"], Some(OFFICE_MAC)),
            member(2, &["192.168.46.0/24", "2001:db8:46::/64"], None),
        ],
        flood: false,
        pass_nested: false,
        max_stations: usize::MAX,
    };
    let second = Network {
        vni: OTHER_VNI,
        mac: OTHER_MAC,
        addresses: vec![address("172.31.0.1", "172.31.0.0/24")],
        local: vec![prefix("172.31.0.0/24")],
        members: vec![
            member(1, &["172.31.1.0/24"], None),
            member(3, &["172.31.2.0/24", "2001:db8:31::/64"], None),
        ],
        ..first.clone()
    };
    Config {
        addresses: family.only(GCP_PRIVATE, PRIVATE6),
        public_addresses: family.only(GCP_PUBLIC, PUBLIC6),
        port: 4789,
        pass_unknown_vni: false,
        ignore_reserved_bits: false,
        ttl: From::Settings(64),
        dscp: From::Settings(0),
        fixed_source_port: false,
        peers: vec![aws, office, lone, far],
        networks: vec![first, second],
    }
}

/// Whom everything else belongs to, in the first network.
fn with_hub(mut config: Config) -> Config {
    let family = config
        .addresses
        .first()
        .map_or(Family::V4, |address| if address.is_ipv4() { Family::V4 } else { Family::V6 });
    let endpoint = match family {
        Family::V4 | Family::Both => IpAddr::from([198, 51, 100, 60]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 6]),
    };
    let hub = Peer {
        name: "hub".to_owned(),
        endpoint,
        private_addresses: Vec::new(),
        ..config.peers[0].clone()
    };
    config.peers.push(hub);
    let allowed = vec![prefix("0.0.0.0/0"), prefix("::/0")];
    let member = Member { peer: config.peers.len() - 1, allowed, mac: None };
    config.networks[0].members.push(member);
    config
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').expect("has a length");
    let address: IpAddr = address.parse().expect("is an address");
    Prefix::new(address, length.parse().expect("is a number"))
}

/// The file. Keys that have their defaults are left out.
fn text(config: &Config) -> String {
    let mut text = "[node]\nname = \"gcp\"\n[underlay]\ninterface = \"ens4\"\n".to_owned();
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    line(format!("address = {}", one_or_list(&config.addresses)));
    if !config.public_addresses.is_empty() {
        line(format!("public_address = {}", one_or_list(&config.public_addresses)));
    }
    line(format!("port = {}", config.port));
    let setting = |key: &str, value| match value {
        From::Settings(number) => format!("{key} = {number}"),
        From::Inner => format!("{key} = \"inherit\""),
    };
    let words = [
        (config.pass_unknown_vni, "unknown_vni = \"pass\"".to_owned()),
        (config.ignore_reserved_bits, "reserved_bits = \"ignore\"".to_owned()),
        (config.fixed_source_port, "source_port = \"fixed\"".to_owned()),
        (config.ttl != From::Settings(64), setting("ttl", config.ttl)),
        (config.dscp != From::Settings(0), setting("dscp", config.dscp)),
    ];
    words.into_iter().filter(|(set, _)| *set).for_each(|(_, word)| line(word));
    for peer in &config.peers {
        line(format!("[[peer]]\nname = \"{}\"", peer.name));
        line(match peer.endpoint {
            IpAddr::V4(v4) => format!("endpoint = \"{v4}:{}\"", peer.port),
            IpAddr::V6(v6) => format!("endpoint = \"[{v6}]:{}\"", peer.port),
        });
        if !peer.private_addresses.is_empty() {
            line(format!("private_address = {}", one_or_list(&peer.private_addresses)));
        }
    }
    for network in &config.networks {
        line(format!("[[network]]\nvni = {}\ninterface = \"vx{0}\"", network.vni));
        let addresses = network.addresses.iter();
        let addresses = addresses.map(|(address, prefix)| format!("{address}/{}", prefix.length));
        line(format!("addresses = {:?}", addresses.collect::<Vec<_>>()));
        line(format!("local_ips = {:?}", texts(&network.local)));
        line("route_table = \"off\"".to_owned());
        let words = [
            (network.flood, "unknown_unicast = \"flood\"".to_owned()),
            (network.pass_nested, "nested_tunnels = \"pass\"".to_owned()),
            (
                network.max_stations != usize::MAX,
                format!("max_stations = {}", network.max_stations),
            ),
        ];
        words.into_iter().filter(|(set, _)| *set).for_each(|(_, word)| line(word));
        for member in &network.members {
            line(format!("[[network.member]]\npeer = \"{}\"", config.peers[member.peer].name));
            line(format!("allowed_ips = {:?}", texts(&member.allowed)));
            if let Some(mac) = member.mac {
                let digits: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                line(format!("mac = \"{}\"", digits.join(":")));
            }
        }
    }
    text
}

fn texts(prefixes: &[Prefix]) -> Vec<String> {
    prefixes.iter().map(|prefix| format!("{}/{}", prefix.address, prefix.length)).collect()
}

fn one_or_list(addresses: &[IpAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    if texts.len() == 1 { format!("{:?}", texts[0]) } else { format!("{texts:?}") }
}
