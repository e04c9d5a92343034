//! Peers, members and networks that do not fit each other, and the whole text of the errors.

use super::{LEARNING, Row, check, example, row};

#[test]
fn between_peers() {
    check(&[
        row(
            "name = \"office\"\n",
            "name = \"aws\"\n",
            &[
                "12: name = \"aws\" is the name of another peer (line 8). Give each peer its own \
                name.",
                "22: peer = \"office\" is no [[peer]] of this file. Write one of \"aws\", or add \
                a [[peer]] section for it.",
            ],
        ),
        row(
            "\"192.0.2.7\"",
            "\"198.51.100.20\"",
            &["13: endpoint 198.51.100.20:4789 of peer \"office\" has the address of peer \
                \"aws\" (line 9): the source address of a packet could not tell the two apart. \
                Give each peer its own address."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"198.51.100.20:4790\"",
            &["13: endpoint 198.51.100.20:4790 of peer \"office\" has the address of peer \
                \"aws\" (line 9): the source address of a packet could not tell the two apart. \
                Give each peer its own address."],
        ),
        row(
            "\"10.0.0.119\"\n[[peer]]\nname = \"office\"\nendpoint = \"192.0.2.7\"",
            "\"10.0.0.119\"\naccept_private = true\n[[peer]]\nname = \"office\"\n\
             endpoint = \"192.0.2.7\"\nprivate_address = \"10.0.0.119\"\n\
             accept_private = true",
            &["15: private_address of peer \"office\", 10.0.0.119, is also the private_address \
                of peer \"aws\" (line 10), and both are members of network 43: the source \
                address of a packet could not tell the two apart. Give each its own address, or \
                a network of its own."],
        ),
        row(
            "\"10.0.0.119\"\n[[peer]]\nname = \"office\"\nendpoint = \"192.0.2.7\"",
            "\"10.0.0.119\"\naccept_private = true\n[[peer]]\nname = \"office\"\n\
             endpoint = \"10.0.0.119\"",
            &["14: endpoint of peer \"office\", 10.0.0.119, is also the private_address of \
                peer \"aws\" (line 10), and both are members of network 43: the source address \
                of a packet could not tell the two apart. Give each its own address, or a \
                network of its own."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"203.0.113.10\"",
            &["13: endpoint 203.0.113.10:4789 of peer \"office\" is this host's own \
                public_address (line 6). Write the address of the peer."],
        ),
        row(
            "\"192.0.2.7\"",
            "\"10.0.0.2:4789\"",
            &["13: endpoint 10.0.0.2:4789 of peer \"office\" is this host's own address (line \
                5). Write the address of the peer."],
        ),
        row(
            "name = \"gcp\"",
            "name = \"aws\"",
            &["8: name = \"aws\" is this node's own name (line 2). List only other hosts as \
                peers."],
        ),
        row(
            "[[network.member]]\npeer = \"office\"\nallowed_ips = [\"192.168.45.0/24\"]\n",
            "",
            &["12: peer \"office\" is in no network, so every packet of it would be dropped. \
                Write a [[network.member]] with peer = \"office\", or remove the peer."],
        ),
    ]);
}

#[test]
fn members() {
    check(&[
        row(
            "peer = \"office\"",
            "peer = \"offcie\"",
            &["22: peer = \"offcie\" is no [[peer]] of this file. Write peer = \"office\" \
                (known: \"aws\", \"office\")."],
        ),
        row(
            "peer = \"office\"",
            "peer = \"azure\"",
            &["22: peer = \"azure\" is no [[peer]] of this file. Write one of \"aws\", \
                \"office\", or add a [[peer]] section for it."],
        ),
        row(
            "peer = \"office\"",
            "peer = \"aws\"",
            &["22: peer = \"aws\" is a member of this network already (line 19). Write all its \
                allowed_ips there."],
        ),
        row(
            "peer = \"office\"\n",
            "",
            &["21: [[network.member]] has no peer. Write one, such as peer = \"aws\"."],
        ),
        row(
            "allowed_ips = [\"192.168.45.0/24\"]\n",
            "",
            &["21: [[network.member]] has no allowed_ips. Write one, such as allowed_ips = \
                [\"192.168.44.0/24\"]."],
        ),
        row(
            "[\"192.168.45.0/24\"]",
            "[]",
            &["23: allowed_ips = [] lets no frame of this member in or out. Write the prefixes \
                behind it, such as allowed_ips = [\"192.168.44.0/24\"]."],
        ),
        example(
            "[[peer]]\nname = \"aws\"\nendpoint = \"198.51.100.20:4789\"\nprivate_address = \
            \"10.0.0.119\"\nsource_port = \"flow\"\nkey_file = \"/etc/vxlan/aws.key\"\n",
            "",
            &["24: peer = \"aws\" is no [[peer]] of this file. There is none yet: write a \
                [[peer]] section for it."],
        ),
        row(
            "allowed_ips = [\"192.168.44.0/24\"]\n[[network.member]]\n",
            "allowed_ips = [\"192.168.44.0/24\"]\nmac = \
            \"02:00:00:00:00:01\"\n[[network.member]]\nmac = \"02:00:00:00:00:01\"\n",
            &["23: mac = \"02:00:00:00:00:01\" is the MAC address of another member (line 21). \
                Write each member's own, or leave mac out."],
        ),
    ]);
}

#[test]
fn between_networks() {
    check(&[
        row(
            "[[network.member]]\npeer = \"office\"",
            "[[network]]\nvni = 43\ninterface = \"vxlan44\"\naddresses = \
            [\"192.168.46.1/24\"]\n[[network.member]]\npeer = \"office\"",
            &["22: vni = 43 is the VNI of another network (line 15). Give each network its own \
                VNI."],
        ),
        row(
            "[[network.member]]\npeer = \"office\"",
            "[[network]]\nvni = 44\ninterface = \"vxlan43\"\naddresses = \
            [\"192.168.46.1/24\"]\n[[network.member]]\npeer = \"office\"",
            &["23: interface = \"vxlan43\" is taken already (line 16). Give each network its \
                own interface."],
        ),
        row(
            "interface = \"vxlan43\"",
            "interface = \"ens4\"",
            &["16: interface = \"ens4\" is taken already (line 4). Give each network its own \
                interface."],
        ),
    ]);
}

#[test]
fn several_at_once() {
    check(&[row(
        "name = \"office\"\nendpoint = \"192.0.2.7\"\n[[network]]\nvni = 43",
        "name = \"office\"\nendpoint = \"office\"\n[[network]]\nvni = \"43\"\nmut = 1400",
        &[
            "13: endpoint = \"office\" is not an IP address, and names are not resolved. \
                Write the peer's address, such as endpoint = \"198.51.100.20:4789\".",
            "15: vni = \"43\" is text, not a whole number. Write vni = 43, without quotes.",
            "16: [[network]] has no key \"mut\". Write mtu.",
        ],
    )]);
}

#[test]
fn a_right_to_enter_from_a_private_address() {
    check(&[
        row(
            "\"192.0.2.7\"",
            "\"192.0.2.7\"\naccept_private = true",
            &["14: accept_private = true without a private_address accepts nothing. Write the \
                address that the peer's own interface carries, such as private_address = \
                \"10.0.0.119\", or remove accept_private."],
        ),
        row(
            "\"10.0.0.119\"",
            "\"10.0.0.119\"\naccept_private = \"yes\"",
            &["11: accept_private = \"yes\" is text, not true or false. Write accept_private = \
                true."],
        ),
        Row {
            base: LEARNING,
            from: "\"192.168.1.2\"",
            to: "\"192.168.1.2\"\naccept_private = true",
            errors: &["14: accept_private = true does not go with endpoint = \"learn\": such a \
                peer is known by the address and port that its probes come from, and by nothing \
                else. Remove accept_private, or write the private address as endpoint."],
        },
    ]);
}
