//! What routers report of packets that were too big for them: raw sockets on the underlay
//! interface.
//!
//! The kernel looks for a socket that a refused packet came from. Ours came from a program, so the
//! kernel finds none and drops the message: these sockets are the only place to receive it. Owns
//! the sockets, not the decision whether a message is to be believed.

use std::{io, net::IpAddr};

use nix::sys::socket::{SockaddrIn, SockaddrIn6};
use socket2::Socket;
use tokio::io::{Interest, unix::AsyncFd};
use vxlan_common::wire::icmp::{DESTINATION_UNREACHABLE, V6_PACKET_TOO_BIG};

use super::{
    error::HostError,
    headers::ipv4_payload,
    socket::{open_icmp, open_icmpv6, receive, register},
};

/// More than any router quotes, in bytes: IPv6 fills the smallest MTU, IPv4 rarely more than 576
/// bytes.
const MAX_MESSAGE: usize = 2048;

/// An ICMP "destination unreachable" or an ICMPv6 "packet too big", whatever packet the message
/// quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcmpMessage {
    pub from: IpAddr,
    /// From the ICMP header on. The checksum of an ICMPv6 message has been verified, that of an
    /// ICMP message has not.
    pub bytes: Vec<u8>,
}

/// Sockets that receive such messages.
#[derive(Debug)]
pub struct IcmpListener {
    v4: AsyncFd<Socket>,
    /// Absent where the kernel has no IPv6.
    v6: Option<AsyncFd<Socket>>,
}

impl IcmpListener {
    /// Listens on an interface of the network namespace that the calling thread is in. Must be
    /// called within a tokio runtime. Needs `CAP_NET_RAW`.
    pub fn open(interface: &str) -> Result<Self, HostError> {
        let failed = |source| HostError::Icmp { interface: interface.to_owned(), source };
        let v4 = open_icmp(interface, DESTINATION_UNREACHABLE).map_err(failed)?;
        let v6 = match open_icmpv6(interface, V6_PACKET_TOO_BIG) {
            Ok(socket) => Some(socket),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Self {
            v4: register(v4).map_err(failed)?,
            v6: v6.map(register).transpose().map_err(failed)?,
        })
    }

    /// Returns the next message. Nothing is lost when the future is dropped before it is ready.
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

/// Raw IPv4 sockets receive the IP header too.
fn receive_v4(socket: &Socket) -> io::Result<IcmpMessage> {
    let mut buffer = [0; MAX_MESSAGE];
    let (length, from) = receive::<SockaddrIn>(socket, &mut buffer)?;
    let from = from.ip().into();
    Ok(IcmpMessage { from, bytes: ipv4_payload(&buffer[..length]).to_vec() })
}

/// Raw IPv6 sockets receive what follows the IP header.
fn receive_v6(socket: &Socket) -> io::Result<IcmpMessage> {
    let mut buffer = [0; MAX_MESSAGE];
    let (length, from) = receive::<SockaddrIn6>(socket, &mut buffer)?;
    Ok(IcmpMessage { from: from.ip().into(), bytes: buffer[..length].to_vec() })
}
