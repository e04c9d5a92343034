//! A probe as bytes. Which probes are answered or refused as old is the matter of `association`, what
//! they say that of the prober.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use vxlan_common::outer::{ETH_LEN, VXLAN_LEN};
use vxlan_common::probe::{ETHERTYPE, FRAME_LEN, PROBE_LEN};

use super::key::{AUTHENTICATOR_LEN, Key, NameId};
use super::{Checksum, Header};

/// Length of the IP packet that carries a probe without padding, over IPv4: 20 and 8 in front.
pub const LENGTH_V4: u16 = (20 + 8 + VXLAN_LEN + FRAME_LEN) as u16;
/// The same over IPv6: 40 and 8 in front.
pub const LENGTH_V6: u16 = LENGTH_V4 + 20;

const MAGIC: [u8; 3] = *b"vxp";
const VERSION: u8 = 1;
pub(super) const DESTINATION_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(super) const SOURCE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SIGNED_LEN: usize = PROBE_LEN - AUTHENTICATOR_LEN;

const UNSOLICITED: u8 = 1;
const VARIES: u8 = 2;
const SIZE: u8 = 4;
const FIXED: u8 = 8;

/// Whether a probe asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Request,
    Reply,
}

/// One probe, field by field in the order of `docs/probe-protocol.md`, which says what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub kind: Kind,
    /// From a port that data does not use.
    pub unsolicited: bool,
    /// The NAT in front of the sender gives it another address or port for each destination.
    pub varies: bool,
    /// Looks for the path MTU.
    pub size: bool,
    /// All data of the sender comes from this source port.
    pub fixed: bool,
    pub sender: NameId,
    pub receiver: NameId,
    /// Not zero.
    pub session: u64,
    pub token: u64,
    pub offered_token: u64,
    /// In a reply zero.
    pub sequence: u64,
    /// In ns, by the sender's clock.
    pub sent_at: u64,
    pub as_sent: Header,
    pub requests_sent: u64,
    pub peer_session: u64,
    pub requests_received: u64,
    pub highest_requests_sent: u64,
    pub unsolicited_received: u64,
    pub data_received: u64,
    pub data_sent: u64,
    /// In bytes; zero: not found yet.
    pub path_mtu: u32,
    /// In a request zero, as are the next two.
    pub echoed_session: u64,
    pub echoed_sequence: u64,
    /// In ns.
    pub held: u64,
    /// Absent: there was no request yet.
    pub as_seen: Option<Header>,
}

/// Why a received probe counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refused {
    /// Not made by who has the key, or not of this version.
    Unauthenticated,
    /// Made by who has the key, but not by the rules; or its length was changed on the way.
    Malformed,
    /// From or to another host.
    Misaddressed,
    /// Sent by this host itself.
    Reflected,
    /// Was here before, or answers nothing.
    Replayed,
    /// A request that may be an old one.
    Unproven,
}

impl Refused {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::Unauthenticated,
        Self::Malformed,
        Self::Misaddressed,
        Self::Reflected,
        Self::Replayed,
        Self::Unproven,
    ];

    /// The word in reports, and the metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Malformed => "malformed",
            Self::Misaddressed => "misaddressed",
            Self::Reflected => "reflected",
            Self::Replayed => "replayed",
            Self::Unproven => "unproven",
        }
    }
}

impl Probe {
    /// What goes behind the VXLAN header: the inner frame, and behind it `padding` bytes, which
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
            Kind::Request => 1,
            Kind::Reply => 2,
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
        bytes.put_u32(0);
        bytes.put_u64(self.requests_sent);
        bytes.put_u64(self.peer_session);
        bytes.put_u64(self.requests_received);
        bytes.put_u64(self.highest_requests_sent);
        bytes.put_u64(self.unsolicited_received);
        bytes.put_u64(self.data_received);
        bytes.put_u64(self.data_sent);
        bytes.put_u32(self.path_mtu);
        bytes.put_u32(0);
        bytes.put_u64(self.echoed_session);
        bytes.put_u64(self.echoed_sequence);
        bytes.put_u64(self.held);
        put_header(&mut bytes, self.as_seen.as_ref());
        bytes.put_u32(0);
        let authenticator = key.authenticator(&bytes[ETH_LEN..]);
        bytes.put_slice(&authenticator);
        bytes.put_bytes(0, padding);
        bytes.freeze()
    }

    /// Reads the inner frame of a received packet: what is behind the VXLAN header, with or without
    /// the padding. `length` is that of the IP packet as it arrived, in bytes.
    ///
    /// # Errors
    ///
    /// [`Refused::Unauthenticated`], [`Refused::Malformed`]: rule 1 of the protocol.
    pub fn decode(key: &Key, frame: &[u8], length: u32) -> Result<Self, Refused> {
        let probe = authenticated(key, frame).ok_or(Refused::Unauthenticated)?;
        let probe = parse(probe).ok_or(Refused::Malformed)?;
        match u32::from(probe.as_sent.length) == length {
            true => Ok(probe),
            false => Err(Refused::Malformed),
        }
    }
}

/// What the authenticator covers, if it is right.
fn authenticated<'a>(key: &Key, frame: &'a [u8]) -> Option<&'a [u8; SIGNED_LEN]> {
    let (ethernet, probe) = frame.split_first_chunk::<ETH_LEN>()?;
    let (signed, rest) = probe.split_first_chunk::<SIGNED_LEN>()?;
    let authenticator = rest.first_chunk::<AUTHENTICATOR_LEN>()?;
    let form = [&DESTINATION_MAC[..], &SOURCE_MAC, &ETHERTYPE].concat() == ethernet
        && signed.starts_with(&MAGIC)
        && signed[3] == VERSION
        && signed[4..12] == key.tag();
    (form && key.verify(signed, authenticator)).then_some(signed)
}

/// Every field behind the tag.
fn parse(signed: &[u8; SIGNED_LEN]) -> Option<Probe> {
    let mut bytes = &signed[12..];
    let kind = match bytes.get_u8() {
        1 => Kind::Request,
        2 => Kind::Reply,
        _ => return None,
    };
    let flags = bytes.get_u8();
    bytes.advance(2);
    let probe = Probe {
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
            let header = header(&mut bytes)??;
            bytes.advance(4);
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
            bytes.advance(4);
            mtu
        },
        echoed_session: bytes.get_u64(),
        echoed_sequence: bytes.get_u64(),
        held: bytes.get_u64(),
        as_seen: header(&mut bytes)?,
    };
    (probe.session != 0).then_some(probe)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let mut array = [0; N];
    bytes.copy_to_slice(&mut array);
    array
}

fn put_header(bytes: &mut BytesMut, header: Option<&Header>) {
    // No packet has addresses of both families.
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
        bytes.put_bytes(0, 44);
        return;
    };
    bytes.put_u8(family);
    bytes.put_u8(header.ttl);
    bytes.put_u8(match header.checksum {
        Checksum::Zero => 0,
        Checksum::Right => 1,
        Checksum::Wrong => 2,
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

/// Takes 44 bytes. `None`: a family or a checksum that is not there; `Some(None)`: nothing known.
fn header(bytes: &mut &[u8]) -> Option<Option<Header>> {
    let family = bytes.get_u8();
    let ttl = bytes.get_u8();
    let checksum = match bytes.get_u8() {
        0 => Checksum::Zero,
        1 => Checksum::Right,
        2 => Checksum::Wrong,
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
    Some(Some(Header { source, destination, ttl, tos, length, checksum, dont_fragment }))
}
