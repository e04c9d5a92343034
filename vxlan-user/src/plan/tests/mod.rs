//! Plans for small configurations, entry by entry.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    table::{
        AddressOwner, DSCP_INHERIT, LOCAL, LOCAL_STATIONS, MemberEntry, NetworkAddress,
        NetworkEntry, RateLimit, SourceEntry,
    },
};

use super::{address::family_address, secrets::secret_mac, *};
use crate::config::{self, Config};

mod both_families;
mod learned;

const UNDERLAY: UnderlayFacts =
    UnderlayFacts { ifindex: 2, mtu: 1460, v4: Some(Ipv4Addr::new(10, 0, 0, 2)), v6: None };

struct Counting(u8);

impl Secrets for Counting {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.0 += 1;
        [self.0 | 0xf0; N]
    }
}

fn plan(text: &str) -> Plan {
    plan_after(text, &Inherited::default())
}

fn plan_after(text: &str, inherited: &Inherited) -> Plan {
    let config = config::parse(text, Path::new("test.toml")).expect("valid");
    let underlay = UNDERLAY;
    let overlays: Vec<_> = (0..config.networks.len())
        .map(|n| OverlayFacts {
            ifindex: 10 + n as u32,
            mac: [2, 0, 0, 0, 0, n as u8],
            redirect: None,
        })
        .collect();
    let path = |peer: &config::Peer| {
        let endpoint = peer.endpoint()?;
        let gateway = Ipv4Addr::new(10, 0, 0, 1).into();
        Some(PeerPath { endpoint, gateway, resolved: true, mtu: 1460 })
    };
    let paths: Vec<_> = config.peers.iter().map(path).collect();
    let mut plan = Plan::new(&config, &underlay, &[], inherited, &mut Counting(0));
    plan.set_overlays(&overlays);
    plan.set_paths(&config, &underlay, &[], &paths);
    plan
}

const TWO_CLOUDS: &str = r#"
    [node]
    name = "gcp"
    [underlay]
    interface = "ens4"
    public_address = "203.0.113.10"
    [[peer]]
    name = "aws"
    endpoint = "198.51.100.20"
    private_address = "10.0.0.119"
    [[network]]
    vni = 43
    interface = "vxlan43"
    addresses = ["192.168.43.1/24"]
    [[network.member]]
    peer = "aws"
    allowed_ips = ["192.168.44.0/24"]
    mac = "02:00:00:00:44:01"
"#;

#[test]
fn a_private_address_is_a_source_only_where_the_peer_has_that_right() {
    let seen = |text: &str| {
        let sources = plan(text).senders.sources;
        let seen = sources
            .iter()
            .map(|(key, source)| (key.vni, key.address.first(), source.member, source.flags));
        seen.collect::<Vec<_>>()
    };
    let public = ([0, 0, 43], [198, 51, 100, 20], 0, SourceEntry::REWRITTEN);
    assert_eq!(seen(TWO_CLOUDS), [public]);
    let private = "private_address = \"10.0.0.119\"";
    let with_right = TWO_CLOUDS.replace(private, &format!("{private}\naccept_private = true"));
    assert_eq!(seen(&with_right), [public, ([0, 0, 43], [10, 0, 0, 119], 0, 0)]);
}

#[test]
fn slots_are_for_unattributed_packets_then_peers_then_networks_and_members() {
    let plan = plan(TWO_CLOUDS);
    let slots: Vec<_> =
        plan.names.owners().map(|(_, owner)| (owner.peer.as_deref(), owner.vni)).collect();
    assert_eq!(
        slots,
        [(None, None), (Some("aws"), None), (None, Some(43)), (Some("aws"), Some(43))]
    );
    assert_eq!((plan.peers[0].slot, plan.networks[0].slot, plan.members[0].slot), (1, 2, 3));
    assert_eq!(plan.names.slots.len(), 4);
}

#[test]
fn own_address_and_subnet_are_local_and_allowed_ips_are_the_members() {
    let plan = plan(TWO_CLOUDS);
    let mut routes: Vec<_> = plan
        .routes
        .iter()
        .map(|r| (r.address.address.first(), r.bits - NetworkAddress::FIXED_BITS, r.owner))
        .collect();
    routes.sort_unstable();
    assert_eq!(
        routes,
        [
            ([192, 168, 43, 0], 24, LOCAL),
            ([192, 168, 43, 1], 32, LOCAL),
            ([192, 168, 43, 255], 32, LOCAL),
            ([192, 168, 44, 0], 24, 0),
        ]
    );
}

#[test]
fn secret_macs_are_local_unicast_with_room_for_a_cast() {
    for byte in 0..=255 {
        let mac = secret_mac([byte; 8], byte.into()).octets();
        assert_eq!((mac[0] & 0b11, mac[5] & 0b11), (0b10, 0));
    }
    let secret = [7; 8];
    assert_eq!(secret_mac(secret, 3), secret_mac(secret, 3));
    assert_ne!(secret_mac(secret, 3), secret_mac(secret, 4));
    assert_ne!(secret_mac(secret, 3), secret_mac([8; 8], 3));
}

/// Frames that the previous programs have tagged must be attributed to the same owner by the new
/// programs.
#[test]
fn slots_stay_with_their_owners() {
    let second = TWO_CLOUDS
        .replace("name = \"aws\"", "name = \"b\"")
        .replace("peer = \"aws\"", "peer = \"b\"");
    let both = TWO_CLOUDS.replace(
        "    [[network]]",
        "    [[peer]]\n    name = \"b\"\n    endpoint = \"198.51.100.21\"\n    [[network]]",
    ) + "    [[network.member]]\n    peer = \"b\"\n    allowed_ips = [\"192.168.45.0/24\"]\n";
    let kept = |plan: &Plan| Inherited {
        slots: plan.names.slots.clone(),
        secret: Some(plan.settings.secret),
        tag: None,
    };
    let slots = |plan: &Plan| -> Vec<_> {
        let owners = plan.names.owners();
        let mut all: Vec<_> = owners.map(|(slot, owner)| (owner.clone(), slot)).collect();
        all.sort();
        all
    };
    let first = plan(TWO_CLOUDS);
    let more = plan_after(&both, &kept(&first));
    for of in slots(&first) {
        assert!(slots(&more).contains(&of), "{of:?}");
    }
    assert_eq!(more.tags[0], first.tags[0], "the same secret MAC");
    // The slot of an owner that is gone has no owner in the next plan.
    let less = plan_after(&second, &kept(&more));
    for of in slots(&less) {
        assert!(slots(&more).contains(&of), "{of:?}");
    }
    assert_eq!(less.names.slots.iter().filter(|slot| slot.is_none()).count(), 2);
    // In the plan after that the slot is assigned again.
    let again = plan_after(&both, &kept(&less));
    assert_eq!(again.names.slots.len(), more.names.slots.len());
    assert_eq!(again.names.owners().count(), more.names.owners().count());
}

#[test]
fn a_peer_without_a_path_has_no_interface() {
    let config = config::parse(TWO_CLOUDS, Path::new("test.toml")).expect("valid");
    let underlay = UNDERLAY;
    assert_eq!(peer_entry(&config.peers[0], &underlay, None, None, 1).ifindex, 0);
    let gateway = Ipv4Addr::new(10, 0, 0, 1);
    let endpoint = config.peers[0].endpoint().expect("declared");
    let mut small = PeerPath { endpoint, gateway: gateway.into(), resolved: true, mtu: 1300 };
    let entry = peer_entry(&config.peers[0], &underlay, Some(&small), None, 1);
    assert_eq!((entry.ifindex, entry.mtu), (2, 1300));
    assert_eq!(entry.gateway, Address::ipv4(gateway.octets()));
    small.resolved = false;
    let entry = peer_entry(&config.peers[0], &underlay, Some(&small), None, 1);
    assert_eq!((entry.ifindex, entry.gateway), (2, Address::ZERO));
}

#[test]
fn bum_traffic_goes_to_the_first_64_members() {
    let mut text = TWO_CLOUDS.to_owned();
    for n in 0..70 {
        text = text.replacen(
            "[[network]]",
            &format!("[[peer]]\nname = \"p{n}\"\nendpoint = \"192.0.2.{n}\"\n[[network]]"),
            1,
        );
        text +=
            &format!("[[network.member]]\npeer = \"p{n}\"\nallowed_ips = [\"10.1.{n}.0/24\"]\n");
    }
    let flood_list = plan(&text).flood_lists[0];
    assert_eq!(flood_list.len, 64);
    assert_eq!(flood_list.members.to_vec(), (0..64).collect::<Vec<u32>>());
}
