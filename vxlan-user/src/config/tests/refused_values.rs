//! Mistakes in a single value, and the whole text of the errors.

use super::{TWO_PEERS, check, edited, example, read, row};

#[test]
fn addresses() {
    check(&[
        row(
            "\"10.0.0.2\"",
            "\"10.0.0.2/24\"",
            &["5: address = \"10.0.0.2/24\" has a prefix length. Write address = \"10.0.0.2\"."],
        ),
        row(
            "\"10.0.0.2\"",
            "\"10.0.0.2:4789\"",
            &["5: address = \"10.0.0.2:4789\" has a port. Write address = \"10.0.0.2\"."],
        ),
        row(
            "\"10.0.0.2\"",
            "\"ens4\"",
            &["5: address = \"ens4\" is not an IP address, and names are not resolved. Write \
                the address, such as address = \"10.0.0.2\"."],
        ),
        row(
            "\"10.0.0.2\"",
            "\"127.0.0.1\"",
            &["5: address = \"127.0.0.1\" is a loopback address. Write a unicast address of \
                the underlay interface."],
        ),
        row(
            "\"10.0.0.2\"",
            "[\"10.0.0.2\", \"10.0.0.3\"]",
            &["5: \"10.0.0.3\" in address is a second IPv4 address. Write at most one of each \
                family."],
        ),
        row(
            "\"10.0.0.119\"",
            "\"0.0.0.0\"",
            &["10: private_address = \"0.0.0.0\" is no host's address. Write the address that \
                the peer's own interface carries."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"aws.example.com\"",
            &["13: endpoint = \"aws.example.com\" is not an IP address, and names are not \
                resolved. Write the peer's address, such as endpoint = \"198.51.100.20:4789\"."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"aws.example.com:4789\"",
            &["13: endpoint = \"aws.example.com:4789\" is not an IP address, and names are not \
                resolved. Write the peer's address, such as endpoint = \"198.51.100.20:4789\"."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"192.0.2.7:0\"",
            &["13: endpoint = \"192.0.2.7:0\" has port 0, which cannot be sent to. Write \
                endpoint = \"192.0.2.7:4789\"."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"192.0.2.7:99999\"",
            &["13: endpoint = \"192.0.2.7:99999\" has \"99999\" for a port, not 1 to 65535. \
                Write endpoint = \"192.0.2.7:4789\"."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"192.0.2.7/32\"",
            &["13: endpoint = \"192.0.2.7/32\" has a prefix length. Write endpoint = \
                \"192.0.2.7:4789\"."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"239.1.1.1\"",
            &["13: endpoint = \"239.1.1.1\" is a multicast address. Write the unicast address \
                that reaches the peer."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"0.0.0.0:4789\"",
            &["13: endpoint = \"0.0.0.0:4789\" is no host's address. Write the unicast address \
                that reaches the peer."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"127.0.0.1:4789\"",
            &["13: endpoint = \"127.0.0.1:4789\" is a loopback address. Write the unicast \
                address that reaches the peer."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"255.255.255.255\"",
            &["13: endpoint = \"255.255.255.255\" is the broadcast address. Write the unicast \
                address that reaches the peer."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"2001:db8::7\"",
            &["13: endpoint = \"2001:db8::7\" has no brackets around its IPv6 address. Write \
                endpoint = \"[2001:db8::7]:4789\"."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"[::ffff:192.0.2.7]:4789\"",
            &["13: endpoint = \"[::ffff:192.0.2.7]:4789\" is an IPv4 address written as IPv6. \
                Write the unicast address that reaches the peer."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"[fe80::1]:4789\"",
            &["13: endpoint = \"[fe80::1]:4789\" is a link-local address. Write the unicast \
                address that reaches the peer."],
        ),
        row(
            "[node]",
            "[metrics]\nlisten = \"127.0.0.1\"\n[node]",
            &["2: listen = \"127.0.0.1\" has no port. Write listen = \"127.0.0.1:9839\"."],
        ),
        row(
            "[node]",
            "[metrics]\nlisten = \":9839\"\n[node]",
            &["2: listen = \":9839\" is not an IP address and a port. Write listen = \
                \"127.0.0.1:9839\"."],
        ),
        row(
            "[node]",
            "[metrics]\nlisten = \"127.0.0.1:0\"\n[node]",
            &["2: listen = \"127.0.0.1:0\" has port 0, which nobody could find. Write listen = \
                \"127.0.0.1:9839\"."],
        ),
    ]);
}

#[test]
fn slips_in_writing_an_address() {
    check(&[
        row(
            "endpoint = \"192.0.2.7\"",
            "endpoint = \" 192.0.2.7:4789\"",
            &["13: endpoint = \" 192.0.2.7:4789\" has blanks around the address. Write endpoint \
               = \"192.0.2.7:4789\"."],
        ),
        row(
            "endpoint = \"192.0.2.7\"",
            "endpoint = \"192.000.002.007\"",
            &["13: endpoint = \"192.000.002.007\" has leading zeros, which some programs read as \
               octal. Write endpoint = \"192.0.2.7:4789\"."],
        ),
        row(
            "endpoint = \"192.0.2.7\"",
            "endpoint = \"udp://192.0.2.7:4789/\"",
            &["13: endpoint = \"udp://192.0.2.7:4789/\" has a URL scheme. Write endpoint = \
               \"192.0.2.7:4789\"."],
        ),
        row(
            "endpoint = \"192.0.2.7\"",
            "endpoint = \"2001:db8::20:4789\"",
            &["13: endpoint = \"2001:db8::20:4789\" has no brackets around its IPv6 address. \
               Write endpoint = \"[2001:db8::20]:4789\", or endpoint = \
               \"[2001:db8::20:4789]:4789\" if :4789 belongs to the address."],
        ),
        row(
            "\naddress = \"10.0.0.2\"",
            "\naddress = \"10.0.0.2 \"",
            &["5: address = \"10.0.0.2 \" has blanks around the address. Write address = \
               \"10.0.0.2\"."],
        ),
        row(
            "[\"192.168.44.0/24\"]",
            "[\"192.168.44.0/255.255.255.0\"]",
            &["20: \"192.168.44.0/255.255.255.0\" in allowed_ips has a netmask for a prefix \
               length. Write \"192.168.44.0/24\"."],
        ),
        row(
            "[\"192.168.44.0/24\"]",
            "[\"192.168.44.0/24, 192.168.46.0/24\"]",
            &["20: \"192.168.44.0/24, 192.168.46.0/24\" in allowed_ips holds several prefixes in \
               one text. Write \"192.168.44.0/24\", \"192.168.46.0/24\"."],
        ),
        row(
            "[\"192.168.43.1/24\"]",
            "[\"192.168.43.1/255.255.255.0\"]",
            &["17: \"192.168.43.1/255.255.255.0\" in addresses has a netmask for a prefix \
               length. Write \"192.168.43.1/24\"."],
        ),
    ]);
}

#[test]
fn numbers_and_words() {
    check(&[
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nport = 0",
            &["5: port = 0 is not a UDP port. Write a number from 1 to 65535."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nport = 65536",
            &["5: port = 65536 is not a UDP port. Write a number from 1 to 65535."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nxdp = \"navite\"",
            &["5: xdp = \"navite\" is not a known word. Write xdp = \"native\" (of \"auto\", \
                \"native\", \"generic\", \"off\")."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nunknown_vni = \"reject\"",
            &["5: unknown_vni = \"reject\" is not a known word. Write one of \"drop\", \"pass\"."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nsource_port = \"any\"",
            &["5: source_port = \"any\" is not a known word. Write one of \"flow\", \"fixed\"."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\ntag = \"secret\"",
            &["5: tag = \"secret\" is not a known word. Write one of \"auto\", \"metadata\", \
                \"mac\"."],
        ),
        row(
            "vni = 43",
            "vni = 16777215",
            &["15: vni = 16777215 is reserved for probes. Write a number from 0 to 16777214."],
        ),
        row(
            "vni = 43",
            "vni = 16777216",
            &["15: vni = 16777216 is not a VNI. Write a number from 0 to 16777214."],
        ),
        row(
            "vni = 43",
            "vni = 99999999999999999999",
            &["15: vni = 99999999999999999999 is not a VNI. Write a number from 0 to 16777214."],
        ),
        row(
            "vni = 43",
            "vni = -1",
            &["15: vni = -1 is not a VNI. Write a number from 0 to 16777214."],
        ),
        row(
            "vni = 43",
            "vni = 43\nmtu = 500",
            &["16: mtu = 500 is not an MTU. Write a number from 576 to 65535."],
        ),
        row(
            "vni = 43",
            "vni = 43\nmtu = 65536",
            &["16: mtu = 65536 is not an MTU. Write a number from 576 to 65535."],
        ),
        row(
            "[\"192.168.44.0/24\"]",
            "[\"192.168.44.0/24\"]\nmac = \"02:00:00:00:44\"",
            &["21: mac = \"02:00:00:00:44\" is not a MAC address. Write that of the peer's \
                overlay interface, such as mac = \"02:00:00:00:44:01\"."],
        ),
        row(
            "[\"192.168.44.0/24\"]",
            "[\"192.168.44.0/24\"]\nmac = \"01:00:5e:00:44:01\"",
            &["21: mac = \"01:00:5e:00:44:01\" is a multicast MAC address. Write that of the \
                peer's overlay interface, such as mac = \"02:00:00:00:44:01\"."],
        ),
        row(
            "[\"192.168.44.0/24\"]",
            "[\"192.168.44.0/24\"]\nmac = \"00:00:00:00:00:00\"",
            &["21: mac = \"00:00:00:00:00:00\" is no interface's MAC address. Write that of \
                the peer's overlay interface, such as mac = \"02:00:00:00:44:01\"."],
        ),
    ]);
}

#[test]
fn names() {
    check(&[
        row(
            "\"gcp\"",
            "\"\"",
            &["2: name = \"\" is empty. Write letters, digits, '-', '_' and '.', such as name \
                = \"aws-1\"."],
        ),
        row(
            "\"gcp\"",
            "\"my gcp\"",
            &["2: name = \"my gcp\" has the character ' '. Write letters, digits, '-', '_' and \
                '.', such as name = \"aws-1\"."],
        ),
        row(
            "\"vxlan43\"",
            "\"vxlan-network-43\"",
            &["16: interface = \"vxlan-network-43\" is 16 bytes long, the kernel takes 15. \
                Write an interface name, such as interface = \"vxlan43\"."],
        ),
        row(
            "\"vxlan43\"",
            "\"vxlan/43\"",
            &["16: interface = \"vxlan/43\" has the character '/'. Write an interface name, \
                such as interface = \"vxlan43\"."],
        ),
        row(
            "\"vxlan43\"",
            "\"vxlan 43\"",
            &["16: interface = \"vxlan 43\" has the character ' '. Write an interface name, \
                such as interface = \"vxlan43\"."],
        ),
        row(
            "\"vxlan43\"",
            "\"\"",
            &["16: interface = \"\" is empty. Write an interface name, such as interface = \
                \"vxlan43\"."],
        ),
        row(
            "\"ens4\"",
            "\"lo\"",
            &["4: interface = \"lo\" is a name the kernel keeps for itself. Write an interface \
                name, such as interface = \"ens4\"."],
        ),
        example(
            "\"/etc/vxlan/aws.key\"",
            "\"\"",
            &["21: key_file = \"\" is empty. Remove it, or write key_file = \
                \"/etc/vxlan/aws.key\"."],
        ),
    ]);
}

#[test]
fn endpoints_of_no_host() {
    for (endpoint, why) in [
        ("0.1.2.3", "is no host's address (0.0.0.0/8)"),
        ("240.0.0.1", "is of the reserved range 240.0.0.0/4"),
        ("255.255.255.255", "is the broadcast address"),
    ] {
        let text = edited(TWO_PEERS, "192.0.2.7", endpoint);
        let refused = read(&text).expect_err(endpoint).to_string();
        assert_eq!(
            refused,
            format!(
                "vxlan.toml:13: endpoint = \"{endpoint}\" {why}. Write the unicast address that \
                 reaches the peer."
            )
        );
    }
}
