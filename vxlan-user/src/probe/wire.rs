//! Encodes and decodes probes. Which probes are fresh is decided in `association`, and what follows
//! from their contents in the prober.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use vxlan_common::{
    probe::{ETHERTYPE, FRAME_LEN, PROBE_LEN},
    wire::{ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN, VXLAN_LEN},
};

use super::{
    key::{AUTHENTICATOR_LEN, Key},
    message::{NetworkCounts, Probe, ProbeKind, ProbeRefusal},
};
use crate::observation::{OuterHeader, UdpChecksum};

/// Length of the IPv4 packet that carries a probe without padding, in bytes.
pub const LENGTH_V4: u16 = (IPV4_LEN + UDP_LEN + VXLAN_LEN + FRAME_LEN) as u16;
/// Length of the IPv6 packet that carries a probe without padding, in bytes.
pub const LENGTH_V6: u16 = LENGTH_V4 + (IPV6_LEN - IPV4_LEN) as u16;

const MAGIC: [u8; 3] = *b"vxp";
const VERSION: u8 = 1;
/// MAC addresses of the inner frame of a probe: locally administered, and those of no station.
pub(super) const DESTINATION_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(super) const SOURCE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SIGNED_LEN: usize = PROBE_LEN - AUTHENTICATOR_LEN;

/// Length of an outer header as a field of a probe, in bytes.
const HEADER_LEN: usize = 44;

// Flags of a probe.
const UNSOLICITED: u8 = 1;
const VARIES: u8 = 2;
const SIZE: u8 = 4;
const FIXED: u8 = 8;

impl Probe {
    /// Returns what follows the VXLAN header: the inner frame and `padding` bytes, which
    /// `as_sent.length` must include.
    pub fn encode(&self, key: &Key, padding: usize) -> Bytes {
        let mut bytes = BytesMut::with_capacity(FRAME_LEN + padding);
        bytes.put_slice(&DESTINATION_MAC);
        bytes.put_slice(&SOURCE_MAC);
        bytes.put_slice(&ETHERTYPE);
        bytes.put_slice(&MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_slice(&key.tag());
        bytes.put_u8(match self.kind {
            ProbeKind::Request => 1,
            ProbeKind::Reply => 2,
        });
        let flag = |set, bit| if set { bit } else { 0 };
        bytes.put_u8(
            flag(self.unsolicited, UNSOLICITED)
                | flag(self.varies, VARIES)
                | flag(self.size, SIZE)
                | flag(self.fixed, FIXED),
        );
        bytes.put_u16(0);
        bytes.put_slice(&self.sender);
        bytes.put_slice(&self.receiver);
        bytes.put_u64(self.session);
        bytes.put_u64(self.token);
        bytes.put_u64(self.offered_token);
        bytes.put_u64(self.sequence);
        bytes.put_u64(self.sent_at);
        put_header(&mut bytes, Some(&self.as_sent));
        // The number of networks, and a VNI of 24 bits; zero: no counters of a network.
        let network = self.network.filter(|_| self.networks != 0);
        let vni = network.map_or(0, |network| network.vni & 0xff_ffff);
        let networks = network.map_or(0, |_| u32::from(self.networks));
        bytes.put_u32(networks << 24 | vni);
        bytes.put_u64(self.requests_sent);
        bytes.put_u64(self.peer_session);
        bytes.put_u64(self.requests_received);
        bytes.put_u64(self.highest_requests_sent);
        bytes.put_u64(self.unsolicited_received);
        bytes.put_u64(self.data_received);
        bytes.put_u64(self.data_sent);
        bytes.put_u32(self.path_mtu);
        bytes.put_u32(network.map_or(0, |network| network.received));
        bytes.put_u64(self.echoed_session);
        bytes.put_u64(self.echoed_sequence);
        bytes.put_u64(self.held);
        put_header(&mut bytes, self.as_seen.as_ref());
        bytes.put_u32(network.map_or(0, |network| network.sent));
        let authenticator = key.authenticator(&bytes[ETH_LEN..]);
        bytes.put_slice(&authenticator);
        bytes.put_bytes(0, padding);
        bytes.freeze()
    }

    /// Decodes the inner frame of a received packet: what follows the VXLAN header, with or without
    /// the padding. `length`: of the IP packet as it arrived, in bytes.
    ///
    /// # Errors
    ///
    /// [`ProbeRefusal::Unauthenticated`], [`ProbeRefusal::Malformed`]: rule 1 of the protocol.
    pub fn decode(key: &Key, frame: &[u8], length: u32) -> Result<Self, ProbeRefusal> {
        let probe = authenticated(key, frame).ok_or(ProbeRefusal::Unauthenticated)?;
        let probe = parse(probe).ok_or(ProbeRefusal::Malformed)?;
        match u32::from(probe.as_sent.length) == length {
            true => Ok(probe),
            false => Err(ProbeRefusal::Malformed),
        }
    }
}

/// Returns the bytes that the authenticator covers, if it is right.
fn authenticated<'a>(key: &Key, frame: &'a [u8]) -> Option<&'a [u8; SIGNED_LEN]> {
    let (ethernet, probe) = frame.split_first_chunk::<ETH_LEN>()?;
    let (signed, rest) = probe.split_first_chunk::<SIGNED_LEN>()?;
    let authenticator = rest.first_chunk::<AUTHENTICATOR_LEN>()?;
    let is_probe = ethernet.starts_with(&DESTINATION_MAC)
        && ethernet[6..].starts_with(&SOURCE_MAC)
        && ethernet.ends_with(&ETHERTYPE)
        && signed.starts_with(&MAGIC)
        && signed[3] == VERSION
        && signed[4..12] == key.tag();
    (is_probe && key.verify(signed, authenticator)).then_some(signed)
}

/// Decodes every field behind the tag.
fn parse(signed: &[u8; SIGNED_LEN]) -> Option<Probe> {
    let mut bytes = &signed[12..];
    let kind = match bytes.get_u8() {
        1 => ProbeKind::Request,
        2 => ProbeKind::Reply,
        _ => return None,
    };
    let flags = bytes.get_u8();
    bytes.advance(2);
    let mut network = NetworkCounts { vni: 0, received: 0, sent: 0 };
    let networks;
    let mut probe = Probe {
        kind,
        unsolicited: flags & UNSOLICITED != 0,
        varies: flags & VARIES != 0,
        size: flags & SIZE != 0,
        fixed: flags & FIXED != 0,
        sender: array(&mut bytes),
        receiver: array(&mut bytes),
        session: bytes.get_u64(),
        token: bytes.get_u64(),
        offered_token: bytes.get_u64(),
        sequence: bytes.get_u64(),
        sent_at: bytes.get_u64(),
        as_sent: {
            let header = get_header(&mut bytes)??;
            let word = bytes.get_u32();
            network.vni = word & 0xff_ffff;
            networks = word.to_be_bytes()[0];
            header
        },
        requests_sent: bytes.get_u64(),
        peer_session: bytes.get_u64(),
        requests_received: bytes.get_u64(),
        highest_requests_sent: bytes.get_u64(),
        unsolicited_received: bytes.get_u64(),
        data_received: bytes.get_u64(),
        data_sent: bytes.get_u64(),
        path_mtu: {
            let mtu = bytes.get_u32();
            network.received = bytes.get_u32();
            mtu
        },
        network: None,
        networks,
        echoed_session: bytes.get_u64(),
        echoed_sequence: bytes.get_u64(),
        held: bytes.get_u64(),
        as_seen: get_header(&mut bytes)?,
    };
    network.sent = bytes.get_u32();
    probe.network = (networks != 0).then_some(network);
    (probe.session != 0).then_some(probe)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let mut array = [0; N];
    bytes.copy_to_slice(&mut array);
    array
}

fn put_header(bytes: &mut BytesMut, header: Option<&OuterHeader>) {
    // No packet has addresses of both families: such a header is written as unknown.
    let known = header.and_then(|header| {
        let family = match (header.source, header.destination) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => 4,
            (SocketAddr::V6(_), SocketAddr::V6(_)) => 6,
            (SocketAddr::V4(_), SocketAddr::V6(_)) | (SocketAddr::V6(_), SocketAddr::V4(_)) => {
                return None;
            }
        };
        Some((family, header))
    });
    let Some((family, header)) = known else {
        bytes.put_bytes(0, HEADER_LEN);
        return;
    };
    bytes.put_u8(family);
    bytes.put_u8(header.ttl);
    bytes.put_u8(match header.checksum {
        UdpChecksum::Zero => 0,
        UdpChecksum::Right => 1,
        UdpChecksum::Wrong => 2,
    });
    bytes.put_u8(u8::from(header.dont_fragment));
    bytes.put_u16(header.source.port());
    bytes.put_u16(header.destination.port());
    bytes.put_u16(header.length);
    bytes.put_u8(header.tos);
    bytes.put_u8(0);
    for address in [header.source.ip(), header.destination.ip()] {
        match address {
            IpAddr::V4(address) => {
                bytes.put_slice(&address.octets());
                bytes.put_bytes(0, 12);
            }
            IpAddr::V6(address) => bytes.put_slice(&address.octets()),
        }
    }
}

/// Decodes [`HEADER_LEN`] bytes. `None`: the family or the checksum is not one of the protocol;
/// `Some(None)`: the header is unknown to the sender.
fn get_header(bytes: &mut &[u8]) -> Option<Option<OuterHeader>> {
    let family = bytes.get_u8();
    let ttl = bytes.get_u8();
    let checksum = match bytes.get_u8() {
        0 => UdpChecksum::Zero,
        1 => UdpChecksum::Right,
        2 => UdpChecksum::Wrong,
        _ => return None,
    };
    let dont_fragment = bytes.get_u8() == 1;
    let ports = [bytes.get_u16(), bytes.get_u16()];
    let length = bytes.get_u16();
    let tos = bytes.get_u8();
    bytes.advance(1);
    let addresses: [[u8; 16]; 2] = [array(bytes), array(bytes)];
    let read: fn([u8; 16]) -> IpAddr = match family {
        0 => return Some(None),
        4 => |[a, b, c, d, ..]| Ipv4Addr::new(a, b, c, d).into(),
        6 => |octets| Ipv6Addr::from(octets).into(),
        _ => return None,
    };
    let [source, destination] = [0, 1].map(|end| SocketAddr::new(read(addresses[end]), ports[end]));
    Some(Some(OuterHeader { source, destination, ttl, tos, length, checksum, dont_fragment }))
}
