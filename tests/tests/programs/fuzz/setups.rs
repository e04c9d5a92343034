//! The configurations, as the model has them; `text` writes them as files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vxlan_tests::{
    model::{Config, FieldSource, Member, Network, Peer, Prefix, SourcePort},
    packet::Mac,
};

use crate::world::{
    AWS_PRIVATE, AWS_PUBLIC, GCP_MAC, GCP_PRIVATE, GCP_PUBLIC, OFFICE, OFFICE_MAC, OTHER_MAC,
    OTHER_VNI, UNDERLAY_MTU, VNI,
};

pub(super) const PRIVATE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 2);
pub(super) const PUBLIC6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 2);
const AWS_PRIVATE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 3);
const AWS6: Ipv6Addr = outside6(1);
const OFFICE6: Ipv6Addr = outside6(2);
const LONE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 40);
const LONE6: Ipv6Addr = outside6(3);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 50);
const FAR6: Ipv6Addr = outside6(4);
const HUB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 60);
const HUB6: Ipv6Addr = outside6(5);
const NAPT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 70);
const NAPT6: Ipv6Addr = outside6(6);
const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 5);
const BEHIND6: Ipv6Addr = outside6(7);
/// Of a kernel peer.
const ANY: SourcePort = SourcePort::Any { first: 32_768, last: 60_999 };

const fn outside6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, last)
}

/// Of the namespace that a fuzz runs in.
pub(super) const UNDERLAY_IFINDEX: u32 = 2;
/// The first is the loopback device, on which the kernel runs TC programs for a test.
const OVERLAYS: &[(u32, Mac)] = &[(1, GCP_MAC), (9_999, OTHER_MAC)];

pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) config: Config,
    /// Overlay interface and its MAC address, for each network.
    pub(super) overlays: &'static [(u32, Mac)],
}

impl Setup {
    fn new(name: &'static str, config: Config) -> Self {
        Self { name, config, overlays: OVERLAYS }
    }
}

pub(super) fn all() -> Vec<Setup> {
    use Family::{Both, V4, V6};
    let plain = Config { public_addresses: Vec::new(), ..config(V4) };
    let ignore = Config { ignore_reserved_bits: true, ..with_keys(config(V6), 0xff_ffff) };
    let pass = Config { pass_unknown_vni: true, ignore_reserved_bits: true, ..config(Both) };
    let pass = with_keys(pass, 0x12_3457);
    let refuse = Config { pass_unknown_vni: true, ..config(V4) };
    let unverified = Config { ignore_udp_checksum: true, ..config(Both) };
    let mut nested = with_hub(config(Both), Both);
    nested.networks.iter_mut().for_each(|network| network.pass_nested = true);
    let mut flood = config(V4);
    flood.networks.iter_mut().for_each(|network| network.flood = true);
    let few = |mut config: Config| {
        config.networks.iter_mut().for_each(|network| network.max_stations = 5);
        config
    };
    let mut bridged = with_hub(config(Both), Both);
    bridged.networks.iter_mut().for_each(|network| network.pass_unspecified = true);
    // Without a prefix of its own.
    let mut routed = config(Both);
    for network in &mut routed.networks {
        network.stations = false;
        network.local = network.addresses.iter().map(|(_, prefix)| *prefix).collect();
    }
    let inherit = Config { ttl: FieldSource::Inner, dscp: FieldSource::Inner, ..config(Both) };
    let marked = Config {
        ttl: FieldSource::Settings(7),
        dscp: FieldSource::Settings(46),
        ..with_hub(config(V6), V6)
    };
    let fixed = Config { fixed_source_port: true, port: 5_000, ..with_hub(config(V4), V4) };
    vec![
        Setup::new("v4", config(V4)),
        Setup::new("v6", config(V6)),
        Setup::new("both", with_keys(config(Both), 0xff_ffff)),
        Setup::new("plain", few(plain)),
        Setup::new("ignore", ignore),
        Setup::new("pass", few(pass)),
        Setup::new("refuse", refuse),
        Setup::new("nested", nested),
        Setup::new("flood", flood),
        Setup::new("bridged", bridged),
        Setup::new("routed", routed),
        Setup::new("inherit", inherit),
        Setup::new("marked", marked),
        Setup::new("fixed", fixed),
        Setup::new("learned", with_learned(config(V4), false)),
        Setup::new("learned6", with_learned(config(Both), true)),
        Setup::new("unverified", unverified),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    Both,
}

impl Family {
    /// With both, the first is preferred.
    fn of(self, v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<IpAddr> {
        match self {
            Self::V4 => vec![v4.into()],
            Self::V6 => vec![v6.into()],
            Self::Both => vec![v4.into(), v6.into()],
        }
    }
}

fn peer(name: &str, endpoints: Vec<IpAddr>) -> Peer {
    Peer {
        name: name.to_owned(),
        endpoints,
        port: 4789,
        learn: false,
        sent_from: Vec::new(),
        source_port: SourcePort::Flow,
        sends_no_checksum: true,
        tag: None,
        private_addresses: Vec::new(),
        accept_private: false,
        path_mtu: UNDERLAY_MTU as usize,
        reachable: true,
    }
}

/// `aws` is behind a NAT, and preferably reached over IPv6; `office` has a path of 1400 bytes and
/// is in both networks; to `lone` there is no path; `far`, in the other network, has the private
/// address of `aws`. Among them are all rules of source ports, with checksums and without.
fn config(family: Family) -> Config {
    let private = family.of(AWS_PRIVATE, AWS_PRIVATE6);
    let mut endpoints = family.of(AWS_PUBLIC, AWS6);
    endpoints.reverse();
    let aws = peer("aws", endpoints);
    let aws = Peer { private_addresses: private.clone(), sends_no_checksum: false, ..aws };
    let office = peer("office", family.of(OFFICE, OFFICE6));
    let office = Peer { port: 8472, path_mtu: 1400, source_port: SourcePort::Fixed, ..office };
    let lone = peer("lone", family.of(LONE, LONE6));
    let lone = Peer { reachable: false, source_port: ANY, sends_no_checksum: false, ..lone };
    let far = peer("far", family.of(FAR, FAR6));
    // Of the two with the same private address, this one may send from it.
    let far = Peer { accept_private: true, ..far };
    let far = Peer { private_addresses: private, source_port: SourcePort::Fixed, ..far };
    let far = Peer { sends_no_checksum: false, ..far };
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
            member(1, &["192.168.45.0/24", "10.45.0.0/16"], Some(OFFICE_MAC)),
            member(2, &["192.168.46.0/24", "2001:db8:46::/64"], None),
        ],
        stations: true,
        pass_unspecified: false,
        flood: false,
        pass_nested: false,
        max_stations: 256,
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
        addresses: family.of(GCP_PRIVATE, PRIVATE6),
        public_addresses: family.of(GCP_PUBLIC, PUBLIC6),
        port: 4789,
        pass_unknown_vni: false,
        ignore_reserved_bits: false,
        ignore_udp_checksum: false,
        probe_vni: 0xff_ffff,
        ttl: FieldSource::Settings(64),
        dscp: FieldSource::Settings(0),
        fixed_source_port: false,
        peers: vec![aws, office, lone, far],
        networks: vec![first, second],
    }
}

/// Probes, with keys of some.
fn with_keys(mut config: Config, vni: u32) -> Config {
    config.probe_vni = vni;
    for peer in [0, 1, 3] {
        config.peers[peer].tag = Some([0xa0 + peer as u8; 8]);
    }
    config
}

/// `branch` and `shop` are behind one address, `stall`, which is in both networks, is at one of
/// `aws`; where `kiosk` is, is not known.
fn with_learned(config: Config, v6: bool) -> Config {
    let mut config = with_keys(config, 0xff_ffff);
    config.fixed_source_port = true;
    let [napt, aws, behind]: [IpAddr; 3] = if v6 {
        [NAPT6.into(), AWS6.into(), BEHIND6.into()]
    } else {
        [NAPT.into(), AWS_PUBLIC.into(), BEHIND.into()]
    };
    let branch = Peer { port: 1_024, sent_from: vec![behind], ..peer("branch", vec![napt]) };
    let branch = Peer { sends_no_checksum: false, ..branch };
    let shop = Peer { port: 1_025, ..peer("shop", vec![napt]) };
    let stall = Peer { port: 40_000, sent_from: vec![behind], ..peer("stall", vec![aws]) };
    let kiosk = Peer { reachable: false, ..peer("kiosk", Vec::new()) };
    for (index, learned) in [branch, shop, stall, kiosk].into_iter().enumerate() {
        let subnet = 60 + index;
        let allowed = vec![prefix(&format!("192.168.{subnet}.0/24"))];
        let member = Member { peer: config.peers.len(), allowed, mac: None };
        if learned.name == "stall" {
            let allowed = vec![prefix("172.31.3.0/24")];
            config.networks[1].members.push(Member { allowed, ..member.clone() });
        }
        config.networks[0].members.push(member);
        let tag = Some([0xb0 + index as u8; 8]);
        config.peers.push(Peer { learn: true, source_port: SourcePort::Fixed, tag, ..learned });
    }
    config
}

/// Everything that is nobody's belongs to `hub`, in the first network.
fn with_hub(mut config: Config, family: Family) -> Config {
    config.peers.push(peer("hub", family.of(HUB, HUB6)));
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
