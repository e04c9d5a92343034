//! Overlay devices: creation, adoption, refusal, removal.

use std::process::Command;

use serde_json::Value;
use vxlan_user::host::{Host, HostError, HostEvent, Made, OverlaySpec, RouteSpec};

use crate::namespace::{
    Elsewhere, addresses, eventually, exists, ifindex, ip, ip_json, isolated, link, mac_text, net,
    wait_until_running,
};

const MAC: [u8; 6] = [2, 0, 0, 0, 0x43, 1];

fn spec(prefixes: &[&str]) -> OverlaySpec {
    OverlaySpec {
        name: "vxlan43".into(),
        hidden_name: "vxlan43p".into(),
        vni: 43,
        mac: MAC,
        mtu: 1410,
        addresses: prefixes.iter().map(|text| net(text)).collect(),
        ipv6: prefixes.iter().any(|text| text.contains(':')),
        ..OverlaySpec::default()
    }
}

/// The next spec after one that was carried out: what is on record.
fn after(before: &OverlaySpec) -> Made {
    Made {
        addresses: before.addresses.clone(),
        routes: before.routes.iter().map(|route| route.prefix).collect(),
        proxy_arp: before.proxy_arp,
        ..Made::default()
    }
}

fn has_link_local(name: &str) -> bool {
    addresses(name).iter().any(|address| address.starts_with("fe80:"))
}

fn is_up(link: &Value) -> bool {
    link["flags"].as_array().expect("flags").iter().any(|flag| flag == "UP")
}

/// An alias has spaces in it, which `ip` of this crate splits at.
fn set_alias(name: &str, alias: &str) -> bool {
    let set = Command::new("ip").args(["link", "set", name, "alias", alias]).status();
    set.expect("iproute2").success()
}

/// Everything that `ip` tells of all interfaces and routes, less the counters.
fn everything() -> Vec<Vec<Value>> {
    ["-d link show", "address show", "route show table all", "-6 route show table all"]
        .map(ip_json)
        .into()
}

#[test]
fn creates_the_pair_as_asked() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let wanted = spec(&["192.0.2.1/24", "198.51.100.1/32", "192.0.2.7/24"]);
        let overlay = host.create_overlay(&wanted).await.expect("an overlay");

        assert_eq!(overlay.mac, MAC);
        wait_until_running("vxlan43");
        wait_until_running("vxlan43p");
        let (outer, hidden) = (link("vxlan43"), link("vxlan43p"));
        assert_eq!(outer["ifindex"], overlay.ifindex);
        assert_eq!(hidden["ifindex"], overlay.hidden_ifindex);
        assert_eq!(outer["link"], "vxlan43p");
        assert_eq!(outer["address"], mac_text(MAC));
        assert_eq!(outer["ifalias"], "vxlan overlay VNI 43");
        for end in [&outer, &hidden] {
            assert_eq!(end["mtu"], 1410, "{end}");
            assert_eq!(end["linkinfo"]["info_kind"], "veth", "{end}");
            assert_eq!(end["inet6_addr_gen_mode"], "none", "{end}");
            assert!(is_up(end), "{end}");
        }
        // The kernel puts the secondary one behind all primary ones.
        assert_eq!(addresses("vxlan43"), ["192.0.2.1/24", "198.51.100.1/32", "192.0.2.7/24"]);
        let shown = ip_json("address show dev vxlan43");
        for info in shown[0]["addr_info"].as_array().expect("addresses") {
            assert_eq!(info["scope"], "global", "{info}");
            assert!(info["broadcast"].is_null(), "{info}");
            assert!(info["noprefixroute"].is_null(), "{info}");
        }
        assert!(!ip_json("route show 192.0.2.0/24 dev vxlan43").is_empty());
        assert_eq!(addresses("vxlan43p"), [""; 0]);
    });
}

/// udev keeps its hands off an address that user space has chosen (NET_ADDR_SET, 3), and gives
/// another one to interfaces with one of the kernel's (NET_ADDR_RANDOM, 1).
#[test]
fn the_address_of_a_pair_is_nobody_else_s_to_change() {
    isolated(async || {
        let host = Host::new().expect("a host");
        host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("an overlay");
        let read = "mount -t sysfs none /sys && cat /sys/class/net/vxlan43/addr_assign_type";
        let out = Command::new("unshare").args(["--mount", "sh", "-c", read]).output();
        let out = out.expect("util-linux");
        assert_eq!(String::from_utf8_lossy(&out.stdout), "3\n", "{out:?}");
    });
}

#[test]
fn an_ipv4_overlay_says_nothing_in_ipv6() {
    isolated(async || {
        let host = Host::new().expect("a host");
        host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("an overlay");

        for name in ["vxlan43", "vxlan43p"] {
            wait_until_running(name);
            let shown = ip_json(&format!("-6 address show dev {name}"));
            assert!(shown.iter().all(|entry| entry["addr_info"].is_null()), "{shown:?}");
            // A solicitation or a router's call would have been sent on the way up.
            let counters = ip_json(&format!("-s link show dev {name}"));
            assert_eq!(counters[0]["stats64"]["tx"]["packets"], 0, "{name}");
        }
    });
}

#[test]
fn ipv6_addresses_are_usable_at_once() {
    isolated(async || {
        let host = Host::new().expect("a host");
        host.create_overlay(&spec(&["192.0.2.1/24", "2001:db8:43::1/64"])).await.expect("overlay");

        let shown = ip_json("-6 address show dev vxlan43");
        let infos = shown[0]["addr_info"].as_array().expect("addresses");
        let global = infos.iter().find(|info| info["local"] == "2001:db8:43::1").expect("ours");
        assert_eq!(global["prefixlen"], 64);
        assert_eq!(global["nodad"], true, "{global}");
        assert!(global["tentative"].is_null(), "{global}");
        eventually("a link-local address", || has_link_local("vxlan43"));
        assert_eq!(link("vxlan43p")["inet6_addr_gen_mode"], "none");
    });
}

#[test]
fn adopts_its_own_and_brings_it_to_what_is_asked() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let first = spec(&["192.0.2.1/24", "192.0.2.2/24", "198.51.100.1/24"]);
        let before = host.create_overlay(&first).await.expect("an overlay");

        let again = Host::new().expect("a second host");
        let mut wanted = spec(&["203.0.113.1/24", "192.0.2.2/24", "2001:db8:43::1/64"]);
        wanted.mtu = 1380;
        wanted.mac = [2, 0, 0, 0, 0x43, 9];
        wanted.made = after(&first);
        let now = again.create_overlay(&wanted).await.expect("adoption");

        assert_eq!((now.ifindex, now.hidden_ifindex), (before.ifindex, before.hidden_ifindex));
        assert_eq!(now.mac, MAC, "the old one stays");
        assert_eq!(link("vxlan43")["address"], mac_text(MAC));
        for name in ["vxlan43", "vxlan43p"] {
            assert_eq!(link(name)["mtu"], 1380, "{name}");
        }
        eventually("a link-local address", || has_link_local("vxlan43"));
        let shown = addresses("vxlan43");
        assert_eq!(shown[..3], ["203.0.113.1/24", "192.0.2.2/24", "2001:db8:43::1/64"]);
        assert_eq!(shown.len(), 4, "{shown:?}");

        // And back to IPv4 only: every trace of IPv6 goes.
        let back = OverlaySpec { made: after(&wanted), ..spec(&["203.0.113.1/24"]) };
        again.create_overlay(&back).await.expect("a second adoption");
        assert_eq!(addresses("vxlan43"), ["203.0.113.1/24"]);
    });
}

#[test]
fn adoption_puts_the_addresses_in_order() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let order = ["192.0.2.1/24", "198.51.100.1/24", "203.0.113.1/24"];
        let mut last = spec(&order);
        host.create_overlay(&last).await.expect("an overlay");
        assert_eq!(addresses("vxlan43"), order);
        // The first is the one that is sent from.
        for order in [
            ["203.0.113.1/24", "192.0.2.1/24", "198.51.100.1/24"],
            ["203.0.113.1/24", "192.0.2.9/24", "198.51.100.1/24"],
        ] {
            last = OverlaySpec { made: after(&last), ..spec(&order) };
            host.create_overlay(&last).await.expect("adoption");
            assert_eq!(addresses("vxlan43"), order);
        }
    });
}

/// As a run leaves it that is killed right after it made the pair, or after it marked one end.
#[test]
fn adopts_a_pair_that_was_not_finished() {
    for marked in [false, true] {
        isolated(async move || {
            // 0x7600002b and 0x7700002b.
            ip("link add vxlan43 group 1979711531 type veth peer name vxlan43p group 1996488747");
            assert!(!marked || set_alias("vxlan43", "vxlan overlay VNI 43"));
            let host = Host::new().expect("a host");
            let view = host.view_links().await.expect("a view");
            for name in ["vxlan43", "vxlan43p"] {
                let made = Made::default();
                view.check_name(name, 43, &made, false).expect("ours");
                view.check_name(name, 44, &made, false).expect_err("of another network");
                view.check_name(name, 44, &made, true).expect("ours all the same");
            }
            host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("adoption");
            assert_eq!(addresses("vxlan43"), ["192.0.2.1/24"]);
            assert_eq!(link("vxlan43")["ifalias"], "vxlan overlay VNI 43");
            assert_eq!(link("vxlan43p")["ifalias"], "vxlan hidden port VNI 43");
            assert!(is_up(&link("vxlan43")) && is_up(&link("vxlan43p")));
        });
    }
}

#[test]
fn the_group_tells_whose_it_is_and_the_alias_does_not() {
    isolated(async || {
        let host = Host::new().expect("a host");
        host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("an overlay");
        for (name, group) in [("vxlan43", "1979711531"), ("vxlan43p", "1996488747")] {
            assert_eq!(link(name)["group"], group);
            assert!(set_alias(name, "the uplink"));
        }
        host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("still ours");
        assert_eq!(link("vxlan43")["ifalias"], "the uplink");
        // Who has only the alias is somebody else.
        ip("link add vxlan44 type veth peer name vxlan44p");
        assert!(set_alias("vxlan44", "vxlan overlay VNI 44"));
        assert!(host.delete_pairs(&[44]).await.expect("nothing to do").is_empty());
        assert!(exists("vxlan44"));
        assert_eq!(host.delete_pairs(&[43]).await.expect("ours"), [43]);
        assert!(!exists("vxlan43") && !exists("vxlan43p"));
    });
}

/// Before Linux 6.2 the kernel renames only an interface that is down.
fn rename(from: &str, to: &str) {
    ip(&format!("link set {from} down"));
    ip(&format!("link set {from} name {to}"));
}

#[test]
fn a_renamed_pair_and_half_a_pair_are_ours() {
    isolated(async || {
        let host = Host::new().expect("a host");
        host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("an overlay");
        rename("vxlan43", "renamed");
        rename("vxlan43p", "hidden");
        let again = host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("its names again");
        assert_eq!(again.ifindex, ifindex("vxlan43"));
        rename("vxlan43", "renamed");
        assert_eq!(host.delete_pairs(&[43]).await.expect("ours"), [43]);
        assert!(!exists("renamed") && !exists("vxlan43p"));

        // One end in another namespace: it goes with the end that is here.
        for moved in ["vxlan43", "vxlan43p"] {
            host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("an overlay");
            let other = Elsewhere::new();
            ip(&format!("link set {moved} netns {}", other.id));
            let made = host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("made anew");
            assert_eq!(made.ifindex, ifindex("vxlan43"), "{moved}");
            other.run(move || assert!(!exists(moved), "{moved}"));
            assert_eq!(host.delete_pairs(&[43]).await.expect("ours"), [43], "{moved}");
        }
    });
}

/// With routes and addresses of somebody else on it.
#[test]
fn a_foreign_secondary_address_survives_a_new_primary_one() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let first = spec(&["192.0.2.1/24"]);
        host.create_overlay(&first).await.expect("an overlay");
        ip("address add 192.0.2.100/24 dev vxlan43");
        let second = OverlaySpec { made: after(&first), ..spec(&["192.0.2.2/24"]) };
        host.create_overlay(&second).await.expect("adoption");
        assert_eq!(addresses("vxlan43"), ["192.0.2.2/24", "192.0.2.100/24"]);
    });
}

#[test]
fn many_pairs_go_at_once() {
    isolated(async || {
        let host = Host::new().expect("a host");
        ip("link add theirs type veth peer name theirsp");
        let vnis: Vec<u32> = (1..=20).collect();
        for vni in &vnis {
            let mut wanted = spec(&[]);
            wanted.vni = *vni;
            (wanted.name, wanted.hidden_name) = (format!("n{vni}"), format!("n{vni}p"));
            host.create_overlay(&wanted).await.expect("an overlay");
        }
        assert_eq!(host.delete_pairs(&vnis[..19]).await.expect("ours"), vnis[..19]);
        assert!(exists("n20") && exists("theirs"));
        assert!((1..20).all(|vni| !exists(&format!("n{vni}")) && !exists(&format!("n{vni}p"))));
        assert!(host.delete_pairs(&vnis[..19]).await.expect("gone already").is_empty());
    });
}

#[test]
fn does_not_adopt_across_pairs() {
    isolated(async || {
        ip("link add vxlan43 type veth peer name elsewhere");
        ip("link add vxlan43p type veth peer name another");
        assert!(set_alias("vxlan43", "vxlan overlay VNI 43"));
        let before = everything();
        let host = Host::new().expect("a host");
        let refused = host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect_err("not a pair");
        assert!(refused.to_string().contains("interface vxlan43"), "{refused}");
        assert_eq!(everything(), before);
    });
}

#[test]
fn adoption_of_what_is_right_already_changes_nothing() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let mut wanted = spec(&["192.0.2.1/24", "2001:db8:43::1/64", "2001:db8:43::2/64"]);
        wanted.routes = vec![RouteSpec { prefix: net("198.51.100.0/24"), source: None, mtu: None }];
        host.create_overlay(&wanted).await.expect("an overlay");
        eventually("a link-local address", || has_link_local("vxlan43"));
        let of_ours = || (addresses("vxlan43"), ip_json("route show"), link("vxlan43"));
        let before = of_ours();

        host.create_overlay(&wanted).await.expect("adoption");

        assert_eq!(of_ours(), before);
    });
}

#[test]
fn refuses_foreign_devices_and_leaves_them_alone() {
    let foreign = [
        // A veth pair of somebody else.
        "link add vxlan43 type veth peer name vxlan43p",
        // Not even a veth.
        "link add vxlan43 type bridge",
        // Only the hidden port's name is taken.
        "link add vxlan43p type bridge",
    ];
    for command in foreign {
        isolated(async move || {
            ip(command);
            let before = everything();

            let host = Host::new().expect("a host");
            let refused = host.create_overlay(&spec(&["192.0.2.1/24"])).await;

            let message = refused.as_ref().expect_err(command).to_string();
            assert!(matches!(refused, Err(HostError::ForeignInterface { .. })), "{message}");
            assert!(message.contains("interface vxlan43"), "{message}");
            assert!(message.contains("ip link delete"), "{message}");
            assert_eq!(everything(), before, "{command}");
            assert!(host.delete_pairs(&[43]).await.expect("nothing to do").is_empty());
            assert_eq!(everything(), before, "{command}");
        });
    }
}

#[test]
fn refuses_the_overlay_of_another_network() {
    isolated(async || {
        let host = Host::new().expect("a host");
        host.create_overlay(&spec(&["192.0.2.1/24"])).await.expect("an overlay");
        wait_until_running("vxlan43");
        wait_until_running("vxlan43p");
        let before = everything();

        let mut other = spec(&["198.51.100.1/24"]);
        other.vni = 44;
        let refused = host.create_overlay(&other).await.expect_err("another VNI");

        assert!(refused.to_string().contains("overlay interface of network 43"), "{refused}");
        assert_eq!(everything(), before);
    });
}

#[test]
fn a_creation_that_fails_half_way_leaves_nothing() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let before = everything();

        // The kernel takes the pair, the first address, and then not the loopback's.
        let failed = host.create_overlay(&spec(&["192.0.2.1/24", "::1/128"])).await;

        let message = failed.expect_err("::1 belongs to lo").to_string();
        assert!(message.contains("::1/128") && message.contains("vxlan43"), "{message}");
        assert!(!exists("vxlan43") && !exists("vxlan43p"));
        assert_eq!(everything(), before);
    });
}

#[test]
fn refuses_impossible_wishes_before_it_touches_anything() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let base = spec(&["192.0.2.1/24"]);
        let wishes = [
            (OverlaySpec { name: "sixteen-letters-".into(), ..base.clone() }, "15 bytes"),
            (OverlaySpec { name: "a/b".into(), ..base.clone() }, "without space"),
            (OverlaySpec { hidden_name: "vxlan43".into(), ..base.clone() }, "same name"),
            (OverlaySpec { ipv6: false, ..spec(&["2001:db8::1/64"]) }, "IPv4 only"),
            (OverlaySpec { mtu: 1279, ..spec(&["2001:db8::1/64"]) }, "at least 1280"),
            (spec(&["192.0.2.1/24", "192.0.2.1/32"]), "given twice"),
        ];
        for (wish, hint) in wishes {
            let refused = host.create_overlay(&wish).await.expect_err(hint);
            assert!(matches!(refused, HostError::InvalidSpec { .. }), "{refused}");
            assert!(refused.to_string().contains(hint), "{refused}");
        }
        // What only the kernel can know comes with its reason.
        let refused = host.create_overlay(&OverlaySpec { mtu: 70_000, ..base }).await;
        let message = refused.expect_err("veth takes up to 65535").to_string();
        assert!(message.contains("MTU 70000"), "{message}");
        assert!(!exists("vxlan43"));
    });
}

fn accept_local(name: &str) -> String {
    setting(name, "accept_local")
}

/// The file of a setting; names may have dots in them.
fn setting(name: &str, key: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/conf/{name}/{key}");
    std::fs::read_to_string(path).expect("a setting").trim().to_owned()
}

fn proxy_delay(name: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/neigh/{name}/proxy_delay");
    std::fs::read_to_string(path).expect("a setting").trim().to_owned()
}

#[test]
fn answers_arp_for_others_where_it_is_asked_to() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let others = ["forwarding", "rp_filter", "arp_notify"];
        let mut wanted = spec(&["192.0.2.1/24"]);
        host.create_overlay(&wanted).await.expect("an overlay");
        let before = others.map(|key| setting("vxlan43", key));
        assert_eq!(setting("vxlan43", "proxy_arp"), "0");
        wanted.proxy_arp = true;
        host.create_overlay(&wanted).await.expect("adoption");
        assert_eq!(setting("vxlan43", "proxy_arp"), "1");
        assert_eq!(others.map(|key| setting("vxlan43", key)), before);
        assert_eq!(proxy_delay("vxlan43"), "0");
        wanted.made = after(&wanted);
        wanted.proxy_arp = false;
        host.create_overlay(&wanted).await.expect("adoption");
        assert_eq!(setting("vxlan43", "proxy_arp"), "0", "it must not go on");
        std::fs::write("/proc/sys/net/ipv4/conf/vxlan43/proxy_arp", "1").expect("an operator");
        wanted.made = after(&wanted);
        host.create_overlay(&wanted).await.expect("adoption");
        assert_eq!(setting("vxlan43", "proxy_arp"), "1", "it is somebody else's");
    });
}

#[test]
fn accepts_what_the_program_sends_from_its_own_address() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let mut wanted = spec(&["192.0.2.1/24"]);
        wanted.name = "a.b.c".into();
        host.create_overlay(&wanted).await.expect("an overlay");
        assert_eq!((accept_local("a.b.c"), accept_local("vxlan43p")), ("1".into(), "0".into()));
        assert_eq!((accept_local("all"), accept_local("default")), ("0".into(), "0".into()));
        // One that an earlier version has made.
        std::fs::write("/proc/sys/net/ipv4/conf/a.b.c/accept_local", "0").expect("taken away");
        host.create_overlay(&wanted).await.expect("adoption");
        assert_eq!(accept_local("a.b.c"), "1");
    });
}

#[test]
fn sets_the_mtu_of_both_ends() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let mut wanted = spec(&["192.0.2.1/24", "2001:db8:43::1/64"]);
        host.create_overlay(&wanted).await.expect("a pair");
        let before = addresses("vxlan43");
        for mtu in [1300, 1300, 1280, 8950] {
            wanted.mtu = mtu;
            host.create_overlay(&wanted).await.expect("an MTU");
            assert_eq!(
                (link("vxlan43")["mtu"].clone(), link("vxlan43p")["mtu"].clone()),
                (mtu.into(), mtu.into())
            );
        }
        assert_eq!(addresses("vxlan43")[..2], before[..2]);
    });
}

/// An end that is to send less does so before the other one takes less, and the other way round.
#[test]
fn the_mtu_of_the_sending_end_is_never_the_larger_one() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let mut wanted = spec(&["192.0.2.1/24"]);
        host.create_overlay(&wanted).await.expect("a pair");
        let mut events = host.watch().expect("a watch");
        for (mtu, order) in [(1300, ["vxlan43", "vxlan43p"]), (1400, ["vxlan43p", "vxlan43"])] {
            wanted.mtu = mtu;
            host.create_overlay(&wanted).await.expect("an MTU");
            for expected in order {
                loop {
                    let event = events.next().await.expect("the watch goes on");
                    if let HostEvent::Link { name, mtu: now, .. } = event
                        && now == mtu
                    {
                        // The kernel may tell of one change more than once.
                        if name == expected {
                            break;
                        }
                        assert_eq!(name, order[0], "MTU {mtu}");
                    }
                }
            }
        }
    });
}
