//! What is there of an overlay already, by whatever name, is taken over.

use super::*;

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
