//! Prefixes on the wrong side or given twice, and the whole text of the errors.

use super::{TWO_PEERS, check, edited, read, row};

#[test]
fn allowed_ips() {
    check(&[
        row(
            "\"192.168.45.0/24\"",
            "\"192.168.45.1/24\"",
            &["23: \"192.168.45.1/24\" in allowed_ips has host bits set. Write \
                \"192.168.45.0/24\", or \"192.168.45.1/32\" for the one host."],
        ),
        row(
            "\"192.168.45.0/24\"",
            "\"192.168.45.1\"",
            &["23: \"192.168.45.1\" in allowed_ips has no prefix length. Write \
                \"192.168.45.1/32\"."],
        ),
        row(
            "\"192.168.45.0/24\"",
            "\"192.168.45.0/33\"",
            &["23: \"192.168.45.0/33\" in allowed_ips is not an IP prefix. Write one such as \
                \"192.168.44.0/24\"."],
        ),
        row(
            "\"192.168.45.0/24\"",
            "\"192.168.44.0/24\"",
            &["23: \"192.168.44.0/24\" in allowed_ips of member \"office\" belongs to member \
                \"aws\" already (line 20). Give every address to one member only."],
        ),
        row(
            "\"192.168.45.0/24\"",
            "\"192.168.44.128/25\"",
            &["23: \"192.168.44.128/25\" in allowed_ips of member \"office\" overlaps \
                \"192.168.44.0/24\" of member \"aws\" (line 20). Give every address to one \
                member only."],
        ),
        row(
            "\"192.168.45.0/24\"",
            "\"192.168.0.0/16\"",
            &["23: \"192.168.0.0/16\" in allowed_ips of member \"office\" overlaps \
                \"192.168.44.0/24\" of member \"aws\" (line 20). Give every address to one \
                member only."],
        ),
        row(
            "\"192.168.45.0/24\"",
            "\"192.168.45.0/24\", \"192.168.45.0/24\"",
            &["23: \"192.168.45.0/24\" in allowed_ips of member \"office\" is given twice \
                (line 23). Remove one of the two."],
        ),
        row(
            "\"192.168.45.0/24\"",
            "\"192.168.43.1/32\"",
            &["23: \"192.168.43.1/32\" in allowed_ips of member \"office\" is this host's own \
                address (line 17). Write the addresses behind the peer."],
        ),
        row(
            "\"192.168.45.0/24\"",
            "\"2001:db8:45::1/64\"",
            &["23: \"2001:db8:45::1/64\" in allowed_ips has host bits set. Write \
                \"2001:db8:45::/64\", or \"2001:db8:45::1/128\" for the one host."],
        ),
    ]);
}

#[test]
fn this_host() {
    check(&[
        row(
            "addresses = [\"192.168.43.1/24\"]\n",
            "",
            &["14: [[network]] has neither addresses nor local_ips, so peers could reach \
                nothing here. Write one, such as addresses = [\"192.168.43.1/24\"]."],
        ),
        row(
            "[\"192.168.43.1/24\"]",
            "[]",
            &["14: [[network]] has neither addresses nor local_ips, so peers could reach \
                nothing here. Write one, such as addresses = [\"192.168.43.1/24\"]."],
        ),
        row(
            "\"192.168.43.1/24\"",
            "\"192.168.43.1\"",
            &["17: \"192.168.43.1\" in addresses has no prefix length. Write that of the \
                network, such as \"192.168.43.1/24\"."],
        ),
        row(
            "\"192.168.43.1/24\"",
            "\"192.168.43.0/24\"",
            &["17: \"192.168.43.0/24\" in addresses is a network, not a host in it. Write a \
                host of it, such as \"192.168.43.1/24\"."],
        ),
        row(
            "\"192.168.43.1/24\"",
            "\"192.168.43.255/24\"",
            &["17: \"192.168.43.255/24\" in addresses is the broadcast address of its network. \
                Write a host of it, such as \"192.168.43.1/24\"."],
        ),
        row(
            "\"192.168.43.1/24\"",
            "\"192.168.43.1/0\"",
            &["17: \"192.168.43.1/0\" in addresses has prefix length 0. Write the length of \
                the overlay network."],
        ),
        row(
            "\"192.168.43.1/24\"",
            "\"224.0.0.1/24\"",
            &["17: \"224.0.0.1/24\" in addresses is a multicast address. Write a unicast \
                address of the overlay network."],
        ),
        row(
            "\"192.168.43.1/24\"",
            "\"192.168.43.1/24\", \"192.168.43.1/16\"",
            &["17: \"192.168.43.1/16\" in addresses repeats an address (line 17). Remove one \
                of the two."],
        ),
        row(
            "vni = 43",
            "vni = 43\nlocal_ips = [\"172.16.0.0/12\"]",
            &["18: \"192.168.43.1/24\" in addresses is in none of local_ips, so no peer could \
                reach this host, nor resolve its address. Add \"192.168.43.0/24\" or \
                \"192.168.43.1/32\" to local_ips."],
        ),
        row(
            "vni = 43",
            "vni = 43\nlocal_ips = [\"192.168.43.0/24\", \"192.168.43.0/24\"]",
            &["16: \"192.168.43.0/24\" in local_ips is given twice. Remove one of the two."],
        ),
        row(
            "vni = 43",
            "vni = 43\nlocal_ips = [\"192.168.43.0/24\", \"192.168.44.0/24\"]",
            &["16: \"192.168.44.0/24\" in local_ips is also in allowed_ips of member \"aws\" \
                (line 21). Keep it on the side where its hosts are."],
        ),
        row(
            "vni = 43",
            "vni = 43\nlocal_ips = []",
            &["16: local_ips = [] lets peers reach nothing here. Write the prefixes behind \
                this host, or leave local_ips out for the networks of addresses."],
        ),
        row(
            "\"192.168.43.1/24\"",
            "\"192.168.43.1/24\", \"2001:db8:43::1/64\"]\nmtu = 1279\nlocal_ips = \
            [\"192.168.43.0/24\", \"2001:db8:43::/64\"",
            &["18: mtu = 1279 is not an MTU that IPv6 works with, and this network has IPv6. \
                Write a number from 1280 to 65535."],
        ),
    ]);
}

/// A peer cannot have what each host or link has for itself, nor what all members get.
#[test]
fn allowed_ips_of_no_other_host() {
    const LINK: &str = "link-local addresses, which each link has for itself";
    const GROUPS: &str = "multicast groups, which all members get anyway";
    const METADATA: &str = "link-local addresses, with the metadata service of clouds among them";
    for (prefix, range) in [
        ("0.0.0.0/8", "addresses of no host"),
        ("0.1.0.0/16", "addresses of no host"),
        ("127.0.0.0/8", "loopback addresses, which each host has for itself"),
        ("127.0.0.1/32", "loopback addresses, which each host has for itself"),
        ("224.0.0.0/4", GROUPS),
        ("239.1.2.0/24", GROUPS),
        ("255.255.255.255/32", "the broadcast address, which all members get anyway"),
        ("169.254.0.0/16", METADATA),
        ("169.254.169.254/32", METADATA),
        ("::/128", "addresses of no other host"),
        ("::1/128", "addresses of no other host"),
        ("fe80::/10", LINK),
        ("fe80::/64", LINK),
        ("ff00::/8", GROUPS),
    ] {
        let text = edited(TWO_PEERS, "192.168.45.0/24", prefix);
        let refused = read(&text).expect_err(prefix).to_string();
        assert_eq!(
            refused,
            format!(
                "vxlan.toml:23: \"{prefix}\" in allowed_ips holds {range}. Write the prefixes \
                 behind the peer."
            )
        );
    }
    for prefix in ["0.0.0.0/0", "::/0", "64.0.0.0/2", "169.254.10.0/30", "240.0.0.0/8", "fc00::/7"]
    {
        let text = edited(TWO_PEERS, "192.168.45.0/24", prefix);
        assert!(read(&text).is_ok(), "{prefix}");
    }
}
