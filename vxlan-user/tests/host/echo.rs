//! Echo through an interface: the kernel at the other end of a cable answers.

use std::{net::IpAddr, time::Duration};

use tokio::time::timeout;
use vxlan_user::host::{EchoReply, EchoSocket, HostError};

use crate::namespace::{Elsewhere, PATIENCE, addr, ip, isolated, wait_until_running};

const PAIRS: [(&str, &str); 2] = [("192.0.2.1", "192.0.2.2"), ("2001:db8:1::1", "2001:db8:1::2")];

/// `near` and `other` are cables to another host.
fn cables() -> Elsewhere {
    let far = Elsewhere::new();
    for (name, there) in [("near", "far"), ("other", "beyond")] {
        ip(&format!("link add {name} type veth peer name {there} netns {}", far.id));
        ip(&format!("link set {name} up"));
    }
    for command in [
        "link set far up",
        "link set beyond up",
        "address add 192.0.2.2/24 dev far",
        "address add 2001:db8:1::2/64 dev far nodad",
        "address add 198.51.100.2/24 dev beyond",
    ] {
        far.ip(command);
    }
    for command in [
        "link set lo up",
        "address add 192.0.2.1/24 dev near",
        "address add 2001:db8:1::1/64 dev near nodad",
        "address add 198.51.100.1/24 dev other",
    ] {
        ip(command);
    }
    wait_until_running("near");
    wait_until_running("other");
    far
}

async fn answer(echo: &EchoSocket) -> EchoReply {
    timeout(PATIENCE, echo.next()).await.expect("an answer").expect("no error")
}

/// An answer to a later request comes first if there is nothing before it.
async fn silent(echo: &EchoSocket, there: IpAddr) {
    echo.send(there, 0xffff).expect("sent");
    assert_eq!(answer(echo).await.sequence, 0xffff);
}

#[test]
fn a_host_that_lives_answers() {
    isolated(async || {
        let _far = cables();
        for (here, there) in PAIRS {
            let echo = EchoSocket::open("near", addr(here)).expect("an echo socket");
            for sequence in [0, 1, 0x1234, u16::MAX] {
                echo.send(addr(there), sequence).expect("sent");
                assert_eq!(answer(&echo).await, EchoReply { from: addr(there), sequence });
            }
        }
    });
}

#[test]
fn hears_only_answers_to_itself() {
    isolated(async || {
        let far = cables();
        for (here, there) in PAIRS {
            let echo = EchoSocket::open("near", addr(here)).expect("an echo socket");
            let another = EchoSocket::open("near", addr(here)).expect("another");
            // The answer to a neighbour's request, to a program's, and requests from outside.
            another.send(addr(there), 7).expect("sent");
            assert_eq!(answer(&another).await.sequence, 7);
            ping(there);
            far.run(move || ping(here));
            silent(&echo, addr(there)).await;
            silent(&another, addr(there)).await;
        }
    });
}

/// Though there is a route to the host, by way of another interface.
#[test]
fn asks_through_its_own_interface_alone() {
    isolated(async || {
        let far = cables();
        // Else Linux says at every interface that it has an address.
        far.run(|| {
            std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1").expect("a setting");
        });
        ping("198.51.100.2");
        let echo = EchoSocket::open("near", addr("192.0.2.1")).expect("an echo socket");
        for sequence in 0..3 {
            let _unreachable = echo.send(addr("198.51.100.2"), sequence);
        }
        silent(&echo, addr("192.0.2.2")).await;
        assert!(timeout(Duration::ZERO, echo.next()).await.is_err());
    });
}

#[test]
fn says_what_it_lacks() {
    isolated(async || {
        let _far = cables();
        for (interface, address) in [
            ("nowhere", "192.0.2.1"),
            ("nowhere", "2001:db8:1::1"),
            ("near", "192.0.2.77"),
            ("near", "2001:db8:1::77"),
        ] {
            let error = EchoSocket::open(interface, addr(address)).expect_err("not possible");
            assert!(matches!(error, HostError::Echo { .. }), "{error}");
            let error = error.to_string();
            assert!(error.contains(interface) && error.contains(address), "{error}");
        }
        let echo = EchoSocket::open("near", addr("192.0.2.1")).expect("an echo socket");
        echo.send(addr("2001:db8:1::2"), 1).expect_err("of another family");
        // Of this thread, which ends with the test.
        caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_RAW).expect("dropped");
        let error =
            EchoSocket::open("near", addr("192.0.2.1")).expect_err("not permitted").to_string();
        assert!(error.contains("CAP_NET_RAW"), "{error}");
    });
}

fn ping(address: &str) {
    let status = std::process::Command::new("ping")
        .args(["-n", "-c", "1", "-W", "10", address])
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.expect("ping").success(), "{address}");
}
