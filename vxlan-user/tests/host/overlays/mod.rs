//! Overlay devices: how they are created. The rest is in files of its own.

mod adoption;
mod refusal;
mod settings;

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
