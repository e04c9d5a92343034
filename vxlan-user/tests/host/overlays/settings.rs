//! Settings of the interfaces, and the MTU of both ends.

use super::*;

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
