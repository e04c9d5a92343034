//! The values that valid files have.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Config, parse};
use super::super::{
    ConfigError, Located, Member, Metrics, NestedTunnels, Network, Node, OuterField, Peer,
    PeerSourcePort, PeerUdpChecksum, PerFamily, Probe, RedirectMode, ReservedBits, RouteTable,
    SourcePort, TagMode, TcMode, UdpChecksumPolicy, Underlay, UnknownUnicast, UnknownVni,
    UnspecifiedSource, Vni, XdpSetting, load,
};
use super::{EXAMPLE, LEARNING, TWO_PEERS, edited, read};

fn at<T>(line: u32, value: T) -> Located<T> {
    Located { value, line: Some(line) }
}

fn net(text: &str) -> ipnet::IpNet {
    text.parse().unwrap()
}

#[test]
fn the_complete_example_has_exactly_these_values() {
    let config = read(EXAMPLE).unwrap();
    let expected = Config {
        file: PathBuf::from("vxlan.toml"),
        node: Node { name: "gcp".to_owned() },
        underlay: Underlay {
            interface: at(5, "ens4".to_owned()),
            address: PerFamily { v4: Some(at(6, [10, 0, 0, 2].into())), v6: None },
            public_address: PerFamily { v4: Some(at(7, [203, 0, 113, 10].into())), v6: None },
            port: at(8, 4789),
            xdp: at(9, XdpSetting::Auto),
            source_port: at(10, SourcePort::Flow),
            unknown_vni: UnknownVni::Drop,
            reserved_bits: ReservedBits::Refuse,
            udp_checksum: UdpChecksumPolicy::Verify,
            ttl: OuterField::Fixed(64),
            dscp: OuterField::Fixed(0),
            redirect: RedirectMode::Auto,
            tc: TcMode::Auto,
            tag: Located::from_default(TagMode::Auto),
        },
        probe: Probe {
            vni: Located::from_default(16_777_215),
            interval: Duration::from_secs(5),
            keepalive: Duration::from_secs(20),
        },
        metrics: Metrics { listen: at(14, SocketAddr::from(([127, 0, 0, 1], 9839))) },
        peers: vec![Peer {
            name: at(17, "aws".to_owned()),
            endpoints: vec![at(18, SocketAddr::from(([198, 51, 100, 20], 4789)))],
            learns: false,
            private_addresses: PerFamily { v4: Some(at(19, [10, 0, 0, 119].into())), v6: None },
            accept_private: false,
            packets_per_second: None,
            bytes_per_second: None,
            source_port: PeerSourcePort::Flow,
            source_ports: 32_768..=60_999,
            udp_checksum: PeerUdpChecksum::Zero,
            key_file: Some(at(21, PathBuf::from("/etc/vxlan/aws.key"))),
        }],
        networks: vec![Network {
            vni: at(24, Vni::new(43).unwrap()),
            interface: at(25, "vxlan43".to_owned()),
            addresses: vec![at(26, net("192.168.43.1/24"))],
            local_ips: vec![net("192.168.43.0/24")],
            stations: false,
            mtu: Some(at(27, 1410)),
            route_table: Located::from_default(RouteTable::Main),
            blackhole: true,
            broadcast_rate: 1_000,
            unknown_unicast: UnknownUnicast::Flood,
            unspecified_source: UnspecifiedSource::Drop,
            nested_tunnels: NestedTunnels::Drop,
            ageing: 300,
            max_stations: Located::from_default(256),
            members: vec![Member {
                peer: 0,
                allowed_ips: vec![at(31, net("192.168.44.0/24"))],
                mac: Some([2, 0, 0, 0, 0x44, 1]),
                probe_address: None,
            }],
        }],
    };
    assert_eq!(config, expected);
    // `==` on located values ignores the lines: they are compared as text.
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    assert_eq!(config.peer("aws"), config.peers.first());
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = read(TWO_PEERS).unwrap();
    assert_eq!(config.underlay.port, Located::from_default(4789));
    assert_eq!(config.underlay.port.line, None);
    assert_eq!(config.underlay.xdp.value, XdpSetting::Auto);
    assert_eq!(config.metrics.listen.to_string(), "127.0.0.1:9839");
    assert_eq!(config.peers[1].endpoint().unwrap().to_string(), "192.0.2.7:4789");
    assert!(config.peers[1].private_addresses.is_empty());
    assert!(!config.peers[1].is_limited());
    assert_eq!(config.peers[1].key_file, None);
    assert_eq!(config.networks[0].mtu, None);
    assert_eq!(config.networks[0].members[1].mac, None);
    assert_eq!(config.networks[0].members[1].peer, 1);
    assert_eq!(config.networks[0].members[1].allowed_ips[0].line, Some(23));
}

#[test]
fn many_peers_are_probed_more_rarely_by_default() {
    let seconds = |peers: u32, probe: &str| {
        let node = "[node]\nname = \"a\"\n[underlay]\ninterface = \"eth0\"\n";
        let network = "[[network]]\nvni = 1\ninterface = \"v\"\naddresses = [\"192.168.1.1/24\"]\n";
        let (mut named, mut members) = (String::new(), String::new());
        for peer in 0..peers {
            let endpoint = format!("endpoint = \"[2001:db8::1:{peer:x}]:4789\"");
            named += &format!("[[peer]]\nname = \"p{peer}\"\n{endpoint}\n");
            let [_, _, high, low] = peer.to_be_bytes();
            let prefix = format!("allowed_ips = [\"10.{high}.{low}.0/24\"]");
            members += &format!("[[network.member]]\npeer = \"p{peer}\"\n{prefix}\n");
        }
        let text = format!("{node}{probe}{named}{network}{members}");
        read(&text).unwrap().probe.interval.as_secs()
    };
    assert_eq!([1, 5_999, 6_000, 10_000].map(|peers| seconds(peers, "")), [5, 5, 6, 10]);
    assert_eq!(seconds(6_000, "[probe]\ninterval = 2\n"), 2);
}

#[test]
fn probes_and_peers_that_need_them() {
    let config = read(LEARNING).unwrap();
    let seconds = Duration::from_secs;
    let probe = Probe { vni: at(7, 99), interval: seconds(2), keepalive: seconds(30) };
    assert_eq!(format!("{:?}", config.probe), format!("{probe:?}"));
    assert!(config.probes());
    let [office, kernel] = config.peers.as_slice() else { panic!("{:?}", config.peers) };
    assert!(office.learns && office.endpoints.is_empty() && office.endpoint().is_none());
    assert_eq!(office.source_port, PeerSourcePort::Fixed);
    assert_eq!(office.udp_checksum, PeerUdpChecksum::Zero);
    assert!(!kernel.learns);
    assert_eq!(kernel.source_ports, 40_000..=49_999);
    assert_eq!(kernel.udp_checksum, PeerUdpChecksum::Zero);
    let probed =
        config.networks[0].members.iter().map(|member| member.probe_address.map(|at| at.value));
    assert_eq!(probed.collect::<Vec<_>>(), [None, Some([10, 43, 2, 1].into())]);

    type Holds = fn(&Config) -> bool;
    let rows: [(&str, &str, Holds); 10] = [
        ("vni = 99\n", "", |at| at.probe.vni.value == 16_777_215),
        ("vni = 99", "vni = 0", |at| at.probe.vni.value == 0),
        ("interval = 2\nkeepalive = 30", "interval = 1\nkeepalive = 3600", |at| {
            (at.probe.interval.as_secs(), at.probe.keepalive.as_secs()) == (1, 3600)
        }),
        ("\"learn\"", "[\"learn\"]", |at| at.peers[0].learns),
        ("\"learn\"", "\"learn\"\nsource_port = \"fixed\"", |at| {
            at.peers[0].source_port == PeerSourcePort::Fixed
        }),
        ("\"office.key\"", "\"office.key\"\nudp_checksum = \"any\"", |at| {
            at.peers[0].udp_checksum == PeerUdpChecksum::Any
        }),
        ("udp_checksum = \"zero\"\n", "", |at| at.peers[1].udp_checksum == PeerUdpChecksum::Any),
        ("source_ports = \"40000-49999\"\n", "", |at| {
            at.peers[1].source_ports == (32_768..=60_999)
        }),
        ("40000-49999", "1-1", |at| at.peers[1].source_ports == (1..=1)),
        // As with other peers behind a NAT that gives all of them one address.
        ("\"192.168.1.2\"", "\"192.0.2.20\"", |at| !at.peers[0].private_addresses.is_empty()),
    ];
    for (from, to, holds) in rows {
        match read(&edited(LEARNING, from, to)) {
            Ok(config) => assert!(holds(&config), "{from} -> {to}: {config:#?}"),
            Err(errors) => panic!("{from} -> {to}: {errors}"),
        }
    }
}

#[test]
fn each_of_these_variations_is_accepted() {
    type Holds = fn(&Config) -> bool;
    let rows: [(&str, &str, Holds); 32] = [
        ("\"10.0.0.2\"", "[\"10.0.0.2\"]", |at| at.underlay.address.v6.is_none()),
        ("\"10.0.0.2\"", "[\"2001:db8::2\", \"10.0.0.2\"]", |at| {
            at.underlay.address.iter().count() == 2
        }),
        ("address = \"10.0.0.2\"\np", "p", |at| at.underlay.address.is_empty()),
        ("interface = \"ens4\"", "interface = \"ens4\"\nport = 8472", |at| {
            at.underlay.port.value == 8472 && at.peers[0].endpoint().unwrap().port() == 8472
        }),
        ("interface = \"ens4\"", "interface = \"ens4\"\ntag = \"mac\"", |at| {
            at.underlay.tag.value == TagMode::Mac && at.underlay.tag.line == Some(5)
        }),
        ("\"192.0.2.7\"", "\"192.0.2.7:1\"", |at| at.peers[1].endpoint().unwrap().port() == 1),
        ("\"192.0.2.7\"", "\"[2001:db8::7]:1\"", |at| {
            at.peers[1].endpoint().unwrap().to_string() == "[2001:db8::7]:1"
        }),
        ("\"192.0.2.7\"", "\"[2001:db8::7]\"", |at| at.peers[1].endpoint().unwrap().port() == 4789),
        ("\"192.0.2.7\"", "[\"192.0.2.7\"]", |at| at.peers[1].endpoints.len() == 1),
        // The order is that of preference.
        ("\"192.0.2.7\"", "[\"[2001:db8::7]\", \"192.0.2.7:1\"]", |at| {
            let endpoints: Vec<_> = at.peers[1].endpoints.iter().map(ToString::to_string).collect();
            endpoints == ["[2001:db8::7]:4789", "192.0.2.7:1"]
        }),
        ("\"192.0.2.7\"", "\"192.0.2.7\"\nprivate_address = \"2001:db8::7\"", |at| {
            at.peers[1].private_addresses.v6.is_some()
                && at.peers[1].private_behind([192, 0, 2, 7].into()).is_none()
        }),
        (
            "\"10.0.0.119\"",
            "[\"2001:db8::8\", \"10.0.0.119\"]\npackets_per_second = 1\nbytes_per_second = 2",
            |at| {
                let aws = &at.peers[0];
                aws.private_addresses.iter().count() == 2
                    && (aws.packets_per_second, aws.bytes_per_second) == (Some(1), Some(2))
            },
        ),
        ("interface = \"ens4\"", "interface = \"ens4\"\nttl = 255\ndscp = 63", |at| {
            (at.underlay.ttl, at.underlay.dscp) == (OuterField::Fixed(255), OuterField::Fixed(63))
        }),
        ("interface = \"ens4\"", "interface = \"ens4\"\nttl = 1\ndscp = \"inherit\"", |at| {
            (at.underlay.ttl, at.underlay.dscp) == (OuterField::Fixed(1), OuterField::Inherit)
        }),
        ("interface = \"ens4\"", "interface = \"ens4\"\nttl = \"inherit\"", |at| {
            at.underlay.ttl == OuterField::Inherit
        }),
        ("interface = \"ens4\"", "interface = \"ens4\"\nreserved_bits = \"ignore\"", |at| {
            at.underlay.reserved_bits == ReservedBits::Ignore
        }),
        ("interface = \"ens4\"", "interface = \"ens4\"\nudp_checksum = \"ignore\"", |at| {
            at.underlay.udp_checksum == UdpChecksumPolicy::Ignore
        }),
        ("vni = 43", "vni = 43\nbroadcast_rate = 1\nageing = 10\nmax_stations = 1", |at| {
            let network = &at.networks[0];
            (network.broadcast_rate, network.ageing, network.max_stations.value) == (1, 10, 1)
                && at.max_fdb_entries() == 2
        }),
        (
            "vni = 43",
            "vni = 43\nbroadcast_rate = 1000000\nageing = 86400\nmax_stations = 65536",
            |at| {
                let network = &at.networks[0];
                (network.broadcast_rate, network.ageing) == (1_000_000, 86_400)
                    && at.max_fdb_entries() == 131_072
            },
        ),
        ("vni = 43", "vni = 43\nunknown_unicast = \"drop\"", |at| {
            at.networks[0].unknown_unicast == UnknownUnicast::Drop
        }),
        ("vni = 43", "vni = 43\nnested_tunnels = \"pass\"", |at| {
            at.networks[0].nested_tunnels == NestedTunnels::Pass
        }),
        ("[\"192.168.45.0/24\"]", "[\"192.168.45.0/24\"]\nmac = \"02:00:00:00:45:01\"", |at| {
            at.max_fdb_entries() == 513
        }),
        ("\"192.0.2.7\"", "\"192.0.2.7\"\npackets_per_second = 1000000000", |at| {
            at.peers[1].is_limited()
        }),
        ("\"192.0.2.7\"", "\"192.0.2.7\"\nkey_file = \"office.key\"", |at| {
            at.peers[1].key_file.as_ref().is_some_and(|at| at.value == Path::new("office.key"))
        }),
        ("\"192.0.2.7\"", "\"192.0.2.7\"\nsource_port = \"any\"", |at| {
            at.peers[1].source_port == PeerSourcePort::Any
        }),
        ("vni = 43", "vni = 0", |at| at.networks[0].vni.get() == 0),
        ("vni = 43", "vni = 0xff_fffe", |at| at.networks[0].vni.get() == 16_777_214),
        // A hub: the default route may hold the others' prefixes.
        ("\"192.168.45.0/24\"", "\"0.0.0.0/0\"", |at| at.networks[0].members.len() == 2),
        ("\"192.168.45.0/24\"", "\"::/0\", \"0.0.0.0/0\"", |at| {
            at.networks[0].members[1].allowed_ips.len() == 2
        }),
        // Nested prefixes of one and the same member.
        ("\"192.168.45.0/24\"", "\"192.168.45.0/24\", \"192.168.45.7/32\"", |at| {
            at.networks[0].members[1].allowed_ips.len() == 2
        }),
        ("s = [\"192.168.43.1/24\"]", "s = [\"192.168.43.1/24\", \"192.168.43.2/24\"]", |at| {
            at.networks[0].local_ips == [net("192.168.43.0/24")]
        }),
        (
            "s = [\"192.168.43.1/24\"]",
            "s = [\"192.168.43.1/24\", \"fe80::1/64\"]\n\
             local_ips = [\"192.168.43.1/32\", \"172.16.0.0/12\", \"fe80::/64\"]",
            |at| at.networks[0].local_ips.len() == 3,
        ),
    ];
    for (from, to, holds) in rows {
        match read(&edited(TWO_PEERS, from, to)) {
            Ok(config) => assert!(holds(&config), "{from} -> {to}: {config:#?}"),
            Err(errors) => panic!("{from} -> {to}: {errors}"),
        }
    }
}

#[test]
fn a_bridged_network_needs_local_ips_but_no_address() {
    let text =
        edited(TWO_PEERS, "addresses = [\"192.168.43.1/24\"]", "local_ips = [\"192.168.43.0/24\"]");
    assert_eq!(read(&text).unwrap().networks[0].local_ips, [net("192.168.43.0/24")]);
}

#[test]
fn two_networks_may_use_one_private_address_and_the_same_prefixes() {
    let second =
        edited(TWO_PEERS, "\"192.0.2.7\"", "\"192.0.2.7\"\nprivate_address = \"10.0.0.119\"");
    let (first, last) = second.split_once("[[network.member]]\npeer = \"office\"").unwrap();
    let text = format!(
        "{first}[[network]]\nvni = 44\ninterface = \"vxlan44\"\naddresses = [\"192.168.43.1/24\"]\n\
         [[network.member]]\npeer = \"office\"{last}"
    );
    assert_eq!(read(&text).unwrap().networks.len(), 2);
}

#[test]
fn a_private_address_without_the_right_to_enter_may_be_any_other_peer_s() {
    for office in ["\"10.0.0.119\"", "\"192.0.2.7\"\nprivate_address = \"10.0.0.119\""] {
        let config = read(&edited(TWO_PEERS, "\"192.0.2.7\"", office)).unwrap();
        assert!(config.peers.iter().all(|peer| !peer.accept_private));
    }
    let private = "private_address = \"10.0.0.119\"\n";
    for (keys, accepted) in [("accept_private = true\n", true), ("accept_private = false\n", false)]
    {
        let text = edited(TWO_PEERS, private, &format!("{private}{keys}"));
        assert_eq!(read(&text).unwrap().peers[0].accept_private, accepted);
    }
    // Without a private address it is no right, and so no mistake, to accept nothing.
    let office = "\"192.0.2.7\"\naccept_private = false";
    assert!(read(&edited(TWO_PEERS, "\"192.0.2.7\"", office)).is_ok());
}

#[test]
fn a_file_without_peers_and_networks_and_a_network_without_members_are_accepted() {
    let minimal = "node.name = \"a\"\nunderlay.interface = \"ens4\"\n";
    assert_eq!(read(minimal).unwrap().networks, []);
    let lonely = format!(
        "{minimal}[[network]]\nvni = 1\ninterface = \"v\"\naddresses = [\"192.168.43.1/24\"]\n"
    );
    assert_eq!(read(&lonely).unwrap().networks[0].members, []);
}

#[test]
fn a_moved_line_is_no_change() {
    let config = read(EXAMPLE).unwrap();
    assert_eq!(config, read(&format!("# comment\n\n{EXAMPLE}")).unwrap());
    assert_ne!(config, read(&edited(EXAMPLE, "mtu = 1410", "mtu = 1400")).unwrap());
}

#[test]
fn a_later_check_of_the_host_can_speak_in_the_same_form() {
    let config = parse(EXAMPLE, Path::new("/etc/vxlan/vxlan.toml")).unwrap();
    let own = config.underlay.address.iter().next().unwrap();
    let error = config.error(&own, "address = \"10.0.0.2\" is not on ens4. Write 10.0.0.5.");
    assert_eq!(
        error.to_string(),
        "/etc/vxlan/vxlan.toml:6: address = \"10.0.0.2\" is not on ens4. Write 10.0.0.5."
    );
    let of_default = config.error(&config.underlay.tag, "The driver has no metadata.");
    assert_eq!(of_default.to_string(), "/etc/vxlan/vxlan.toml: The driver has no metadata.");
    assert_eq!(error, ConfigError::at("/etc/vxlan/vxlan.toml", 6, error.message()));
}

#[test]
fn files_are_read_and_key_files_are_found_beside_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vxlan.toml");
    std::fs::write(&file, edited(EXAMPLE, "/etc/vxlan/aws.key", "aws.key")).unwrap();
    let config = load(&file).unwrap();
    let key_file = config.peers[0].key_file.as_ref().unwrap();
    assert_eq!(key_file.value, directory.path().join("aws.key"));

    std::fs::write(&file, b"[node]\nname = \"\xff\"\n").unwrap();
    assert_eq!(
        load(&file).unwrap_err().to_string(),
        format!(
            "{}:2: this line holds a byte that is not UTF-8. Save the file as UTF-8 text.",
            file.display()
        )
    );

    let missing = directory.path().join("none.toml");
    assert_eq!(
        load(&missing).unwrap_err().to_string(),
        format!(
            "{}: the configuration cannot be read: No such file or directory (os error 2). Put it \
             there, or name another file with --config.",
            missing.display()
        )
    );
}
