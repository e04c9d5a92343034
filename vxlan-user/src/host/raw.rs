//! UDP packets from the underlay interface, with headers that are written here: raw sockets.
//!
//! A probe must leave as data does, from any of 16,384 source ports and without a checksum, and with
//! exactly the length it is told. A UDP socket would have to be bound to that port, and would take
//! it away from whoever else uses it (a kernel `vxlan` device, another program); the kernel would
//! choose the rest of the header. Owns the sockets and the headers, not what is sent, when and where.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd as _, OwnedFd},
};

use bytes::{BufMut as _, BytesMut};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg};

use super::{
    error::HostError,
    socket::{open, set_option},
};

const IPV4_LEN: u16 = 20;
const IPV6_LEN: u16 = 40;
const UDP_LEN: u16 = 8;
/// Version 4, and 5 words.
const VERSION_AND_LENGTH: u8 = 0x45;
const DONT_FRAGMENT: u16 = 0x4000;
const UDP: u8 = libc::IPPROTO_UDP as u8;

/// The headers of one packet. IPv4 packets have DF and identification 0, IPv6 packets flow label 0;
/// the UDP checksum is zero, over IPv6 too (RFC 6935).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OuterHeaders {
    /// An address of this host, and any port: the port's user, if there is one, is not asked.
    pub source: SocketAddr,
    /// Of the same family.
    pub destination: SocketAddr,
    /// Or hop limit.
    pub ttl: u8,
    /// Or traffic class.
    pub tos: u8,
}

/// Sockets that send such packets, and receive nothing.
#[derive(Debug)]
pub struct RawSender {
    v4: OwnedFd,
    /// Absent where the kernel has no IPv6.
    v6: Option<OwnedFd>,
}

impl RawSender {
    /// Sends from an interface of the network namespace that the calling thread is in. Needs
    /// `CAP_NET_RAW`.
    pub fn open(interface: &str) -> Result<Self, HostError> {
        let failed = |source| HostError::Raw { interface: interface.to_owned(), source };
        let v4 = open_v4(interface).map_err(failed)?;
        let v6 = match open_v6(interface) {
            Ok(socket) => Some(socket),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { v4, v6 })
    }

    /// Sends `payload`, which is what follows the UDP header, at once or not at all.
    ///
    /// The kernel's error numbers are passed on: `EMSGSIZE`, the packet is longer than the
    /// interface's MTU (that of the route is not looked at, so that a path can be searched);
    /// `ENETUNREACH` or `EHOSTUNREACH`, no route; `EAGAIN` or `ENOBUFS`, no room at present.
    ///
    /// Over IPv4 a missing route is no error: for a socket of an interface the kernel then takes the
    /// destination to be on the link. Nor is there an error for what the interface's queue has no room
    /// for, or for an IPv4 source that is not this host's (IPv6: `EINVAL`).
    pub fn send(&self, outer: &OuterHeaders, payload: &[u8]) -> io::Result<()> {
        match (outer.source.ip(), outer.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let packet = ipv4(outer, source, destination, payload)?;
                self.send_v4(source, destination, &packet)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let packet = ipv6(outer, source, destination, payload)?;
                self.send_v6(source, destination, &packet)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "addresses of two families"))
            }
        }
    }

    /// The source is named again beside the packet, for routes that depend on it: the kernel does not
    /// look for it in the packet.
    fn send_v4(&self, source: Ipv4Addr, to: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let address = |of: Ipv4Addr| libc::in_addr { s_addr: u32::from(of).to_be() };
        let none = address(Ipv4Addr::UNSPECIFIED);
        let info =
            libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address(source), ipi_addr: none };
        let to = SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
        let messages = [ControlMessage::Ipv4PacketInfo(&info)];
        let descriptor = self.v4.as_raw_fd();
        sendmsg(descriptor, &[IoSlice::new(packet)], &messages, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }

    fn send_v6(&self, source: Ipv6Addr, to: Ipv6Addr, packet: &[u8]) -> io::Result<()> {
        let Some(socket) = &self.v6 else {
            return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
        };
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: 0,
        };
        // A port would be taken for a protocol.
        let to = SockaddrIn6::from(std::net::SocketAddrV6::new(to, 0, 0, 0));
        let messages = [ControlMessage::Ipv6PacketInfo(&info)];
        let descriptor = socket.as_raw_fd();
        sendmsg(descriptor, &[IoSlice::new(packet)], &messages, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }
}

fn open_v4(interface: &str) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_INET, libc::IPPROTO_RAW, interface)?;
    set_option(&socket, libc::IPPROTO_IP, libc::IP_HDRINCL, &1_i32)?;
    set_option(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_PROBE)?;
    Ok(socket)
}

fn open_v6(interface: &str) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_INET6, libc::IPPROTO_RAW, interface)?;
    set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_HDRINCL, &1_i32)?;
    set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &libc::IPV6_PMTUDISC_PROBE)?;
    Ok(socket)
}

/// What a length field says; `EMSGSIZE` where it cannot say it.
fn length(headers: u16, payload: &[u8]) -> io::Result<u16> {
    let too_long = || io::Error::from_raw_os_error(libc::EMSGSIZE);
    let payload = u16::try_from(payload.len()).map_err(|_| too_long())?;
    headers.checked_add(payload).ok_or_else(too_long)
}

/// RFC 791. The kernel adds the header's checksum.
fn ipv4(
    outer: &OuterHeaders,
    from: Ipv4Addr,
    to: Ipv4Addr,
    payload: &[u8],
) -> io::Result<BytesMut> {
    let total = length(IPV4_LEN + UDP_LEN, payload)?;
    let mut packet = BytesMut::with_capacity(usize::from(total));
    packet.put_u8(VERSION_AND_LENGTH);
    packet.put_u8(outer.tos);
    packet.put_u16(total);
    packet.put_u16(0);
    packet.put_u16(DONT_FRAGMENT);
    packet.put_u8(outer.ttl);
    packet.put_u8(UDP);
    packet.put_u16(0);
    packet.put_slice(&from.octets());
    packet.put_slice(&to.octets());
    put_udp(&mut packet, outer, total - IPV4_LEN, payload);
    Ok(packet)
}

/// RFC 8200.
fn ipv6(
    outer: &OuterHeaders,
    from: Ipv6Addr,
    to: Ipv6Addr,
    payload: &[u8],
) -> io::Result<BytesMut> {
    let behind = length(UDP_LEN, payload)?;
    let mut packet = BytesMut::with_capacity(usize::from(IPV6_LEN) + usize::from(behind));
    packet.put_u32(6 << 28 | u32::from(outer.tos) << 20);
    packet.put_u16(behind);
    packet.put_u8(UDP);
    packet.put_u8(outer.ttl);
    packet.put_slice(&from.octets());
    packet.put_slice(&to.octets());
    put_udp(&mut packet, outer, behind, payload);
    Ok(packet)
}

/// RFC 768.
fn put_udp(packet: &mut BytesMut, outer: &OuterHeaders, length: u16, payload: &[u8]) {
    packet.put_u16(outer.source.port());
    packet.put_u16(outer.destination.port());
    packet.put_u16(length);
    packet.put_u16(0);
    packet.put_slice(payload);
}
