//! Tests whether a host behind an overlay interface lives: by ICMP and ICMPv6 echo (RFC 792, RFC
//! 4443) through that interface, for peers that cannot answer probes.
//!
//! Owns the socket, and knows which replies answer its requests. Which hosts get requests, how
//! often, and what a reply means is the daemon's matter.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, ready},
};

use nix::sys::socket::{SockaddrIn, SockaddrIn6};
use socket2::Socket;
use tokio::io::unix::AsyncFd;
use vxlan_common::wire::{self, icmp, ipv4};

use super::{
    error::HostError,
    headers::{echo_request, ipv4_payload, ones_complement_sum},
    socket::{open_icmp, open_icmpv6, receive, register},
};

/// Random, so that nobody can answer a request without having received it.
type Nonce = [u8; 16];
/// The longest IPv4 header and a reply, and one byte more to tell a longer message.
const MAX_MESSAGE: usize = ipv4::MAX_HEADER_LEN + icmp::HEADER_LEN + size_of::<Nonce>() + 1;

/// Types of the two messages of one family.
#[derive(Debug, Clone, Copy)]
struct Types {
    request: u8,
    reply: u8,
}

const V4: Types = Types { request: icmp::ECHO_REQUEST, reply: icmp::ECHO_REPLY };
const V6: Types = Types { request: icmp::V6_ECHO_REQUEST, reply: icmp::V6_ECHO_REPLY };

/// Sends echo requests to hosts of one family through one interface, and receives the replies.
#[derive(Debug)]
pub struct EchoSocket {
    socket: AsyncFd<Socket>,
    types: Types,
    identifier: u16,
    nonce: Nonce,
}

/// A reply to one of our requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoReply {
    pub from: IpAddr,
    /// The sequence number of the request.
    pub sequence: u16,
}

impl EchoSocket {
    /// Opens a socket that sends from `source`, an address of `interface`, in the network namespace
    /// that the calling thread is in. Must be called within a tokio runtime. Needs `CAP_NET_RAW`.
    pub fn open(interface: &str, source: IpAddr) -> Result<Self, HostError> {
        open_from(interface, source)
            .and_then(|(socket, types)| {
                let socket = register(socket)?;
                Ok(Self { socket, types, identifier: rand::random(), nonce: rand::random() })
            })
            .map_err(|error| HostError::Echo {
                interface: interface.to_owned(),
                from: source,
                source: error,
            })
    }

    /// Sends a request, at once or not at all.
    ///
    /// # Errors
    /// The kernel's: among them `EHOSTUNREACH` and `ENETUNREACH`, there is no route; `EAGAIN`,
    /// there is no room. An address of the other family is `EAFNOSUPPORT` or `EINVAL`.
    pub fn send(&self, destination: IpAddr, sequence: u16) -> io::Result<()> {
        let message = echo_request(self.types.request, self.identifier, sequence, &self.nonce);
        self.socket.get_ref().send_to(&message, &raw_address(destination).into())?;
        Ok(())
    }

    /// Returns the next reply to a request of this socket. Nothing is lost when the future is
    /// dropped before it is ready.
    pub async fn next(&self) -> io::Result<EchoReply> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same, polled. The task of the latest caller is woken.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<io::Result<EchoReply>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(context))?;
            match ready.try_io(|socket| self.receive(socket.get_ref())) {
                // A raw socket receives the replies to everybody's requests.
                Ok(Ok(None)) => {}
                Ok(Ok(Some(reply))) => return Poll::Ready(Ok(reply)),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }

    fn receive(&self, socket: &Socket) -> io::Result<Option<EchoReply>> {
        let mut buffer = [0; MAX_MESSAGE];
        if self.types.reply == V4.reply {
            let (length, from) = receive::<SockaddrIn>(socket, &mut buffer)?;
            // With its IP header, and with a checksum that nobody has verified yet.
            let message = ipv4_payload(&buffer[..length]);
            let from = from.ip().into();
            let sequence = self.sequence(message);
            let sequence = sequence.filter(|_| ones_complement_sum(message) == 0xffff);
            return Ok(sequence.map(|sequence| EchoReply { from, sequence }));
        }
        let (length, from) = receive::<SockaddrIn6>(socket, &mut buffer)?;
        let from = from.ip().into();
        let sequence = self.sequence(&buffer[..length]);
        Ok(sequence.map(|sequence| EchoReply { from, sequence }))
    }

    /// Returns the sequence number of a message that is a reply to this socket.
    fn sequence(&self, message: &[u8]) -> Option<u16> {
        let (header, payload) = message.split_first_chunk::<{ icmp::HEADER_LEN }>()?;
        let ours = header[icmp::field::TYPE] == self.types.reply
            && header[icmp::field::CODE] == 0
            && wire::be16(header, icmp::field::ECHO_IDENTIFIER)? == self.identifier
            && payload == self.nonce;
        wire::be16(header, icmp::field::ECHO_SEQUENCE).filter(|_| ours)
    }
}

fn open_from(interface: &str, source: IpAddr) -> io::Result<(Socket, Types)> {
    let (socket, types) = match source {
        IpAddr::V4(_) => (open_icmp(interface, V4.reply)?, V4),
        IpAddr::V6(_) => (open_icmpv6(interface, V6.reply)?, V6),
    };
    socket.bind(&raw_address(source).into())?;
    Ok((socket, types))
}

/// Makes the address of a raw socket, which has no port.
fn raw_address(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}
