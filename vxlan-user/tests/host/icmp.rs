//! What is heard of packets that are too big: of the kernel's own routing, in two namespaces.

use std::{net::UdpSocket, time::Duration};

use tokio::time::timeout;
use vxlan_user::host::{HostError, IcmpListener, IcmpMessage};

use crate::namespace::{Elsewhere, PATIENCE, addr, ip, isolated, wait_until_running};

/// `near` is one end of a cable to a router, behind which the link is narrow.
fn behind_a_router() -> Elsewhere {
    let router = Elsewhere::new();
    ip(&format!("link add near type veth peer name port netns {}", router.id));
    for arguments in [
        "link set lo up",
        "link set port up",
        "address add 192.0.2.2/24 dev port",
        "address add 2001:db8:1::2/64 dev port nodad",
        "link add narrow type veth peer name beyond",
        "link set beyond up",
        "link set narrow mtu 1300 up",
        "address add 198.51.100.1/24 dev narrow",
        "address add 2001:db8:2::1/64 dev narrow nodad",
    ] {
        router.ip(arguments);
    }
    router.run(|| {
        for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{name}"), "1").expect("a router");
        }
    });
    for arguments in [
        "link set lo up",
        "link set near up",
        "address add 192.0.2.1/24 dev near",
        "address add 2001:db8:1::1/64 dev near nodad",
        "route add 198.51.100.0/24 via 192.0.2.2",
        "route add 2001:db8:2::/64 via 2001:db8:1::2",
    ] {
        ip(arguments);
    }
    wait_until_running("near");
    router
}

/// Datagrams that are too long for the router, until one is answered.
async fn refused(icmp: &IcmpListener, from: &str, to: &str, family: i32) -> IcmpMessage {
    let socket = UdpSocket::bind((addr(from), 50_000)).expect("a socket");
    never_fragment(&socket, family);
    let attempts = async {
        loop {
            // An error is what the kernel made of an earlier answer.
            let _ = socket.send_to(&[7; 1400], (addr(to), 4789));
            if let Ok(message) = timeout(Duration::from_millis(50), icmp.next()).await {
                return message.expect("a message");
            }
        }
    };
    timeout(PATIENCE, attempts).await.expect("the router says something")
}

fn never_fragment(socket: &UdpSocket, family: i32) {
    use std::os::fd::AsRawFd as _;
    let (level, name) = if family == libc::AF_INET {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER)
    };
    // IP_PMTUDISC_PROBE: do not fragment, and do not believe what the path is said to take.
    let probe: libc::c_int = 3;
    // SAFETY: the descriptor is open as long as the socket lives, and the pointer is to an integer
    // of the length passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const probe).cast(),
            size_of_val(&probe) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}

#[test]
fn hears_what_a_router_had_to_drop() {
    isolated(async || {
        let _router = behind_a_router();
        let icmp = IcmpListener::open("near").expect("a listener");

        let message = refused(&icmp, "192.0.2.1", "198.51.100.9", libc::AF_INET).await;
        assert_eq!(message.from, addr("192.0.2.2"));
        // Type, code, and behind the checksum and two bytes of nothing the MTU; then the packet.
        assert_eq!((&message.bytes[..2], &message.bytes[6..8]), (&[3, 4][..], &[5, 20][..]));
        assert_eq!(message.bytes[8..12], [0x45, 0, 0x05, 0x94]);
        assert_eq!(message.bytes[20..32], [192, 0, 2, 1, 198, 51, 100, 9, 0xc3, 0x50, 0x12, 0xb5]);

        let mut message = refused(&icmp, "2001:db8:1::1", "2001:db8:2::9", libc::AF_INET6).await;
        // On a slow machine several IPv4 datagrams were sent, and the router answers each.
        while message.from == addr("192.0.2.2") {
            message = refused(&icmp, "2001:db8:1::1", "2001:db8:2::9", libc::AF_INET6).await;
        }
        assert_eq!(message.from, addr("2001:db8:1::2"));
        assert_eq!((&message.bytes[..2], &message.bytes[4..8]), (&[2, 0][..], &[0, 0, 5, 20][..]));
        assert_eq!(message.bytes[48..52], [0xc3, 0x50, 0x12, 0xb5]);
    });
}

/// Other types stay in the kernel, and so does what enters by other interfaces.
#[test]
fn hears_nothing_else() {
    isolated(async || {
        let _router = behind_a_router();
        let elsewhere = IcmpListener::open("lo").expect("a listener");
        let icmp = IcmpListener::open("near").expect("a listener");
        for address in ["192.0.2.2", "2001:db8:1::2", "127.0.0.1", "::1"] {
            ping(address);
        }
        // Heard after all of the answers.
        let message = refused(&icmp, "192.0.2.1", "198.51.100.9", libc::AF_INET).await;
        assert_eq!(message.bytes[..2], [3, 4]);
        let message = refused(&icmp, "2001:db8:1::1", "2001:db8:2::9", libc::AF_INET6).await;
        // Of the first packet perhaps another one.
        assert!([[3, 4], [2, 0]].iter().any(|kind| message.bytes[..2] == *kind), "{message:?}");
        let heard = timeout(Duration::ZERO, elsewhere.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    });
}

fn ping(address: &str) {
    let status = std::process::Command::new("ping")
        .args(["-n", "-c", "1", "-W", "10", address])
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.expect("ping").success(), "{address}");
}

#[test]
fn says_what_it_lacks() {
    isolated(async || {
        let error = IcmpListener::open("nowhere").expect_err("no such interface");
        assert!(matches!(error, HostError::Icmp { .. }), "{error}");
        assert!(error.to_string().contains("nowhere"), "{error}");
        // Of this thread, which ends with the test.
        caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_RAW).expect("dropped");
        let error = IcmpListener::open("lo").expect_err("not permitted").to_string();
        assert!(error.contains("CAP_NET_RAW"), "{error}");
        assert_eq!(
            vxlan_user::host::capabilities::missing(),
            ["CAP_NET_RAW (for probes and for hearing ICMP)"]
        );
    });
}
