//! What routers say of packets that were too big for them: raw sockets on the underlay interface.
//!
//! The kernel looks for a socket that a refused packet came from. Ours came from a program, so it
//! finds none and forgets the message; this is the only place to hear of it. Owns the sockets, not
//! the question whether a message is to be believed.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
};

use tokio::io::{Interest, unix::AsyncFd};

use super::{
    error::HostError,
    socket::{ICMP_FILTER, ICMP6_FILTER, open, receive, register, set_option},
};

const DESTINATION_UNREACHABLE: u32 = 3;
const PACKET_TOO_BIG: u32 = 2;
/// More than any router quotes: IPv6 fills its least MTU, IPv4 rarely more than 576 bytes.
const LONGEST: usize = 2048;

/// An ICMP "destination unreachable" or an ICMPv6 "packet too big", whatever it quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcmpMessage {
    pub from: IpAddr,
    /// From the ICMP header on. The checksum of an ICMPv6 message has been verified, that of an ICMP
    /// message has not.
    pub bytes: Vec<u8>,
}

/// Sockets that hear such messages.
#[derive(Debug)]
pub struct IcmpListener {
    v4: AsyncFd<OwnedFd>,
    /// Absent where the kernel has no IPv6.
    v6: Option<AsyncFd<OwnedFd>>,
}

impl IcmpListener {
    /// Listens on an interface of the network namespace that the calling thread is in; to be called
    /// within a tokio runtime. Needs `CAP_NET_RAW`.
    pub fn open(interface: &str) -> Result<Self, HostError> {
        let failed = |source| HostError::Icmp { interface: interface.to_owned(), source };
        let v4 = open_v4(interface).map_err(failed)?;
        let v6 = match open_v6(interface) {
            Ok(socket) => Some(socket),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Self {
            v4: register(v4).map_err(failed)?,
            v6: v6.map(register).transpose().map_err(failed)?,
        })
    }

    /// The next message. Nothing is lost when the future is dropped before it is ready.
    pub async fn next(&self) -> io::Result<IcmpMessage> {
        let of_v6 = async {
            match &self.v6 {
                Some(socket) => socket.async_io(Interest::READABLE, receive_v6).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = self.v4.async_io(Interest::READABLE, receive_v4) => message,
            message = of_v6 => message,
        }
    }
}

fn open_v4(interface: &str) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_INET, libc::IPPROTO_ICMP, interface)?;
    set_option(&socket, libc::SOL_RAW, ICMP_FILTER, &!(1_u32 << DESTINATION_UNREACHABLE))?;
    Ok(socket)
}

fn open_v6(interface: &str) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_INET6, libc::IPPROTO_ICMPV6, interface)?;
    let mut filter = [u32::MAX; 8];
    filter[0] = !(1 << PACKET_TOO_BIG);
    set_option(&socket, libc::SOL_ICMPV6, ICMP6_FILTER, &filter)?;
    Ok(socket)
}

/// With its IP header, as raw IPv4 sockets get it.
fn receive_v4(socket: &OwnedFd) -> io::Result<IcmpMessage> {
    let mut buffer = [0; LONGEST];
    // SAFETY: sockaddr_in is plain data, for which all-zero is a value.
    let mut from: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let length = receive(socket, &mut buffer, &mut from)?;
    let header = usize::from(buffer[0] & 0xf) * 4;
    Ok(IcmpMessage {
        from: Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)).into(),
        bytes: buffer[..length].get(header..).unwrap_or_default().to_vec(),
    })
}

/// Without its IP header, as raw IPv6 sockets get it.
fn receive_v6(socket: &OwnedFd) -> io::Result<IcmpMessage> {
    let mut buffer = [0; LONGEST];
    // SAFETY: sockaddr_in6 is plain data, for which all-zero is a value.
    let mut from: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    let length = receive(socket, &mut buffer, &mut from)?;
    Ok(IcmpMessage {
        from: Ipv6Addr::from(from.sin6_addr.s6_addr).into(),
        bytes: buffer[..length].to_vec(),
    })
}
