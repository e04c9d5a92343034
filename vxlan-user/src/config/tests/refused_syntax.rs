//! Mistakes in keys, sections, types and TOML syntax, and the whole text of the errors.

use super::{check, example, row};

#[test]
fn keys_and_sections() {
    check(&[
        row("name = \"gcp\"\n", "", &["1: [node] has no name. Write one, such as name = \"gcp\"."]),
        row(
            "[node]\nname = \"gcp\"\n",
            "",
            &[" the file has no [node] section. Write [node] and its keys."],
        ),
        row(
            "[underlay]\ninterface = \"ens4\"\naddress = \"10.0.0.2\"\npublic_address = \
            \"203.0.113.10\"\n",
            "",
            &[" the file has no [underlay] section. Write [underlay] and its keys."],
        ),
        row(
            "interface = \"ens4\"\n",
            "",
            &["3: [underlay] has no interface. Write one, such as interface = \"ens4\"."],
        ),
        row(
            "endpoint = \"192.0.2.7\"\n",
            "",
            &["11: [[peer]] has no endpoint. Write one, such as endpoint = \
                \"198.51.100.20:4789\"."],
        ),
        row(
            "name = \"office\"\n",
            "",
            &["11: [[peer]] has no name. Write one, such as name = \"aws\"."],
        ),
        row(
            "\naddress = \"10",
            "\nadress = \"10",
            &["5: [underlay] has no key \"adress\". Write address."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nmtu = 1400",
            &["5: [underlay] has no key \"mtu\". That key belongs in [[network]]; [underlay] \
                has: interface, address, public_address, port, xdp, redirect, tc, source_port, \
                unknown_vni, reserved_bits, udp_checksum, ttl, dscp, tag."],
        ),
        row(
            "endpoint = \"192.0.2.7\"",
            "remote = \"192.0.2.7\"",
            &[
                "11: [[peer]] has no endpoint. Write one, such as endpoint = \
                \"198.51.100.20:4789\".",
                "13: [[peer]] has no key \"remote\". Write endpoint.",
            ],
        ),
        row(
            "vni = 43",
            "id = 43",
            &[
                "14: [[network]] has no vni. Write one, such as vni = 43.",
                "15: [[network]] has no key \"id\". Write vni.",
            ],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nlearning = true",
            &["5: [underlay] has no key \"learning\". Remove it, or write one of: interface, \
                address, public_address, port, xdp, redirect, tc, source_port, unknown_vni, \
                reserved_bits, udp_checksum, ttl, dscp, tag."],
        ),
        row(
            "[[peer]]\nname = \"office\"",
            "[[peers]]\nname = \"office\"",
            &[
                "11: the top of the file has no section or key \"peers\". Write [[peer]].",
                "22: peer = \"office\" is no [[peer]] of this file. Write one of \"aws\", or add \
                a [[peer]] section for it.",
            ],
        ),
        row(
            "[node]",
            "port = 4789\n[node]",
            &["1: the top of the file has no section or key \"port\". That key belongs in \
                [underlay]; the top of the file has: [node], [underlay], [metrics], [probe], \
                [[peer]], [[network]]."],
        ),
        row(
            "[node]",
            "[[node]]",
            &["1: node is a list of sections here, [[node]], but there is only one. Write \
                [node]."],
        ),
        example(
            "[[peer]]",
            "[peer]",
            &["16: peer is a single section here, [peer], but there may be several. Write \
                [[peer]]."],
        ),
        example(
            "[[network.member]]",
            "[network.member]",
            &["29: member is a single section here, [network.member], but there may be \
                several. Write [[network.member]]."],
        ),
    ]);
}

#[test]
fn a_misspelt_section_is_said_once_and_not_again_for_each_peer() {
    check(&[
        example(
            "[[network]]\n",
            "[[networks]]\n",
            &[
                "23: the top of the file has no section or key \"networks\". Write [[network]].",
                "29: a part of network stands here, but no [[network]] above it. Write \
                 [[network]] first.",
            ],
        ),
        example(
            "[[network]]\nvni = 43\ninterface = \"vxlan43\"\naddresses = [\"192.168.43.1/24\"]\n\
             mtu = 1410\n\n[[network.member]]\n",
            "[[networks]]\n[[networks.member]]\n",
            &["23: the top of the file has no section or key \"networks\". Write [[network]]."],
        ),
        example(
            "[[network.member]]\n",
            "[[network.members]]\n",
            &["29: [[network]] has no key \"members\". Write [[network.member]]."],
        ),
    ]);
}

#[test]
fn toml_types() {
    check(&[
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nport = \"4789\"",
            &["5: port = \"4789\" is text, not a whole number. Write port = 4789, without \
                quotes."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nport = 4789.5",
            &["5: port = 4789.5 is a number with a fraction, not a whole number. Write port = \
                4789."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = 4",
            &["4: interface = 4 is a number, not text. Write interface = \"ens4\"."],
        ),
        row(
            "[\"192.168.44.0/24\"]",
            "\"192.168.44.0/24\"",
            &["20: allowed_ips = \"192.168.44.0/24\" is text, not a list. Write allowed_ips = \
                [\"192.168.44.0/24\"]."],
        ),
        row(
            "[\"192.168.44.0/24\"]",
            "[\"192.168.44.0/24\", 24]",
            &["20: 24 in allowed_ips is not text. Write texts in quotes, such as allowed_ips = \
                [\"192.168.44.0/24\"]."],
        ),
        row(
            "endpoint = \"192.0.2.7\"",
            "endpoint = 7",
            &["13: endpoint = 7 is a number, not text or a list of texts. Write endpoint = \
                \"198.51.100.20:4789\"."],
        ),
        row(
            "endpoint = \"192.0.2.7\"",
            "endpoint = [\"192.0.2.7\", 7]",
            &["13: 7 in endpoint is not text. Write texts in quotes, such as endpoint = \
                [\"198.51.100.20:4789\"]."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\nttl = [64]",
            &["5: ttl = [64] is a list, not a whole number or text. Write ttl = 64."],
        ),
        row(
            "interface = \"ens4\"",
            "interface = \"ens4\"\ntos = 1",
            &["5: [underlay] has no key \"tos\". Write dscp."],
        ),
        row(
            "vni = 43",
            "vni = 43\nmaxaddress = 2",
            &["16: [[network]] has no key \"maxaddress\". Write max_stations."],
        ),
        row(
            "endpoint = \"192.0.2.7\"",
            "endpoint = \"192.0.2.7\"\nbytes_per_second = \"1000\"",
            &["14: bytes_per_second = \"1000\" is text, not a whole number. Write \
                bytes_per_second = 1000, without quotes."],
        ),
        row(
            "vni = 43",
            "vni = true",
            &["15: vni = true is true or false, not a whole number. Write vni = 43."],
        ),
    ]);
}

#[test]
fn a_hundred_mistakes_list_the_keys_of_a_section_once() {
    check(&[row(
        "interface = \"ens4\"",
        "interface = \"ens4\"\nlearning = true\nl2miss = true\nmtu = 1400",
        &[
            "5: [underlay] has no key \"learning\". Remove it, or write one of: interface, \
             address, public_address, port, xdp, redirect, tc, source_port, unknown_vni, \
             reserved_bits, udp_checksum, ttl, dscp, tag.",
            "6: [underlay] has no key \"l2miss\". Remove it.",
            "7: [underlay] has no key \"mtu\". That key belongs in [[network]].",
        ],
    )]);
}

#[test]
fn toml_syntax() {
    check(&[
        row(
            "name = \"gcp\"",
            "name = gcp",
            &["2: \"name = gcp\" has text without quotes. Write name = \"gcp\"."],
        ),
        row(
            "name = \"gcp\"",
            "name = \"gcp # the node",
            &["2: \"name = \\\"gcp # the node\" has no closing quote. Write name = \"gcp # the \
               node\"."],
        ),
        row(
            "name = \"gcp\"",
            "name \"gcp\"",
            &["2: \"name \\\"gcp\\\"\" has no = between key and value. Write name = \"gcp\"."],
        ),
        row(
            "name = \"gcp\"",
            "name: \"gcp\"",
            &["2: \"name: \\\"gcp\\\"\" has no = between key and value. Write name = \"gcp\"."],
        ),
        row(
            "name = \"gcp\"",
            "name = “gcp”",
            &["2: \"name = “gcp”\" has typographic quotes. Write name = \"gcp\"."],
        ),
        row("vni = 43", "vni =", &["15: \"vni =\" has no value. Write vni = 43."]),
        row(
            "endpoint = \"192.0.2.7\"",
            "endpoint = 192.0.2.7 # office",
            &["13: \"endpoint = 192.0.2.7\" has text without quotes. Write endpoint = \
               \"192.0.2.7\"."],
        ),
        row(
            "[\"192.168.44.0/24\"]",
            "192.168.44.0/24",
            &["20: \"allowed_ips = 192.168.44.0/24\" has text without quotes. Write allowed_ips \
               = [\"192.168.44.0/24\"]."],
        ),
        row(
            "[underlay]",
            "[underlay",
            &["3: \"[underlay\" is no header of a section. Write [underlay]."],
        ),
        row(
            "[[network]]",
            "[[network]",
            &["14: \"[[network]\" is no header of a section. Write [[network]]."],
        ),
        // Without the closing bracket the parser refuses every line that follows.
        row(
            "addresses = [\"192.168.43.1/24\"]",
            "addresses = [\"192.168.43.1/24\", # our own",
            &["17: \"addresses = [\\\"192.168.43.1/24\\\",\" has no closing bracket. Write \
               addresses = [\"192.168.43.1/24\"]."],
        ),
        row(
            "addresses = [\"192.168.43.1/24\"]",
            "addresses = [\n  \"192.168.43.1/24\",",
            &["17: \"addresses = [\" has no closing bracket. Write ] behind its last value."],
        ),
        row(
            "allowed_ips = [\"192.168.45.0/24\"]",
            "allowed_ips = [\"192.168.45.0/24\"",
            &["23: \"allowed_ips = [\\\"192.168.45.0/24\\\"\" has no closing bracket. Write \
               allowed_ips = [\"192.168.45.0/24\"]."],
        ),
        row(
            "name = \"gcp\"",
            "name = \"gcp\"\nname = \"aws\"",
            &["3: \"name = \\\"aws\\\"\": this key or section stands here a second time (first \
               in line 2). Keep one of them."],
        ),
        row(
            "[[peer]]\nname = \"aws\"",
            "[node]\n[[peer]]\nname = \"aws\"",
            &["7: \"[node]\": this key or section stands here a second time (first in line 1). \
               Keep one of them."],
        ),
        row(
            "[[network]]\nvni = 43\ninterface = \"vxlan43\"\naddresses = [\"192.168.43.1/24\"]\n\
             [[network.member]]\npeer = \"aws\"\nallowed_ips = [\"192.168.44.0/24\"]\n",
            "[[network.member]]\npeer = \"aws\"\nallowed_ips = [\"192.168.44.0/24\"]\n[[network]]\n\
             vni = 43\ninterface = \"vxlan43\"\naddresses = [\"192.168.43.1/24\"]\n",
            &["17: \"[[network]]\" stands below its own part [[network.member]] (line 14). Move \
               that part below \"[[network]]\"."],
        ),
    ]);
}
