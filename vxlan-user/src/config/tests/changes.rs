//! The words in which a reload tells what it changed.

use super::super::Changes;
use super::{TWO_PEERS, edited, read};

const OFFICE: &str = "[[peer]]\nname = \"office\"\nendpoint = \"192.0.2.7\"\n";
const OFFICE_MEMBER: &str =
    "[[network.member]]\npeer = \"office\"\nallowed_ips = [\"192.168.45.0/24\"]\n";

#[test]
fn changes_are_told_by_section_and_key() {
    for (from, to, wanted) in [
        ("[node]", "# a comment\n[node]", "nothing has changed"),
        ("name = \"gcp\"", "name = \"west\"", "[node]: name"),
        ("interface = \"ens4\"", "interface = \"ens5\"\nttl = 9", "[underlay]: interface, ttl"),
        ("[underlay]", "[probe]\ninterval = 9\n[underlay]", "[probe]: interval"),
        (
            "endpoint = \"192.0.2.7\"",
            "endpoint = \"192.0.2.8\"\nbytes_per_second = 9000000",
            "peer office: endpoint, bytes_per_second",
        ),
        ("vni = 43", "vni = 44", "network 44 added; network 43 removed"),
        ("\"192.168.45.0/24\"", "\"192.168.46.0/24\"", "network 43: members"),
        (
            "[[network]]",
            "[[peer]]\nname = \"z\"\nendpoint = \"192.0.2.9\"\n[[network]]\nvni = 9\n\
             interface = \"v9\"\naddresses = [\"10.9.0.1/24\"]\n[[network.member]]\npeer = \"z\"\n\
             allowed_ips = [\"10.9.1.0/24\"]\n[[network]]",
            "peer z added; network 9 added",
        ),
    ] {
        let before = read(TWO_PEERS).unwrap();
        let now = read(&edited(TWO_PEERS, from, to)).unwrap();
        assert_eq!(Changes::between(&before, &now).to_string(), wanted, "{to}");
    }
}

#[test]
fn the_order_of_peers_and_members_is_no_change() {
    let without = edited(TWO_PEERS, OFFICE, "");
    let turned = edited(&without, "[[peer]]\nname = \"aws\"", "PLACE[[peer]]\nname = \"aws\"")
        .replacen("PLACE", OFFICE, 1);
    let (before, now) = (read(TWO_PEERS).unwrap(), read(&turned).unwrap());
    assert_ne!(before.peers, now.peers);
    assert_eq!(Changes::between(&before, &now).to_string(), "nothing has changed");

    let smaller = edited(&without, OFFICE_MEMBER, "");
    let now = read(&smaller).unwrap();
    let changes = Changes::between(&before, &now).to_string();
    assert_eq!(changes, "peer office removed; network 43: members");
}

#[test]
fn long_lists_are_cut() {
    let text = |peers: std::ops::Range<u32>| {
        let mut text = "[node]\nname = \"gcp\"\n[underlay]\ninterface = \"ens4\"\n".to_owned();
        for peer in peers.clone() {
            let at = format!("198.51.100.{peer}");
            text += &format!("[[peer]]\nname = \"p{peer}\"\nendpoint = \"{at}\"\n");
        }
        text += "[[network]]\nvni = 43\ninterface = \"vxlan43\"\naddresses = [\"10.0.0.1/24\"]\n";
        for peer in peers {
            text += &format!(
                "[[network.member]]\npeer = \"p{peer}\"\nallowed_ips = [\"10.1.{peer}.0/24\"]\n"
            );
        }
        text
    };
    let (before, now) = (read(&text(1..3)).unwrap(), read(&text(1..53)).unwrap());
    let changes = Changes::between(&before, &now).to_string();
    assert!(changes.starts_with("peer p3 added; peer p4 added; "), "{changes}");
    assert!(changes.ends_with("; and 31 more"), "{changes}");
}
