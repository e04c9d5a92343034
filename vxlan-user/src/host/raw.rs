//! UDP packets from the underlay interface, with headers of our own: raw sockets.
//!
//! A probe must leave as data does, from any of 16,384 source ports and without a checksum, and
//! with exactly the length that the prober demands. A UDP socket would have to be bound to that
//! port, and would take the port away from whoever else uses it (a kernel `vxlan` device, another
//! program); the kernel would choose the rest of the header. Owns the sockets, not what is sent,
//! when and where.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    os::fd::AsRawFd as _,
};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg};
use socket2::Socket;

use super::{
    error::HostError,
    headers::{OuterHeaders, ipv4_packet, ipv6_packet},
    socket::{open_ipv4_sender, open_ipv6_sender},
};

/// Sockets that send such packets, and receive nothing.
#[derive(Debug)]
pub struct RawSender {
    v4: Socket,
    /// Absent where the kernel has no IPv6.
    v6: Option<Socket>,
}

impl RawSender {
    /// Sends from an interface of the network namespace that the calling thread is in. Needs
    /// `CAP_NET_RAW`.
    pub fn open(interface: &str) -> Result<Self, HostError> {
        let failed = |source| HostError::Raw { interface: interface.to_owned(), source };
        let v4 = open_ipv4_sender(interface).map_err(failed)?;
        let v6 = match open_ipv6_sender(interface) {
            Ok(socket) => Some(socket),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { v4, v6 })
    }

    /// Sends `payload`, which is what follows the UDP header, at once or not at all.
    ///
    /// # Errors
    /// The kernel's error numbers are passed on: `EMSGSIZE`, the packet is longer than the
    /// interface's MTU (the route's MTU does not matter, so that a path can be searched);
    /// `ENETUNREACH` or `EHOSTUNREACH`, no route; `EAGAIN` or `ENOBUFS`, no room at present.
    ///
    /// Over IPv4 a missing route is no error: for a socket of an interface the kernel then takes
    /// the destination to be on the link. Nor is there an error for what the interface's queue has
    /// no room for, or for an IPv4 source that is not this host's (IPv6: `EINVAL`).
    pub fn send(&self, outer: &OuterHeaders, payload: &[u8]) -> io::Result<()> {
        match (outer.source.ip(), outer.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let packet = ipv4_packet(outer, source, destination, payload)?;
                self.send_v4(source, destination, &packet)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let packet = ipv6_packet(outer, source, destination, payload)?;
                self.send_v6(source, destination, &packet)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "addresses of two families"))
            }
        }
    }

    /// Names the source again beside the packet, for routes that depend on the source: the kernel
    /// does not look into the packet for it.
    fn send_v4(&self, source: Ipv4Addr, to: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let address = |of: Ipv4Addr| libc::in_addr { s_addr: u32::from(of).to_be() };
        let none = address(Ipv4Addr::UNSPECIFIED);
        let info =
            libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address(source), ipi_addr: none };
        let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
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
        // The kernel would take a port for a protocol.
        let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, 0));
        let messages = [ControlMessage::Ipv6PacketInfo(&info)];
        let descriptor = socket.as_raw_fd();
        sendmsg(descriptor, &[IoSlice::new(packet)], &messages, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }
}
