//! Packets with headers of our own, as they arrive at the other end of a cable.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::mpsc,
    time::Instant,
};

use vxlan_user::host::{HostError, OuterHeaders, RawSender};

use crate::namespace::{Elsewhere, PATIENCE, addr, eventually, ip, isolated, wait_until_running};

const MTU: usize = 1500;

/// `near` is one end of a cable; what arrives at the other end, in another namespace, is captured.
struct Cable {
    _far: Elsewhere,
    capture: OwnedFd,
}

impl Cable {
    fn new() -> Self {
        let far = Elsewhere::new();
        ip(&format!("link add near type veth peer name far netns {}", far.id));
        let commands = [
            "link set far up",
            "address add 192.0.2.2/24 dev far",
            "address add 2001:db8:1::2/64 dev far nodad",
        ];
        commands.into_iter().for_each(|command| far.ip(command));
        for command in [
            "link set near up",
            "address add 192.0.2.1/24 dev near",
            "address add 192.0.2.3/24 dev near",
            "address add 2001:db8:1::1/64 dev near nodad",
            "address add 2001:db8:1::3/64 dev near nodad",
        ] {
            ip(command);
        }
        wait_until_running("near");
        let (sender, receiver) = mpsc::channel();
        far.run(move || sender.send(packet_socket()).expect("somebody waits for it"));
        Self { _far: far, capture: receiver.recv().expect("a capture") }
    }

    /// The next UDP packet that arrives, from its IP header on.
    fn next(&self) -> Vec<u8> {
        let start = Instant::now();
        loop {
            let mut buffer = vec![0; 70_000];
            // SAFETY: the descriptor is open as long as `self`, and the buffer is live and passed
            // with its own length.
            let length = unsafe {
                libc::recv(self.capture.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0)
            };
            assert!(start.elapsed() < PATIENCE, "no packet");
            let Ok(length) = usize::try_from(length) else { continue };
            buffer.truncate(length);
            let (protocol, source) = if buffer[0] >> 4 == 4 { (9, 12..16) } else { (6, 8..24) };
            // Not what the far end sends itself, and not the kernel's own talk.
            if buffer[protocol] == 17 && buffer[source].last() != Some(&2) {
                return buffer;
            }
        }
    }
}

/// Without Ethernet headers. Waits for a moment at most, so that a test can give up.
fn packet_socket() -> OwnedFd {
    let every = i32::from((libc::ETH_P_ALL as u16).to_be());
    // SAFETY: no pointers are passed.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM, every) };
    assert!(socket >= 0, "{}", std::io::Error::last_os_error());
    let moment = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
    // SAFETY: the descriptor is open, and the pointer is to a value of the length passed.
    let result = unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const moment).cast(),
            size_of_val(&moment) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
    // SAFETY: the descriptor is fresh from the kernel, and nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(socket) }
}

fn outer(source: (&str, u16), destination: (&str, u16)) -> OuterHeaders {
    let at = |(address, port)| SocketAddr::new(addr(address), port);
    OuterHeaders { source: at(source), destination: at(destination), ttl: 61, tos: 0xb8 }
}

/// The one's complement sum of a header that is right (RFC 1071).
fn sums_up(header: &[u8]) -> bool {
    let sum: u32 =
        header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    (sum & 0xffff) + (sum >> 16) == 0xffff
}

#[test]
fn every_byte_of_an_ipv4_packet_is_as_told() {
    isolated(async || {
        let cable = Cable::new();
        let sender = RawSender::open("near").expect("a sender");
        let outer = outer(("192.0.2.1", 50_001), ("192.0.2.2", 4789));
        sender.send(&outer, b"odd").expect("sent");
        let packet = cable.next();
        let expected = [
            [0x45, 0xb8, 0, 31, 0, 0, 0x40, 0, 61, 17].as_slice(),
            &packet[10..12],
            &[192, 0, 2, 1, 192, 0, 2, 2],
            &[0xc3, 0x51, 0x12, 0xb5, 0, 11, 0, 0],
            b"odd",
        ]
        .concat();
        assert_eq!(packet, expected);
        assert!(sums_up(&packet[..20]), "{packet:?}");
    });
}

#[test]
fn every_byte_of_an_ipv6_packet_is_as_told() {
    isolated(async || {
        let cable = Cable::new();
        let sender = RawSender::open("near").expect("a sender");
        let outer = outer(("2001:db8:1::1", 50_001), ("2001:db8:1::2", 4789));
        sender.send(&outer, b"odd").expect("sent");
        let address = |last| [0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let expected = [
            [0x6b, 0x80, 0, 0, 0, 11, 17, 61].as_slice(),
            &address(1),
            &address(2),
            &[0xc3, 0x51, 0x12, 0xb5, 0, 11, 0, 0],
            b"odd",
        ]
        .concat();
        assert_eq!(cable.next(), expected);
    });
}

/// Any address of the host, any port, also one that a socket has; every TTL and TOS.
#[test]
fn source_ttl_and_tos_are_free() {
    isolated(async || {
        let cable = Cable::new();
        let _vxlan = std::net::UdpSocket::bind("0.0.0.0:4789").expect("the port's user");
        let sender = RawSender::open("near").expect("a sender");
        for (source, destination) in
            [("192.0.2.3", "192.0.2.2"), ("2001:db8:1::3", "2001:db8:1::2")]
        {
            for (port, ttl, tos) in [(4789, 1, 0), (1, 255, 0xff), (65_535, 64, 0x02)] {
                let outer = OuterHeaders { ttl, tos, ..outer((source, port), (destination, 4789)) };
                sender.send(&outer, &[7; 100]).expect("sent");
                let packet = cable.next();
                let (address, ttl_seen, tos_seen, header) = if addr(source).is_ipv4() {
                    let four: [u8; 4] = packet[12..16].try_into().expect("four");
                    (IpAddr::from(four), packet[8], packet[1], 20)
                } else {
                    let sixteen: [u8; 16] = packet[8..24].try_into().expect("sixteen");
                    (IpAddr::from(sixteen), packet[7], packet[0] << 4 | packet[1] >> 4, 40)
                };
                assert_eq!((address, ttl_seen, tos_seen), (addr(source), ttl, tos));
                assert_eq!(packet[header..header + 2], port.to_be_bytes());
            }
        }
    });
}

/// Up to the interface's MTU, whatever the route says, and not a byte more.
#[test]
fn sizes_are_exact() {
    isolated(async || {
        let cable = Cable::new();
        for route in ["192.0.2.2/32", "2001:db8:1::2/128"] {
            ip(&format!("route add {route} dev near mtu 1300"));
        }
        let sender = RawSender::open("near").expect("a sender");
        for (source, destination, header) in
            [("192.0.2.1", "192.0.2.2", 28), ("2001:db8:1::1", "2001:db8:1::2", 48)]
        {
            let outer = outer((source, 4789), (destination, 4789));
            for size in [header, header + 1, 1300, 1301, MTU - 1, MTU] {
                sender.send(&outer, &vec![9; size - header]).expect("it fits");
                let packet = cable.next();
                assert_eq!(packet.len(), size);
                assert!(packet[header..].iter().all(|byte| *byte == 9));
            }
            for size in [MTU + 1, 9_000, 65_535, 65_536 + 40, 100_000] {
                let error = sender.send(&outer, &vec![9; size - header]).expect_err("too long");
                assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE), "{size}: {error}");
            }
        }
        // Nothing of what was too long has left, in whatever pieces.
        let outer = outer(("192.0.2.1", 1), ("192.0.2.2", 4789));
        sender.send(&outer, b"the last").expect("sent");
        assert_eq!(&cable.next()[28..], b"the last");
    });
}

/// A host with several ways chooses by the source (`ip rule`): so do the sender's packets.
#[test]
fn takes_the_way_of_its_source() {
    isolated(async || {
        let cable = Cable::new();
        for family in ["-4", "-6"] {
            let (source, gateway, host) = match family {
                "-4" => ("192.0.2.3", "192.0.2.2", "203.0.113.9"),
                _ => ("2001:db8:1::3", "2001:db8:1::2", "2001:db8:9::9"),
            };
            ip(&format!("{family} rule add from {source} table 77"));
            ip(&format!("{family} route add default via {gateway} dev near table 77"));
            let sender = RawSender::open("near").expect("a sender");
            sender.send(&outer((source, 1), (host, 4789)), family.as_bytes()).expect("sent");
            assert!(cable.next().ends_with(family.as_bytes()));
        }
    });
}

#[test]
fn says_why_not() {
    isolated(async || {
        let _cable = Cable::new();
        ip("-6 route add unreachable 2001:db8:8::/64");
        let sender = RawSender::open("near").expect("a sender");
        let number = |source, destination| {
            let result = sender.send(&outer((source, 1), (destination, 4789)), &[]);
            result.expect_err("not possible").raw_os_error()
        };
        assert_eq!(number("2001:db8:1::1", "2001:db8:9::9"), Some(libc::ENETUNREACH));
        assert_eq!(number("2001:db8:5::7", "2001:db8:1::2"), Some(libc::EINVAL));
        assert_eq!(number("192.0.2.1", "2001:db8:1::2"), None);

        let error = RawSender::open("nowhere").expect_err("no such interface");
        assert!(matches!(error, HostError::Raw { .. }), "{error}");
        assert!(error.to_string().contains("nowhere"), "{error}");
        // Of this thread, which ends with the test.
        caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_RAW).expect("dropped");
        let error = RawSender::open("lo").expect_err("not permitted").to_string();
        assert!(error.contains("CAP_NET_RAW"), "{error}");
    });
}

/// Packets that wait in the interface's queue fill the socket's buffer: no call ever blocks.
#[test]
fn never_waits() {
    isolated(async || {
        let _cable = Cable::new();
        ip("neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev near");
        let slow = "qdisc add dev near root tbf rate 8kbit burst 1600 limit 100000000";
        let status = std::process::Command::new("tc").args(slow.split(' ')).status();
        assert!(status.expect("tc").success());
        let sender = RawSender::open("near").expect("a sender");
        let outer = outer(("192.0.2.1", 1), ("192.0.2.9", 4789));
        eventually("no room", || {
            let result = sender.send(&outer, &[0; 1400]);
            result.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        });
    });
}
