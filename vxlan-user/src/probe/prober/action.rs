//! The actions that a prober requests of the event loop.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;

/// The source of random numbers.
pub type Random<'a> = &'a mut dyn FnMut() -> u64;

/// A packet to send: IP with DF, and UDP with checksum zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// Length of the IP packet, in bytes. If the kernel refuses the packet as too large, call
    /// [`Prober::packet_too_big`](super::Prober::packet_too_big).
    pub length: u16,
    /// From the VXLAN header on.
    pub payload: Bytes,
}

/// An action for the event loop.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Transmit(Transmit),
    /// Send data to another endpoint from now on.
    MoveEndpoint {
        to: SocketAddr,
        /// The address that the peer reports to send from.
        sent_from: IpAddr,
    },
    /// The size of the largest packet that passes to the peer. `None`: no longer known.
    PathMtu(Option<u32>),
    /// A round trip took so long.
    RoundTrip(Duration),
}
