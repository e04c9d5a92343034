//! Mistakes about probes, learned endpoints, and peers that are other programs, and the whole text
//! of the errors.

use super::{EXAMPLE, LEARNING, Row, check};

const fn learning(from: &'static str, to: &'static str, errors: &'static [&'static str]) -> Row {
    Row { base: LEARNING, from, to, errors }
}

#[test]
fn numbers_of_probes() {
    check(&[
        learning(
            "vni = 99",
            "vni = 16777216",
            &["7: vni = 16777216 is not a VNI. Write a number from 0 to 16777215."],
        ),
        learning(
            "vni = 99",
            "vni = 43",
            &["22: vni = 43 is the VNI of probes (line 7). Give the network its own VNI, or \
                leave vni out of [probe]."],
        ),
        learning(
            "vni = 43",
            "vni = 16777215",
            &["22: vni = 16777215 is reserved for probes. Write a number from 0 to 16777214."],
        ),
        learning(
            "interval = 2",
            "interval = 0",
            &["8: interval = 0 is not a number of seconds that is of use. Write a number from \
                1 to 3600."],
        ),
        learning(
            "keepalive = 30",
            "keepalive = 3601",
            &["9: keepalive = 3601 is not a number of seconds that is of use. Write a number \
                from 1 to 3600."],
        ),
    ]);
}

#[test]
fn learned_endpoints() {
    check(&[
        learning(
            "key_file = \"office.key\"\n",
            "",
            &["12: endpoint = \"learn\" needs a key_file: only probes that prove the key say \
                where the peer is. Write one in this [[peer]], such as key_file = \
                \"/etc/vxlan/aws.key\"."],
        ),
        learning(
            "source_port = \"fixed\"",
            "source_port = \"flow\"",
            &["12: endpoint = \"learn\" does not go with source_port = \"flow\" of [underlay] \
                (line 5): the NAPT in front of the peer lets in only what comes from the port \
                that it has seen. Write source_port = \"fixed\" there."],
        ),
        learning(
            "source_port = \"fixed\"",
            "ttl = 64",
            &["12: endpoint = \"learn\" does not go with source_port = \"flow\" of [underlay]: \
                the NAPT in front of the peer lets in only what comes from the port that it \
                has seen. Write source_port = \"fixed\" there."],
        ),
        learning(
            "\"learn\"",
            "\"learn\"\nsource_port = \"any\"",
            &["13: source_port = \"any\" is not for a peer whose endpoint is learned: a NAPT \
                would give each of its ports another one. Write source_port = \"fixed\", or \
                leave it out."],
        ),
        learning(
            "\"learn\"",
            "[\"192.0.2.1\", \"learn\"]",
            &["12: \"learn\" in endpoint stands beside another endpoint. Write endpoint = \
                \"learn\" and nothing else, or addresses alone."],
        ),
        // One mistake is not two.
        learning(
            "\"office.key\"",
            "\"\"",
            &["14: key_file = \"\" is empty. Remove it, or write key_file = \
                \"/etc/vxlan/aws.key\"."],
        ),
    ]);
}

#[test]
fn one_key_for_two() {
    check(&[learning(
        "endpoint = \"192.0.2.20\"",
        "endpoint = \"192.0.2.20\"\nkey_file = \"office.key\"",
        &["18: key_file \"office.key\" of peer \"kernel\" is that of peer \"office\" (line 14): \
            either could speak for the other. Give each peer a key of its own."],
    )]);
}

#[test]
fn ports_and_checksums_of_a_peer() {
    check(&[
        Row {
            base: EXAMPLE,
            from: "source_port = \"flow\"\nkey",
            to: "source_ports = \"1-2\"\nkey",
            errors: &[
                "20: source_ports = \"1-2\" says nothing of a peer with source_port = \"flow\". \
                     Write source_port = \"any\", or leave source_ports out.",
            ],
        },
        learning(
            "40000-49999",
            "40000",
            &["19: source_ports = \"40000\" is not a range of ports. Write the first and the \
                last, such as source_ports = \"32768-60999\"."],
        ),
        learning(
            "40000-49999",
            "0-49999",
            &["19: source_ports = \"0-49999\" has an end that is not 1 to 65535. Write the \
                first and the last, such as source_ports = \"32768-60999\"."],
        ),
        learning(
            "40000-49999",
            "40000-65536",
            &["19: source_ports = \"40000-65536\" has an end that is not 1 to 65535. Write the \
                first and the last, such as source_ports = \"32768-60999\"."],
        ),
        learning(
            "40000-49999",
            "+1-2",
            &["19: source_ports = \"+1-2\" has an end that is not 1 to 65535. Write the first \
                and the last, such as source_ports = \"32768-60999\"."],
        ),
        learning(
            "40000-49999",
            "49999-40000",
            &["19: source_ports = \"49999-40000\" ends before it begins. Write source_ports = \
                \"40000-49999\"."],
        ),
        learning(
            "udp_checksum = \"zero\"",
            "udp_checksum = \"none\"",
            &["20: udp_checksum = \"none\" is not a known word. Write one of \"zero\", \"any\"."],
        ),
    ]);
}

#[test]
fn addresses_to_ask() {
    check(&[
        learning(
            "\"10.43.2.1\"",
            "\"10.43.2.0/24\"",
            &["31: probe_address = \"10.43.2.0/24\" has a prefix length. Write probe_address = \
                \"10.43.2.0\"."],
        ),
        learning(
            "\"10.43.2.1\"",
            "\"224.0.0.1\"",
            &["31: probe_address = \"224.0.0.1\" is a multicast address. Write the address of \
                a host behind the peer."],
        ),
        learning(
            "\"10.43.2.1\"",
            "\"2001:db8::1\"",
            &["31: probe_address = \"2001:db8::1\" is in none of the allowed_ips of the \
                member. Write that of a host behind \"kernel\", or leave it out."],
        ),
        learning(
            "\"10.43.2.1\"",
            "\"10.43.1.1\"",
            &["31: probe_address = \"10.43.1.1\" is an address of another member. Write that \
                of a host behind \"kernel\", or leave it out."],
        ),
        learning(
            "\"10.43.2.1\"",
            "\"10.43.0.1\"",
            &["31: probe_address = \"10.43.0.1\" is this host's own address. Write that of a \
                host behind \"kernel\", or leave it out."],
        ),
    ]);
}
