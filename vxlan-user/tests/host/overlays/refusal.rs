//! What is refused, and that nothing is left of it.

use super::*;

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
