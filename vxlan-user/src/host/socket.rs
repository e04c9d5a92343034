//! Raw sockets: opening them, and the options and calls that they have in common. Knows nothing of
//! what is sent and received.

use std::{io, os::fd::AsRawFd as _};

use nix::{
    setsockopt_impl, sockopt_impl,
    sys::socket::{SetSockOpt as _, SockaddrLike, recvfrom},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

/// `ICMP_FILTER` of include/uapi/linux/icmp.h.
const ICMP_FILTER: libc::c_int = 1;
/// `ICMPV6_FILTER` of include/uapi/linux/icmpv6.h.
const ICMPV6_FILTER: libc::c_int = 1;

sockopt_impl!(
    /// A bit for each ICMP type that is kept away.
    IcmpFilter, SetOnly, libc::SOL_RAW, ICMP_FILTER, u32);
sockopt_impl!(
    /// A bit for each ICMPv6 type that is kept away, in eight words.
    Icmpv6Filter, SetOnly, libc::SOL_ICMPV6, ICMPV6_FILTER, [u32; 8]);
sockopt_impl!(
    /// When packets may be fragmented, and which path MTU counts: ip(7).
    Ipv4MtuDiscover, SetOnly, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::c_int);
sockopt_impl!(
    /// The same of an IPv6 socket.
    Ipv6MtuDiscover, SetOnly, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::c_int);

/// Opens a raw socket of one interface, which does not block, in the network namespace that the
/// calling thread is in. Needs `CAP_NET_RAW`.
pub(super) fn open(domain: Domain, protocol: Protocol, interface: &str) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    Ok(socket)
}

/// Opens a socket that sends IPv4 packets whose headers its user writes. The interface's MTU alone
/// limits their size, and none is fragmented.
pub(super) fn open_ipv4_sender(interface: &str) -> io::Result<Socket> {
    let socket = open(Domain::IPV4, Protocol::from(libc::IPPROTO_RAW), interface)?;
    socket.set_header_included_v4(true)?;
    Ipv4MtuDiscover.set(&socket, &libc::IP_PMTUDISC_PROBE)?;
    Ok(socket)
}

/// Does the same for IPv6.
pub(super) fn open_ipv6_sender(interface: &str) -> io::Result<Socket> {
    let socket = open(Domain::IPV6, Protocol::from(libc::IPPROTO_RAW), interface)?;
    socket.set_header_included_v6(true)?;
    Ipv6MtuDiscover.set(&socket, &libc::IPV6_PMTUDISC_PROBE)?;
    Ok(socket)
}

/// Opens a socket that receives ICMP messages of one type.
pub(super) fn open_icmp(interface: &str, wanted: u8) -> io::Result<Socket> {
    let socket = open(Domain::IPV4, Protocol::ICMPV4, interface)?;
    IcmpFilter.set(&socket, &!(1 << wanted))?;
    Ok(socket)
}

/// Opens a socket that receives ICMPv6 messages of one type.
pub(super) fn open_icmpv6(interface: &str, wanted: u8) -> io::Result<Socket> {
    let socket = open(Domain::IPV6, Protocol::ICMPV6, interface)?;
    let mut filter = [u32::MAX; 8];
    filter[usize::from(wanted / 32)] = !(1 << (wanted % 32));
    Icmpv6Filter.set(&socket, &filter)?;
    Ok(socket)
}

/// Makes a socket one that can be awaited. Must be called within a tokio runtime.
pub(super) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: `Socket` returns the same descriptor every time and owns it, so it is closed only
    // with the registration that owns the socket.
    unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }.map_err(io::Error::from)
}

/// Receives one message, cut off to the buffer's length, and its sender's address.
pub(super) fn receive<A: SockaddrLike>(
    socket: &Socket,
    buffer: &mut [u8],
) -> io::Result<(usize, A)> {
    let (length, from) = recvfrom(socket.as_raw_fd(), buffer)?;
    // The kernel gives every message of a raw socket an address of the socket's family.
    let from = from.ok_or(io::ErrorKind::InvalidData)?;
    Ok((length, from))
}
