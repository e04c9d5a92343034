//! Invalid limits, fields of the outer header and lists of addresses, and the whole text of the
//! errors.

use super::{check, read, row};

#[test]
fn fields_of_the_outer_header() {
    check(&[
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nttl = 0",
            &["5: ttl = 0 is not a time to live. Write a number from 1 to 255, or \"inherit\"."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nttl = 256",
            &["5: ttl = 256 is not a time to live. Write a number from 1 to 255, or \"inherit\"."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nttl = \"64\"",
            &["5: ttl = \"64\" is text. Write ttl = 64, without quotes."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nttl = \"auto\"",
            &["5: ttl = \"auto\" is neither a number nor \"inherit\". Write a number from 1 to \
                255, or \"inherit\"."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\ndscp = 64",
            &["5: dscp = 64 is not a DSCP. Write a number from 0 to 63, or \"inherit\"."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\ndscp = -1",
            &["5: dscp = -1 is not a DSCP. Write a number from 0 to 63, or \"inherit\"."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\ndscp = \"ef\"",
            &["5: dscp = \"ef\" is the name of a code point. Write dscp = 46."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\ndscp = \"AF41\"",
            &["5: dscp = \"AF41\" is the name of a code point. Write dscp = 34."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\ndscp = \"cs9\"",
            &["5: dscp = \"cs9\" is neither a number nor \"inherit\". Write a number from 0 to \
                63, or \"inherit\"."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nxdp = \"driver\"",
            &["5: xdp = \"driver\" is not a known word. Write xdp = \"native\" (of \"auto\", \
               \"native\", \"generic\", \"off\")."],
        ),
        row(
            "addresses = [\"192.168.43.1/24\"]",
            "addresses = [\"192.168.43.1/24\"]\nmtu = \"auto\"",
            &["18: mtu = \"auto\" is text, not a whole number. Leave mtu out: it is chosen \
               automatically then."],
        ),
        row(
            "[underlay]",
            "[probe]\ninterval = 0.5\n[underlay]",
            &["4: interval = 0.5 is a number with a fraction, not a whole number. Write interval \
               = 1."],
        ),
        row(
            "endpoint = \"192.0.2.7\"",
            "endpoint = \"192.0.2.7\"\nkey = \"office.key\"",
            &["14: [[peer]] has no key \"key\". Write key_file."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nreserved_bits = \"ingore\"",
            &["5: reserved_bits = \"ingore\" is not a known word. Write reserved_bits = \
                \"ignore\" (of \"refuse\", \"ignore\")."],
        ),
    ]);
}

#[test]
fn of_a_peer() {
    check(&[
        row(
            "\"192.0.2.7\"",
            "\"192.0.2.7\"\npackets_per_second = 0",
            &["14: packets_per_second = 0 would refuse every packet of the peer. Write a number \
                from 1 to 1000000000, or leave the key out for no limit."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"192.0.2.7\"\npackets_per_second = 1000000001",
            &["14: packets_per_second = 1000000001 is out of range. Write a number from 1 to \
                1000000000."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"192.0.2.7\"\nbytes_per_second = 0",
            &["14: bytes_per_second = 0 would refuse every packet of the peer. Write a number \
                from 1 to 100000000000, or leave the key out for no limit."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"192.0.2.7\"\nbytes_per_second = -5",
            &["14: bytes_per_second = -5 is out of range. Write a number from 1 to \
                100000000000."],
        ),
    ]);
}

#[test]
fn of_a_network() {
    check(&[
        row(
            "vni = 43",
            "vni = 43\nbroadcast_rate = 0",
            &["16: broadcast_rate = 0 would send nothing that is for everyone. Write a number \
                from 1 to 1000000, or leave the key out for 1000."],
        ),
        row(
            "vni = 43",
            "vni = 43\nbroadcast_rate = 1000001",
            &["16: broadcast_rate = 1000001 is out of range. Write a number from 1 to 1000000."],
        ),
        row(
            "vni = 43",
            "vni = 43\nageing = 9",
            &["16: ageing = 9 is out of range. Write a number from 10 to 86400."],
        ),
        row(
            "vni = 43",
            "vni = 43\nageing = 0",
            &["16: ageing = 0 is out of range. Write a number from 10 to 86400."],
        ),
        row(
            "vni = 43",
            "vni = 43\nageing = 86401",
            &["16: ageing = 86401 is out of range. Write a number from 10 to 86400."],
        ),
        row(
            "vni = 43",
            "vni = 43\nmax_stations = 0",
            &["16: max_stations = 0 would learn no station. Write a number from 1 to 65536, or \
                leave the key out for 256."],
        ),
        row(
            "vni = 43",
            "vni = 43\nmax_stations = 65537",
            &["16: max_stations = 65537 is out of range. Write a number from 1 to 65536."],
        ),
        row(
            "vni = 43",
            "vni = 43\nunknown_unicast = \"pass\"",
            &["16: unknown_unicast = \"pass\" is not a known word. Write one of \"flood\", \
                \"drop\"."],
        ),
        row(
            "vni = 43",
            "vni = 43\nnested_tunnels = true",
            &["16: nested_tunnels = true is true or false, not text. Write nested_tunnels = \
                \"drop\"."],
        ),
    ]);
}

#[test]
fn more_fdb_entries_than_there_is_room_for() {
    let network = |members: usize, max_stations: &str| {
        let mut text = "node.name = \"a\"\nunderlay.interface = \"ens4\"\n".to_owned();
        let mut of_network = format!(
            "[[network]]\nvni = 1\ninterface = \"v\"\naddresses = \
            [\"10.0.0.1/8\"]\n{max_stations}\n"
        );
        for n in 0..members {
            let (high, low) = (n / 256, n % 256);
            text += &format!("[[peer]]\nname = \"p{n}\"\nendpoint = \"192.0.{high}.{low}\"\n");
            of_network += &format!(
                "[[network.member]]\npeer = \"p{n}\"\nallowed_ips = [\"10.1.{high}.{low}/32\"]\n"
            );
        }
        text + &of_network
    };
    assert_eq!(read(&network(64, "max_stations = 65536")).unwrap().max_fdb_entries(), 4_194_304);
    let error = read(&network(65, "max_stations = 65536")).unwrap_err().to_string();
    assert_eq!(
        error,
        "vxlan.toml:202: max_stations = 65536 for each of the 65 members of network 1: with \
        those of all networks that makes 4259840 stations, more than the 4194304 there is room \
        for. Write a smaller max_stations, such as max_stations = 64526."
    );
    assert!(read(&network(65, "max_stations = 64526")).is_ok());
}

#[test]
fn lists_of_addresses() {
    check(&[
        row(
            "\"192.0.2.7\"",
            "[]",
            &["13: endpoint = [] reaches nobody. Write the peer's address, such as endpoint = \
                \"198.51.100.20:4789\"."],
        ),
        row(
            "\"192.0.2.7\"",
            "[\"192.0.2.7\", \"192.0.2.8:1\"]",
            &["13: \"192.0.2.8:1\" in endpoint is a second IPv4 address. Write at most one of \
                each family."],
        ),
        row(
            "\"192.0.2.7\"",
            "[\"[2001:db8::7]\", \"[2001:db8::8]\"]",
            &["13: \"[2001:db8::8]\" in endpoint is a second IPv6 address. Write at most one of \
                each family."],
        ),
        row(
            "\"192.0.2.7\"",
            "[\"192.0.2.7\", \"2001:db8::7\"]",
            &["13: \"2001:db8::7\" in endpoint has no brackets around its IPv6 address. Write \
                \"[2001:db8::7]:4789\"."],
        ),
        row(
            "\"10.0.0.119\"",
            "[\"10.0.0.119\", \"10.0.0.120\"]",
            &["10: \"10.0.0.120\" in private_address is a second IPv4 address. Write at most one \
                of each family."],
        ),
        // The second endpoint counts as much as the first.
        row(
            "\"192.0.2.7\"",
            "[\"[2001:db8::7]:4789\", \"198.51.100.20\"]",
            &["13: endpoint 198.51.100.20:4789 of peer \"office\" has the address of peer \
                \"aws\" (line 9): the source address of a packet could not tell the two apart. \
                Give each peer its own address."],
        ),
        row(
            "\"192.0.2.7\"",
            "[\"[2001:db8::7]:4789\", \"203.0.113.10\"]",
            &["13: endpoint 203.0.113.10:4789 of peer \"office\" is this host's own \
                public_address (line 6). Write the address of the peer."],
        ),
        row(
            "\"10.0.0.119\"\n[[peer]]\nname = \"office\"\nendpoint = \"192.0.2.7\"",
            "\"10.0.0.119\"\naccept_private = true\n[[peer]]\nname = \"office\"\n\
             endpoint = [\"[2001:db8::7]:4789\", \"10.0.0.119\"]",
            &["14: endpoint of peer \"office\", 10.0.0.119, is also the private_address of \
                peer \"aws\" (line 10), and both are members of network 43: the source address \
                of a packet could not tell the two apart. Give each its own address, or a \
                network of its own."],
        ),
    ]);
}

/// So many peers, each of which is a member of so many networks.
fn large(peers: usize, networks: usize) -> String {
    let mut text = "[node]\nname = \"hub\"\n[underlay]\ninterface = \"eth0\"\n".to_owned();
    for n in 0..peers {
        let [_, a, b, c] = (n as u32).to_be_bytes();
        text += &format!("[[peer]]\nname = \"p{n}\"\nendpoint = \"10.{a}.{b}.{c}\"\n");
    }
    for n in 0..networks {
        let [_, _, high, low] = (n as u32).to_be_bytes();
        text += &format!(
            "[[network]]\nvni = {n}\ninterface = \"n{n}\"\nmax_stations = 1\naddresses = \
             [\"172.{}.{low}.1/24\"]\n",
            16 + high
        );
        // Each peer in the first network, and one in the others.
        for peer in 0..if n == 0 { peers } else { 1 } {
            let [_, a, b, c] = (peer as u32).to_be_bytes();
            text += &format!("[[network.member]]\npeer = \"p{peer}\"\n");
            text += &format!("allowed_ips = [\"11.{a}.{b}.{c}/32\"]\n");
        }
    }
    text
}

/// More than there is room for, at the line where the room ends.
#[test]
fn the_room_of_one_host() {
    assert!(read(&large(1, 1024)).is_ok());
    assert!(read(&large(15_000, 1000)).is_ok());
    let refused = |peers, networks| read(&large(peers, networks)).expect_err("refused").to_string();
    let text = refused(1, 1025);
    assert!(
        text.ends_with(
            ": there are 1025 networks, and one host has room for 1024, which ends here. Give some \
             of the networks to another host."
        ),
        "{text}"
    );
    let line = text.split(':').nth(1).and_then(|line| line.parse().ok());
    let text = large(1, 1025);
    let line = line.and_then(|line: usize| text.lines().nth(line - 1));
    assert_eq!(line, Some("vni = 1024"));
    let text = refused(16_385, 1);
    assert!(text.contains("there are 16385 peers, and one host has room for 16384"), "{text}");
    assert!(text.contains("there are 16385 members of networks"), "{text}");
    let text = refused(16_000, 500);
    assert!(text.contains("there are 16499 members of networks"), "{text}");
    assert!(!text.contains(" peers, and"), "{text}");
}
