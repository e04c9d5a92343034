//! Does a host behind an overlay interface live? ICMP and ICMPv6 echo (RFC 792, RFC 4443) through it,
//! for peers that cannot answer probes.
//!
//! Owns the socket, and knows which replies are to it; whom to ask, how often, and what an answer
//! means is the daemon's matter.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd as _, OwnedFd},
};

use bytes::{BufMut as _, BytesMut};
use nix::sys::socket::{MsgFlags, SockaddrStorage, bind, sendto};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    error::HostError,
    socket::{ICMP_FILTER, ICMP6_FILTER, open, receive, register, set_option},
};

/// Type, code, checksum, identifier, sequence.
const HEADER: usize = 8;
/// Random, so that nobody can answer what he has not read.
type Nonce = [u8; 16];
const LENGTH: usize = HEADER + size_of::<Nonce>();
/// The longest IPv4 header and an answer, and a byte more to tell that it was longer.
const LONGEST: usize = 60 + LENGTH + 1;

/// Types of the two messages, of one family.
#[derive(Debug, Clone, Copy)]
struct Types {
    request: u8,
    reply: u8,
}

const V4: Types = Types { request: 8, reply: 0 };
const V6: Types = Types { request: 128, reply: 129 };

/// Asks hosts of one family through one interface.
#[derive(Debug)]
pub struct EchoSocket {
    socket: AsyncFd<OwnedFd>,
    types: Types,
    identifier: u16,
    nonce: Nonce,
}

/// An answer to one of our requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoReply {
    pub from: IpAddr,
    /// Of the request.
    pub sequence: u16,
}

impl EchoSocket {
    /// Asks from `source`, an address of `interface`, in the network namespace that the calling
    /// thread is in; to be called within a tokio runtime. Needs `CAP_NET_RAW`.
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
    /// The kernel's: among them `EHOSTUNREACH` and `ENETUNREACH`, there is no way; `EAGAIN`, there is no
    /// room. An address of the other family is `EAFNOSUPPORT` or `EINVAL`.
    pub fn send(&self, destination: IpAddr, sequence: u16) -> io::Result<()> {
        let mut message = BytesMut::with_capacity(LENGTH);
        message.put_u8(self.types.request);
        message.put_u8(0);
        message.put_u16(0);
        message.put_u16(self.identifier);
        message.put_u16(sequence);
        message.put_slice(&self.nonce);
        // The kernel does this for ICMPv6, and what is there does not matter to it.
        let checksum = !sum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        let descriptor = self.socket.get_ref().as_raw_fd();
        sendto(descriptor, &message, &raw_address(destination), MsgFlags::empty())?;
        Ok(())
    }

    /// The next answer to a request of this socket. Nothing is lost when the future is dropped before
    /// it is ready.
    pub async fn next(&self) -> io::Result<EchoReply> {
        loop {
            let received = self.socket.async_io(Interest::READABLE, |socket| self.receive(socket));
            // Everybody's answers come to a raw socket.
            if let Some(reply) = received.await? {
                return Ok(reply);
            }
        }
    }

    fn receive(&self, socket: &OwnedFd) -> io::Result<Option<EchoReply>> {
        let mut buffer = [0; LONGEST];
        if self.types.reply == V4.reply {
            // SAFETY: sockaddr_in is plain data, for which all-zero is a value.
            let mut from: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            let length = receive(socket, &mut buffer, &mut from)?;
            // With its IP header, and with a checksum that nobody has looked at yet.
            let header = usize::from(buffer[0] & 0xf) * 4;
            let message = buffer[..length].get(header..).unwrap_or_default();
            let from = Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)).into();
            let sequence = self.sequence(message).filter(|_| sum(message) == 0xffff);
            return Ok(sequence.map(|sequence| EchoReply { from, sequence }));
        }
        // SAFETY: sockaddr_in6 is plain data, for which all-zero is a value.
        let mut from: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
        let length = receive(socket, &mut buffer, &mut from)?;
        let from = Ipv6Addr::from(from.sin6_addr.s6_addr).into();
        let sequence = self.sequence(&buffer[..length]);
        Ok(sequence.map(|sequence| EchoReply { from, sequence }))
    }

    /// Of a message that is a reply to this socket.
    fn sequence(&self, message: &[u8]) -> Option<u16> {
        let (header, payload) = message.split_first_chunk::<HEADER>()?;
        let [kind, code, _, _, id_high, id_low, high, low] = *header;
        let ours = kind == self.types.reply
            && code == 0
            && u16::from_be_bytes([id_high, id_low]) == self.identifier
            && payload == self.nonce;
        ours.then(|| u16::from_be_bytes([high, low]))
    }
}

fn open_from(interface: &str, source: IpAddr) -> io::Result<(OwnedFd, Types)> {
    let (socket, types) = match source {
        IpAddr::V4(_) => {
            let socket = open(libc::AF_INET, libc::IPPROTO_ICMP, interface)?;
            set_option(&socket, libc::SOL_RAW, ICMP_FILTER, &!(1_u32 << V4.reply))?;
            (socket, V4)
        }
        IpAddr::V6(_) => {
            let socket = open(libc::AF_INET6, libc::IPPROTO_ICMPV6, interface)?;
            let mut filter = [u32::MAX; 8];
            filter[usize::from(V6.reply / 32)] = !(1 << (V6.reply % 32));
            set_option(&socket, libc::SOL_ICMPV6, ICMP6_FILTER, &filter)?;
            (socket, V6)
        }
    };
    bind(socket.as_raw_fd(), &raw_address(source))?;
    Ok((socket, types))
}

/// Raw sockets have no port.
fn raw_address(address: IpAddr) -> SockaddrStorage {
    match address {
        IpAddr::V4(address) => SocketAddr::V4(SocketAddrV4::new(address, 0)),
        IpAddr::V6(address) => SocketAddr::V6(SocketAddrV6::new(address, 0, 0, 0)),
    }
    .into()
}

/// The one's complement sum (RFC 1071): 0xffff over a message with a right checksum.
fn sum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|word| match *word {
        [high, low] => u16::from_be_bytes([high, low]),
        [high, ..] => u16::from_be_bytes([high, 0]),
        [] => 0,
    });
    vxlan_common::checksum::fold(words.map(u32::from).sum())
}
