//! The inner frame: what it is, whom it claims to come from, and whom it is for.
//!
//! [`parse`] judges form only; whether a peer may send such a frame, and who owns its destination,
//! is decided by the programs with their maps.

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

pub use parse::{parse, parse_into};

/// What kind of frame it is, as far as forwarding cares.
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
    /// IPv6 control traffic that concerns one link and must not cross: router discovery, redirects,
    /// multicast listener reports. So is whatever hides behind an extension header, where the stack
    /// would find discovery and this program does not look.
    LinkControl,
}

/// A frame whose form is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Destination MAC.
    pub destination_mac: Mac,
    /// Source MAC.
    pub source_mac: Mac,
    /// Who claims to send: IP source or ARP sender protocol address.
    pub source: Address,
    /// Who is meant: IP destination or ARP target protocol address.
    pub destination: Address,
    /// The address that a solicitation asks for or an advertisement speaks for.
    pub target: Address,
    /// What it is.
    pub kind: FrameKind,
    /// Family of `source` and `destination`.
    pub family: u8,
    /// TOS byte or traffic class; 0 for ARP.
    pub tos: u8,
    /// Time to live or hop limit; 64 for ARP.
    pub ttl: u8,
    /// IP protocol or next header; 0 for ARP.
    pub protocol: u8,
    /// What an IPv6 fragment header is followed by; else the same as `protocol`.
    pub upper: u8,
    /// It has ports, and is no fragment.
    pub has_ports: bool,
    /// IPv4 with DF, or IPv6, which no router cuts up.
    pub dont_fragment: bool,
    /// A fragment behind the first: its transport header is somewhere else.
    pub is_later_fragment: bool,
    /// ARP whose sender hardware address is not the frame's source.
    pub speaks_for_other_mac: bool,
    /// Offset of the transport header from the start of the frame.
    pub transport: u16,
    /// Bytes of the IP packet from there on.
    pub transport_len: u16,
    /// Offset of the value of the maximum segment size of a TCP SYN; 0: none was found, see
    /// [`crate::mss::find`].
    pub segment_at: u16,
    /// That value.
    pub segment: u16,
    /// Source and destination port of TCP and UDP, as 32 bits; also of a first fragment. 0: none.
    pub ports: u32,
}

/// Why a frame is not one that the overlay carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerError {
    /// Cut off, or its lengths cannot be.
    Malformed,
    /// Not IPv4, IPv6 or ARP. 802.1Q is among these: RFC 7348 section 6.1.
    Protocol,
}

impl Inner {
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
        segment_at: 0,
        segment: 0,
        ports: 0,
    };
}

impl Inner {
    /// [`Self::transport`], with the bound that every header length keeps: a BPF verifier that lost
    /// sight of the value sees it here.
    #[inline(always)]
    pub const fn transport_at(&self) -> usize {
        self.transport as usize & 0x7f
    }

    /// Is the destination MAC a group address?
    #[inline(always)]
    pub const fn to_group(&self) -> bool {
        self.destination_mac.is_group()
    }

    /// Is the destination IP address multicast or limited broadcast?
    #[inline(always)]
    pub const fn to_multicast(&self) -> bool {
        self.is_multicast(&self.destination)
    }

    /// Is `address`, of the frame's family, multicast or limited broadcast?
    #[inline(always)]
    pub const fn is_multicast(&self, address: &Address) -> bool {
        let first = address.be32(0);
        if self.family == IPV6 {
            first >> 24 == 0xff
        } else {
            first >> 28 == 0xe || first == u32::MAX
        }
    }

    /// Whose traffic this is: the target of a solicitation, which by its IP destination is for a
    /// group, else the destination.
    #[inline(always)]
    pub const fn wanted(&self) -> &Address {
        match self.kind {
            FrameKind::Solicitation => &self.target,
            FrameKind::Ip | FrameKind::Arp | FrameKind::Advertisement | FrameKind::LinkControl => {
                &self.destination
            }
        }
    }

    /// Is it a tunnel towards its destination: IPv4 or IPv6 in IP, or GRE?
    #[inline(always)]
    pub const fn is_ip_tunnel(&self) -> bool {
        matches!(self.upper, PROTOCOL_IPV4 | PROTOCOL_IPV6 | PROTOCOL_GRE)
    }

    /// Is it UDP to IANA's VXLAN port, to the one that Linux used before, or to `port`?
    #[inline(always)]
    pub const fn is_vxlan(&self, port: u16) -> bool {
        let destination = self.ports as u16;
        self.upper == PROTOCOL_UDP
            && self.ports != 0
            && (destination == vxlan::PORT
                || destination == vxlan::LINUX_DEFAULT_PORT
                || destination == port)
    }

    /// Is it neighbour discovery?
    #[inline(always)]
    pub const fn is_discovery(&self) -> bool {
        matches!(self.kind, FrameKind::Solicitation | FrameKind::Advertisement)
    }

    /// Does the frame announce its own address to everybody (RFC 5227 section 3)?
    #[inline(always)]
    pub const fn is_announcement(&self) -> bool {
        matches!(self.kind, FrameKind::Arp)
            && self.to_group()
            && self.source.be32(0) == self.destination.be32(0)
    }

    /// Is `address` an IPv6 link-local unicast address (fe80::/10)?
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

    /// Can the source be no host's: see [`Self::is_no_host`], or a source MAC that is zero or a
    /// group's?
    #[inline(always)]
    pub const fn has_martian_source(&self) -> bool {
        self.source_mac.is_group()
            || self.source_mac.equals(&Mac::ZERO)
            || self.is_no_host(&self.source)
    }

    /// Can `address` be no host's: unspecified, loopback, multicast, reserved (RFC 1122 section
    /// 3.2.1.3, RFC 4291 section 2.5)?
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

/// The flow's hash, from which its UDP source port follows.
#[inline(always)]
pub const fn flow_hash(inner: &Inner) -> u32 {
    if matches!(inner.kind, FrameKind::Arp) {
        return flow::hash(&inner.source_mac.padded(), &inner.destination_mac.padded(), 0, 0);
    }
    let ports = if inner.has_ports { inner.ports } else { 0 };
    flow::hash(&inner.source, &inner.destination, ports, inner.protocol)
}

/// Length of everything in front of the payload of a GSO frame: what every segment repeats.
///
/// TCP and UDP only, as nothing else is segmented here; 0 for anything else.
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
