//! Reads the outer header of a received probe from what the data plane hands over.

use std::net::SocketAddr;

use vxlan_common::{
    addr::{Address, IPV6},
    checksum,
    probe::ReceivedProbe,
    wire::{IPV4_LEN, IPV6_LEN, ip::PROTOCOL_UDP},
};

use super::header::{OuterHeader, UdpChecksum};

impl OuterHeader {
    /// Returns the header as it arrived. `None`: no IP packet is that long.
    pub fn from_received(arrived: &ReceivedProbe) -> Option<Self> {
        let at = |address: &Address, port| SocketAddr::new(address.to_ip(arrived.family), port);
        Some(Self {
            source: at(&arrived.source, arrived.source_port),
            destination: at(&arrived.destination, arrived.destination_port),
            ttl: arrived.ttl,
            tos: arrived.tos,
            length: u16::try_from(arrived.length).ok()?,
            checksum: udp_checksum(arrived),
            dont_fragment: arrived.dont_fragment != 0,
        })
    }
}

/// Verifies the UDP checksum. The padding of the probe is not handed over: padding of zeros adds
/// nothing to the sum, and any other makes the checksum count as wrong.
fn udp_checksum(arrived: &ReceivedProbe) -> UdpChecksum {
    if arrived.checksum == [0; 2] {
        return UdpChecksum::Zero;
    }
    let headers = if arrived.family == IPV6 { IPV6_LEN } else { IPV4_LEN };
    let length = arrived.length.saturating_sub(u32::try_from(headers).unwrap_or(0));
    let addresses = [&arrived.source, &arrived.destination];
    let address_words =
        addresses.into_iter().flat_map(|address| address.0.as_flattened().chunks_exact(2));
    let words = address_words.chain(arrived.bytes.chunks_exact(2));
    let words: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    // The length is in the pseudo-header and in the UDP header.
    let lengths = 2 * ((length & 0xffff) + (length >> 16));
    let ports = u32::from(arrived.source_port) + u32::from(arrived.destination_port);
    let sum = u32::from(u16::from_be_bytes(arrived.checksum));
    match checksum::fold(words + lengths + ports + u32::from(PROTOCOL_UDP) + sum) {
        0xffff => UdpChecksum::Right,
        _ => UdpChecksum::Wrong,
    }
}
