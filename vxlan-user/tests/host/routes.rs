//! Routes of ours and of others, and the way to a peer.

use std::net::IpAddr;

use serde_json::Value;
use vxlan_user::host::{
    BLACKHOLE_METRIC, Host, HostError, Made, NextHop, OverlaySpec, ROUTE_PROTOCOL, RouteSpec,
};

use crate::namespace::{addr, eventually, ifindex, ip, ip_json, isolated, net, wait_until_running};

/// `ours` and `other`: two interfaces that are up, with addresses of both families.
fn two_interfaces() -> (u32, u32) {
    ip("link add ours type veth peer name oursp");
    ip("link add other type veth peer name otherp");
    for name in ["ours", "oursp", "other", "otherp"] {
        ip(&format!("link set {name} up"));
    }
    ip("address add 192.0.2.1/24 dev ours");
    ip("address add 198.51.100.1/24 dev other");
    ip("address add 2001:db8:1::1/64 dev ours nodad");
    ip("address add 2001:db8:2::1/64 dev other nodad");
    for (name, local) in [("ours", "2001:db8:1::1"), ("other", "2001:db8:2::1")] {
        wait_until_running(name);
        let shown = format!("-6 route show table local {local}");
        eventually("a local route", || !ip_json(&shown).is_empty());
    }
    (ifindex("ours"), ifindex("other"))
}

/// An overlay interface of ours with one route.
fn overlay(prefix: &str, source: Option<IpAddr>) -> OverlaySpec {
    OverlaySpec {
        name: "ours".to_owned(),
        hidden_name: "oursp".to_owned(),
        vni: 43,
        mac: [2, 0, 0, 0, 0x43, 1],
        mtu: 1450,
        addresses: vec![net("192.0.2.1/24"), net("2001:db8:1::1/64")],
        ipv6: true,
        routes: vec![RouteSpec { prefix: net(prefix), source, mtu: None }],
        ..OverlaySpec::default()
    }
}

/// [`two_interfaces`], of which the first is an overlay interface.
async fn with_overlay(host: &Host) -> u32 {
    ip("link add other type veth peer name otherp");
    for name in ["other", "otherp"] {
        ip(&format!("link set {name} up"));
    }
    ip("address add 198.51.100.1/24 dev other");
    ip("address add 2001:db8:2::1/64 dev other nodad");
    let bare = OverlaySpec { routes: Vec::new(), ..overlay("192.0.2.0/24", None) };
    let overlay = host.create_overlay(&bare).await.expect("an overlay");
    for (name, local) in [("ours", "2001:db8:1::1"), ("other", "2001:db8:2::1")] {
        wait_until_running(name);
        let shown = format!("-6 route show table local {local}");
        eventually("a local route", || !ip_json(&shown).is_empty());
    }
    overlay.ifindex
}

fn shown(prefix: &str) -> Vec<Value> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    ip_json(&format!("{family} -N -d route show {prefix}"))
}

#[test]
fn adds_once_and_removes_its_own() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let ours = with_overlay(&host).await;
        for (prefix, source) in [
            ("203.0.113.0/24", Some("192.0.2.1")),
            ("203.0.113.128/32", None),
            ("0.0.0.0/0", None),
            ("2001:db8:3::/48", Some("2001:db8:1::1")),
            ("2001:db8:4::1/128", None),
        ] {
            let source = source.map(addr);
            let add = async || host.create_overlay(&overlay(prefix, source)).await.expect(prefix);
            add().await;
            let routes = shown(prefix);
            add().await;
            assert_eq!(shown(prefix), routes);

            assert_eq!(routes.len(), 1, "{routes:?}");
            let route = &routes[0];
            assert_eq!(route["dev"], "ours", "{route}");
            assert_eq!(route["protocol"], ROUTE_PROTOCOL.to_string(), "{route}");
            assert!(route["gateway"].is_null(), "{route}");
            match source {
                Some(source) => assert_eq!(route["prefsrc"], source.to_string(), "{route}"),
                None => assert!(route["prefsrc"].is_null(), "{route}"),
            }
            if !prefix.contains(':') {
                // By number, since -N is given: 253 is `link`.
                assert_eq!(route["scope"], "253", "{route}");
            }
            let all = host.routes_of(ours).await.expect("routes");
            let known = all.iter().find(|route| route.prefix == net(prefix)).expect(prefix);
            assert!(known.is_ours() && known.preferred_source == source, "{known:?}");

            let remove = async || host.remove_route(net(prefix), ours).await.expect(prefix);
            assert!(remove().await, "{prefix}");
            assert!(!remove().await, "{prefix}");
            assert!(shown(prefix).is_empty(), "{prefix}");
        }
    });
}

#[test]
fn a_new_source_or_mtu_replaces_the_old_one() {
    isolated(async || {
        let host = Host::new().expect("a host");
        with_overlay(&host).await;
        for (prefix, old, new) in [
            ("203.0.113.0/24", "192.0.2.1", "192.0.2.2"),
            ("2001:db8:3::/48", "2001:db8:1::1", "2001:db8:1::2"),
        ] {
            for (source, mtu) in [(old, None), (new, Some(1300)), (new, None)] {
                let mut wanted = overlay(prefix, Some(addr(source)));
                wanted.addresses.extend([net("192.0.2.2/24"), net("2001:db8:1::2/64")]);
                wanted.routes[0].mtu = mtu;
                host.create_overlay(&wanted).await.expect(source);
                let routes = shown(prefix);
                assert_eq!(routes.len(), 1, "{routes:?}");
                assert_eq!(routes[0]["prefsrc"], source);
                let shown = routes[0]["metrics"][0]["mtu"].as_u64();
                assert_eq!(shown, mtu.map(u64::from), "{routes:?}");
            }
        }
    });
}

#[test]
fn the_interface_own_prefix_counts_as_there_unless_it_needs_an_mtu() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let ours = with_overlay(&host).await;
        for (prefix, source) in
            [("192.0.2.0/24", "192.0.2.1"), ("2001:db8:1::/64", "2001:db8:1::1")]
        {
            let mut wanted = overlay(prefix, Some(addr(source)));
            let before = shown(prefix);
            host.create_overlay(&wanted).await.expect(prefix);
            assert_eq!(shown(prefix), before);
            assert!(!host.remove_route(net(prefix), ours).await.expect(prefix));
            assert_eq!(shown(prefix).len(), 1, "{prefix}");
            wanted.routes[0].mtu = Some(1300);
            host.create_overlay(&wanted).await.expect(prefix);
            let routes = shown(prefix);
            let narrow: Vec<_> =
                routes.iter().filter(|at| at["metrics"][0]["mtu"] == 1300).collect();
            assert_eq!(narrow.len(), 1, "{routes:?}");
        }
    });
}

#[test]
fn refuses_a_prefix_that_somebody_else_routes() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let ours = with_overlay(&host).await;
        for (command, prefix, named) in [
            (
                "route add 203.0.113.0/24 via 198.51.100.9",
                "203.0.113.0/24",
                "via 198.51.100.9 dev other",
            ),
            ("route add 203.0.113.64/26 dev other", "203.0.113.64/26", "dev other proto boot"),
            ("route add blackhole 203.0.113.128/26", "203.0.113.128/26", "blackhole"),
            (
                "route add 203.0.113.192/26 via 192.0.2.9",
                "203.0.113.192/26",
                "via 192.0.2.9 dev ours",
            ),
            (
                "-6 route add 2001:db8:3::/48 via 2001:db8:2::9",
                "2001:db8:3::/48",
                "via 2001:db8:2::9",
            ),
            ("-6 route add 2001:db8:4::/48 dev other metric 5", "2001:db8:4::/48", "metric 5"),
        ] {
            ip(command);
            let before = shown(prefix);
            let refused = host.create_overlay(&overlay(prefix, None)).await.expect_err(command);
            let message = refused.to_string();
            assert!(matches!(refused, HostError::ForeignRoute { .. }), "{message}");
            assert!(message.contains(prefix) && message.contains(named), "{message}");
            assert!(!host.remove_route(net(prefix), ours).await.expect(prefix));
            assert_eq!(shown(prefix), before, "{command}");
        }
    });
}

#[test]
fn a_worse_route_of_somebody_else_stays_beside_ours() {
    isolated(async || {
        let host = Host::new().expect("a host");
        let ours = with_overlay(&host).await;
        ip("route add 203.0.113.0/24 via 198.51.100.9 metric 100");
        host.create_overlay(&overlay("203.0.113.0/24", None)).await.expect("beside");
        assert_eq!(shown("203.0.113.0/24").len(), 2);

        // Through another interface there is none of ours to remove.
        let prefix = net("203.0.113.0/24");
        let other = ifindex("other");
        assert!(!host.remove_route(prefix, other).await.expect("nothing"));
        assert!(host.remove_route(prefix, ours).await.expect("ours"));
        let left = shown("203.0.113.0/24");
        assert_eq!((left.len(), &left[0]["gateway"]), (1, &Value::from("198.51.100.9")));
    });
}

#[test]
fn takes_back_a_prefix_that_somebody_has_replaced() {
    isolated(async || {
        let host = Host::new().expect("a host");
        with_overlay(&host).await;
        for (command, prefix) in [
            ("route replace 203.0.113.0/24 via 198.51.100.9", "203.0.113.0/24"),
            ("-6 route replace 2001:db8:3::/48 via 2001:db8:2::9 metric 1024", "2001:db8:3::/48"),
        ] {
            let mut wanted = overlay(prefix, None);
            host.create_overlay(&wanted).await.expect(prefix);
            let ours = shown(prefix);
            ip(command);
            assert_ne!(shown(prefix), ours);
            wanted.made = Made { routes: vec![net(prefix)], ..Made::default() };
            host.create_overlay(&wanted).await.expect(prefix);
            assert_eq!(shown(prefix), ours);
        }
    });
}

/// Without the interface a packet is dropped here, and does not leave by the default route.
#[test]
fn a_blackhole_counts_while_the_interface_is_away() {
    isolated(async || {
        let host = Host::new().expect("a host");
        with_overlay(&host).await;
        ip("route add default via 198.51.100.9");
        ip("-6 route add default via 2001:db8:2::9");
        for (prefix, address) in
            [("203.0.113.0/24", "203.0.113.7"), ("2001:db8:3::/48", "2001:db8:3::7")]
        {
            let wanted = OverlaySpec { blackholes: true, ..overlay(prefix, None) };
            host.create_overlay(&wanted).await.expect(prefix);
            let route = || crate::namespace::route_to(address);
            assert!(route().is_some_and(|dev| dev == "ours"), "{prefix}");
            ip("link set ours down");
            assert_eq!(route(), None, "{prefix}");
            host.create_overlay(&wanted).await.expect(prefix);
            let routes = shown(prefix);
            let metrics: Vec<_> = routes.iter().map(|at| at["metric"].as_u64()).collect();
            assert!(metrics.contains(&Some(BLACKHOLE_METRIC.into())), "{routes:?}");
            assert_eq!(host.remove_blackholes(&[net(prefix)]).await.expect("ours"), 1);
            assert_eq!(host.remove_blackholes(&[net(prefix)]).await.expect("gone"), 0);
            ip("link set ours down");
            assert!(route().is_some_and(|dev| dev == "other"), "{prefix}");
        }
    });
}

#[test]
fn next_hops_on_the_link_and_behind_a_gateway() {
    isolated(async || {
        let (ours, _) = two_interfaces();
        ip("route add 203.0.113.0/24 via 192.0.2.9 mtu 1300");
        ip("-6 route add 2001:db8:9::/48 via 2001:db8:1::9");
        ip("route add 203.0.113.64/26 via inet6 2001:db8:1::9");
        let host = Host::new().expect("a host");
        for (destination, gateway, source, mtu) in [
            ("192.0.2.77", None, "192.0.2.1", None),
            ("203.0.113.7", Some("192.0.2.9"), "192.0.2.1", Some(1300)),
            ("203.0.113.70", Some("2001:db8:1::9"), "192.0.2.1", None),
            ("2001:db8:1::77", None, "2001:db8:1::1", None),
            ("2001:db8:9::7", Some("2001:db8:1::9"), "2001:db8:1::1", None),
        ] {
            let expected = NextHop {
                gateway: gateway.map(addr),
                ifindex: ours,
                preferred_source: Some(addr(source)),
                mtu,
            };
            let found = host.next_hop(addr(destination), ours, None).await.expect(destination);
            assert_eq!(found, expected, "{destination}");
            let found = host.next_hop(addr(destination), ours, Some(addr(source))).await;
            let found = found.expect(destination);
            assert_eq!((found.gateway, found.ifindex), (expected.gateway, ours), "{destination}");
        }
    });
}

#[test]
fn no_route_is_said_also_where_the_kernel_would_guess() {
    isolated(async || {
        let (ours, other) = two_interfaces();
        ip("route add blackhole 203.0.113.128/26");
        ip("route add prohibit 203.0.113.192/26");
        let host = Host::new().expect("a host");
        // Told the interface, `ip route get` answers with a guess here.
        assert!(!ip_json("route get 203.0.113.7 oif ours").is_empty());
        for (destination, via) in [
            ("203.0.113.7", ours),
            ("203.0.113.130", ours),
            ("203.0.113.200", ours),
            ("2001:db8:9::7", ours),
            // On the link of the other interface.
            ("192.0.2.77", other),
            ("2001:db8:1::77", other),
        ] {
            let refused = host.next_hop(addr(destination), via, None).await.expect_err(destination);
            assert!(matches!(refused, HostError::NoRoute { .. }), "{refused:?}");
            assert!(refused.to_string().contains("ip route add"), "{refused}");
        }
        // A route out of the other interface does not help.
        ip("route add 203.0.113.0/25 via 198.51.100.9");
        let refused = host.next_hop(addr("203.0.113.7"), ours, None).await;
        assert!(matches!(refused, Err(HostError::NoRoute { .. })), "{refused:?}");
        let found = host.next_hop(addr("203.0.113.7"), other, None).await.expect("its own");
        assert_eq!(found.gateway, Some(addr("198.51.100.9")));
    });
}

#[test]
fn a_route_that_only_a_policy_rule_selects_is_found() {
    isolated(async || {
        let (ours, _) = two_interfaces();
        ip("rule add from 192.0.2.1 lookup 100");
        ip("route add default via 192.0.2.9 dev ours table 100");
        let host = Host::new().expect("a host");
        let found = host.next_hop(addr("203.0.113.7"), ours, Some(addr("192.0.2.1"))).await;
        assert_eq!(found.expect("by rule").gateway, Some(addr("192.0.2.9")));
        let refused = host.next_hop(addr("203.0.113.7"), ours, None).await;
        assert!(matches!(refused, Err(HostError::NoRoute { .. })), "{refused:?}");
    });
}

#[test]
fn wrong_ends_are_named() {
    isolated(async || {
        let (ours, _) = two_interfaces();
        let host = Host::new().expect("a host");
        for (destination, kind) in [
            ("192.0.2.1", "local"),
            ("192.0.2.255", "broadcast"),
            ("224.0.0.5", "multicast"),
            ("0.0.0.0", "unspecified"),
            ("2001:db8:1::1", "local"),
        ] {
            let refused = host.next_hop(addr(destination), ours, None).await.expect_err(kind);
            assert!(matches!(refused, HostError::NotAnotherHost { .. }), "{refused:?}");
            assert!(refused.to_string().contains(kind), "{refused}");
        }
        // The commonest mistake: the public address in front of a 1:1 NAT is not the host's own.
        for (destination, public) in
            [("192.0.2.77", "203.0.113.10"), ("2001:db8:1::77", "2001:db8:99::1")]
        {
            let refused = host.next_hop(addr(destination), ours, Some(addr(public))).await;
            let refused = refused.expect_err(public);
            assert!(matches!(refused, HostError::SourceNotLocal { .. }), "{refused:?}");
            assert!(refused.to_string().contains(public), "{refused}");
        }
    });
}

/// Told a source address too, the kernel takes the interface for a preference when the family is
/// IPv6.
#[test]
fn an_ipv6_route_out_of_another_interface_is_no_way() {
    isolated(async || {
        let (ours, _) = two_interfaces();
        ip("-6 route add 2001:db8:9::/48 via 2001:db8:2::9");
        let host = Host::new().expect("a host");
        let destination = addr("2001:db8:9::7");
        let sources = [None, Some(addr("2001:db8:1::1"))];
        for source in sources {
            let refused = host.next_hop(destination, ours, source).await;
            assert!(matches!(refused, Err(HostError::NoRoute { .. })), "{source:?}: {refused:?}");
        }
        // As a router that advertises itself is known: by its link-local address.
        ip("-6 route add default via fe80::9 dev ours mtu 1400");
        for source in sources {
            let found = host.next_hop(destination, ours, source).await.expect("the default route");
            let found = (found.gateway, found.ifindex, found.mtu);
            assert_eq!(found, (Some(addr("fe80::9")), ours, Some(1400)), "{source:?}");
        }
    });
}
