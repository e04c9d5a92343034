//! The inner frame: its kind, the addresses that it claims to come from, and those that it is for.
//!
//! [`parse`] checks the form only; whether a peer may send such a frame, and who owns its
//! destination, is decided by the programs with their maps.

use crate::{
    addr::{Address, IPV4, IPV6, Mac},
    bytes::{Bytes, HeaderWindow as _},
    flow,
    wire::{
        ETH_LEN, UDP_LEN,
        ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        ip::{PROTOCOL_GRE, PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_TCP, PROTOCOL_UDP},
        tcp, vxlan,
    },
};

mod parse;
mod unspecified;

pub use parse::{parse, parse_into};

/// The kinds of frame that forwarding distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// IPv4 or IPv6 payload.
    Ip,
    /// ARP request or reply (RFC 826).
    Arp,
    /// Neighbour solicitation (RFC 4861 section 4.3): who has the target?
    Solicitation,
    /// Neighbour advertisement (RFC 4861 section 4.4): the target is here.
    Advertisement,
    /// IPv6 control traffic that concerns one link and must not enter the overlay: router
    /// discovery, redirects, multicast listener reports. Also whatever is behind an extension
    /// header, where the stack would find neighbour discovery and the parser does not look.
    LinkControl,
}

/// The headers of a well-formed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Destination MAC.
    pub destination_mac: Mac,
    /// Source MAC.
    pub source_mac: Mac,
    /// IP source or ARP sender protocol address, as the frame claims.
    pub source: Address,
    /// IP destination or ARP target protocol address.
    pub destination: Address,
    /// The target address of a neighbour solicitation or advertisement.
    pub target: Address,
    /// The kind of frame.
    pub kind: FrameKind,
    /// Family of `source` and `destination`.
    pub family: u8,
    /// TOS byte or traffic class; 0 for ARP.
    pub tos: u8,
    /// Time to live or hop limit; 64 for ARP.
    pub ttl: u8,
    /// IP protocol or next header; 0 for ARP.
    pub protocol: u8,
    /// The next header of an IPv6 fragment header; without one, the same as `protocol`.
    pub upper: u8,
    /// The frame has ports, and is no fragment.
    pub has_ports: bool,
    /// IPv4 with DF, or IPv6, which no router fragments.
    pub dont_fragment: bool,
    /// A fragment behind the first, which has no transport header.
    pub is_later_fragment: bool,
    /// ARP whose sender hardware address is not the frame's source MAC, so that the frame claims an
    /// IP address for another MAC than its own.
    pub speaks_for_other_mac: bool,
    /// Offset of the transport header from the start of the frame.
    pub transport: u16,
    /// Bytes of the IP packet from there on.
    pub transport_len: u16,
    /// Offset of the value of the maximum segment size of a TCP SYN; 0: none was found, see
    /// [`crate::mss::find`].
    pub mss_at: u16,
    /// The maximum segment size; 0 as above.
    pub mss: u16,
    /// Source and destination port of TCP and UDP, as 32 bits; also of a first fragment. 0: none.
    pub ports: u32,
}

/// Why the overlay does not carry a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerError {
    /// Cut off, or with impossible lengths.
    Malformed,
    /// Not IPv4, IPv6 or ARP. 802.1Q is among these: RFC 7348 section 6.1.
    Protocol,
}

impl Inner {
    /// UDP, fragments too. Depends on nothing but the protocol, so that all packets of a flow are
    /// of one kind.
    #[inline(always)]
    pub const fn is_udp(&self) -> bool {
        !matches!(self.kind, FrameKind::Arp) && self.upper == PROTOCOL_UDP
    }

    /// No frame yet.
    pub const EMPTY: Self = Self {
        destination_mac: Mac::ZERO,
        source_mac: Mac::ZERO,
        source: Address::ZERO,
        destination: Address::ZERO,
        target: Address::ZERO,
        kind: FrameKind::Ip,
        family: IPV4,
        tos: 0,
        ttl: 64,
        protocol: 0,
        upper: 0,
        has_ports: false,
        dont_fragment: false,
        is_later_fragment: false,
        speaks_for_other_mac: false,
        transport: 0,
        transport_len: 0,
        mss_at: 0,
        mss: 0,
        ports: 0,
    };
}

impl Inner {
    /// [`Self::transport`], with a bound that all header lengths stay below: shows it to a BPF
    /// verifier that has lost the value.
    #[inline(always)]
    pub const fn transport_at(&self) -> usize {
        self.transport as usize & 0x7f
    }

    /// The destination MAC is a group address.
    #[inline(always)]
    pub const fn to_group(&self) -> bool {
        self.destination_mac.is_group()
    }

    /// The destination IP address is multicast or limited broadcast.
    #[inline(always)]
    pub const fn to_multicast(&self) -> bool {
        self.is_multicast(&self.destination)
    }

    /// `address`, of the frame's family, is multicast or limited broadcast.
    #[inline(always)]
    pub const fn is_multicast(&self, address: &Address) -> bool {
        let first = address.be32(0);
        if self.family == IPV6 {
            first >> 24 == 0xff
        } else {
            first >> 28 == 0xe || first == u32::MAX
        }
    }

    /// The address whose owner gets the frame: the target of a neighbour solicitation, whose IP
    /// destination is a group; of any other frame, the destination.
    #[inline(always)]
    pub const fn owner_address(&self) -> &Address {
        match self.kind {
            FrameKind::Solicitation => &self.target,
            FrameKind::Ip | FrameKind::Arp | FrameKind::Advertisement | FrameKind::LinkControl => {
                &self.destination
            }
        }
    }

    /// The packet is a tunnel's: IPv4 or IPv6 in IP, or GRE.
    #[inline(always)]
    pub const fn is_ip_tunnel(&self) -> bool {
        matches!(self.upper, PROTOCOL_IPV4 | PROTOCOL_IPV6 | PROTOCOL_GRE)
    }

    /// The packet is UDP to IANA's VXLAN port, to the earlier default port of Linux, or to `port`.
    #[inline(always)]
    pub const fn is_vxlan(&self, port: u16) -> bool {
        self.upper == PROTOCOL_UDP && self.ports != 0 && vxlan::is_port(self.ports as u16, port)
    }

    /// The packet is a neighbour solicitation or advertisement.
    #[inline(always)]
    pub const fn is_discovery(&self) -> bool {
        matches!(self.kind, FrameKind::Solicitation | FrameKind::Advertisement)
    }

    /// The frame is an ARP announcement of the sender's own address (RFC 5227 section 3).
    #[inline(always)]
    pub const fn is_announcement(&self) -> bool {
        matches!(self.kind, FrameKind::Arp)
            && self.to_group()
            && self.source.be32(0) == self.destination.be32(0)
    }

    /// `address` is an IPv6 link-local unicast address (fe80::/10).
    #[inline(always)]
    pub const fn is_link_local(&self, address: &Address) -> bool {
        self.family == IPV6 && address.be32(0) >> 22 == 0xfe80 >> 6
    }

    /// EtherType of the frame.
    #[inline(always)]
    pub const fn ethertype(&self) -> [u8; 2] {
        match (self.kind, self.family) {
            (FrameKind::Arp, _) => ETHERTYPE_ARP,
            (_, IPV6) => ETHERTYPE_IPV6,
            _ => ETHERTYPE_IPV4,
        }
    }

    /// The source cannot be a host's: see [`Self::is_no_host`]; or the source MAC is zero or a
    /// group's.
    #[inline(always)]
    pub const fn has_martian_source(&self) -> bool {
        self.has_martian_mac() || self.is_no_host(&self.source)
    }

    /// The source MAC is zero or a group's.
    #[inline(always)]
    pub const fn has_martian_mac(&self) -> bool {
        self.source_mac.is_group() || self.source_mac.equals(&Mac::ZERO)
    }

    /// `address` cannot be a host's: unspecified, loopback, multicast or reserved (RFC 1122 section
    /// 3.2.1.3, RFC 4291 section 2.5).
    #[inline(always)]
    pub const fn is_no_host(&self, address: &Address) -> bool {
        let first = address.be32(0);
        if self.family == IPV4 {
            let network = first >> 24;
            return network == 0 || network == 127 || network >= 224;
        }
        let loopback = first | address.be32(1) | address.be32(2) == 0 && address.be32(3) <= 1;
        first >> 24 == 0xff || loopback
    }

    /// Length of the IP packet.
    #[inline(always)]
    pub const fn ip_len(&self) -> u32 {
        self.transport as u32 - ETH_LEN as u32 + self.transport_len as u32
    }
}

/// The hash of the frame's flow, which determines the UDP source port.
#[inline(always)]
pub const fn flow_hash(inner: &Inner) -> u32 {
    if matches!(inner.kind, FrameKind::Arp) {
        return flow::hash(&inner.source_mac.padded(), &inner.destination_mac.padded(), 0, 0);
    }
    let ports = if inner.has_ports { inner.ports } else { 0 };
    flow::hash(&inner.source, &inner.destination, ports, inner.protocol)
}

/// Length of the headers that every segment of a GSO frame repeats.
///
/// TCP and UDP only, as no other protocol is segmented; 0 for any other.
#[inline(always)]
pub fn segment_headers<P: Bytes + ?Sized>(packet: &P, offset: usize, inner: &Inner) -> u32 {
    let transport = u32::from(inner.transport);
    if inner.protocol == PROTOCOL_UDP {
        return transport + UDP_LEN as u32;
    }
    if inner.protocol != PROTOCOL_TCP {
        return 0;
    }
    match packet.window::<1>(offset + inner.transport_at() + tcp::field::DATA_OFFSET) {
        Some(data_offset) => transport + u32::from(data_offset.byte(0) >> 4) * 4,
        None => 0,
    }
}

#[cfg(test)]
mod tests;
