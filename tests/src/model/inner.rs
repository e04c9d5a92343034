//! An inner frame, read: its form (rules 14 and 15), and what it is for the rules behind.

use std::net::IpAddr;

use super::bytes::{array, be16, ipv4, ipv6};
use crate::packet::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Mac, PROTOCOL_ICMP, PROTOCOL_ICMPV6,
};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const FRAGMENT_HEADER: u8 = 44;
/// IPv4 in IP, IPv6 in IP and GRE.
const TUNNELS: [u8; 3] = [4, 41, 47];
/// Hop-by-hop options, routing, AH, destination options, mobility, HIP and shim6.
const LINK_EXTENSIONS: [u8; 7] = [0, 43, 51, 60, 135, 139, 140];
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Of Ethernet.
pub(super) const HEADER: usize = 14;

/// What is wrong with a frame before it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Malformed,
    OtherProtocol,
}

#[derive(Debug)]
pub(super) struct Inner<'a> {
    pub(super) dst: Mac,
    pub(super) src: Mac,
    pub(super) kind: FrameKind<'a>,
}

#[derive(Debug)]
pub(super) enum FrameKind<'a> {
    Arp(Arp),
    Ip(Ip<'a>),
}

#[derive(Debug)]
pub(super) struct Arp {
    pub(super) request: bool,
    pub(super) sender_mac: Mac,
    pub(super) sender: IpAddr,
    pub(super) target: IpAddr,
}

impl Arp {
    pub(super) fn announces_itself(&self) -> bool {
        self.sender == self.target
    }
}

#[derive(Debug)]
pub(super) struct Ip<'a> {
    /// The packet, from its header to the end that its length says.
    pub(super) packet: &'a [u8],
    /// Length of the IPv4 header, or of the fixed IPv6 header.
    pub(super) header: usize,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// IPv4's, or the next header of the fixed IPv6 header.
    pub(super) protocol: u8,
    pub(super) ttl: u8,
    /// DSCP and ECN.
    pub(super) tos: u8,
}

/// A neighbour solicitation or advertisement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Discovery {
    pub(super) solicits: bool,
    pub(super) target: IpAddr,
}

impl<'a> Inner<'a> {
    pub(super) fn read(frame: &'a [u8]) -> Result<Self, Unreadable> {
        let malformed = Unreadable::Malformed;
        let dst = array(frame, 0).ok_or(malformed)?;
        let src = array(frame, 6).ok_or(malformed)?;
        let body = frame.get(HEADER..).ok_or(malformed)?;
        let kind = match be16(frame, 12).ok_or(malformed)? {
            ETHERTYPE_IPV4 => FrameKind::Ip(Ip::v4(body).ok_or(malformed)?),
            ETHERTYPE_IPV6 => FrameKind::Ip(Ip::v6(body).ok_or(malformed)?),
            ETHERTYPE_ARP => FrameKind::Arp(arp(body).ok_or(malformed)?),
            _ => return Err(Unreadable::OtherProtocol),
        };
        Ok(Self { dst, src, kind })
    }

    /// The IP packet, if it is one.
    pub(super) fn ip(&self) -> Option<&Ip<'a>> {
        match &self.kind {
            FrameKind::Ip(ip) => Some(ip),
            FrameKind::Arp(_) => None,
        }
    }
}

fn arp(body: &[u8]) -> Option<Arp> {
    let operation = be16(body, 6)?;
    let for_ethernet_and_ipv4 = body[..6] == [0, 1, 8, 0, 6, 4];
    if body.len() < 28 || !for_ethernet_and_ipv4 || !matches!(operation, 1 | 2) {
        return None;
    }
    Some(Arp {
        request: operation == 1,
        sender_mac: array(body, 8)?,
        sender: ipv4(body, 14)?,
        target: ipv4(body, 24)?,
    })
}

impl<'a> Ip<'a> {
    fn v4(body: &'a [u8]) -> Option<Self> {
        let fixed = body.get(..20)?;
        let (header, total) = (usize::from(fixed[0] & 15) * 4, be16(fixed, 2)?.into());
        if fixed[0] >> 4 != 4 || header < 20 || total < header {
            return None;
        }
        Some(Self {
            packet: body.get(..total)?,
            header,
            src: ipv4(fixed, 12)?,
            dst: ipv4(fixed, 16)?,
            protocol: fixed[9],
            ttl: fixed[8],
            tos: fixed[1],
        })
    }

    fn v6(body: &'a [u8]) -> Option<Self> {
        let fixed = body.get(..40)?;
        let total = 40 + usize::from(be16(fixed, 4)?);
        if fixed[0] >> 4 != 6 {
            return None;
        }
        let ip = Self {
            packet: body.get(..total)?,
            header: 40,
            src: ipv6(fixed, 8)?,
            dst: ipv6(fixed, 24)?,
            protocol: fixed[6],
            ttl: fixed[7],
            tos: fixed[0] << 4 | fixed[1] >> 4,
        };
        let shortest = match (ip.protocol, ip.payload().first()) {
            (PROTOCOL_ICMPV6, Some(&(SOLICITATION | ADVERTISEMENT))) if ip.ttl == 255 => 24,
            (PROTOCOL_ICMPV6, _) => 1,
            _ => 0,
        };
        (ip.payload().len() >= shortest).then_some(ip)
    }

    pub(super) fn is_v6(&self) -> bool {
        self.src.is_ipv6()
    }

    /// What follows the IPv4 header or the fixed IPv6 header.
    pub(super) fn payload(&self) -> &'a [u8] {
        &self.packet[self.header..]
    }

    fn fragment_field(&self) -> u16 {
        be16(self.packet, 6).unwrap_or(0)
    }

    pub(super) fn dont_fragment(&self) -> bool {
        self.is_v6() || self.fragment_field() & 0x4000 != 0
    }

    /// By IPv4's flags and offset, or by the next header of the fixed IPv6 header.
    pub(super) fn is_fragment(&self) -> bool {
        if self.is_v6() {
            self.protocol == FRAGMENT_HEADER
        } else {
            self.fragment_field() & 0x3fff != 0
        }
    }

    /// Upper-layer protocol and what there is of its packet, from the first byte on. Nothing for a
    /// fragment behind the first.
    pub(super) fn transport(&self) -> Option<(u8, &'a [u8])> {
        if !self.is_v6() {
            let first = self.fragment_field() & 0x1fff == 0;
            return first.then(|| (self.protocol, self.payload()));
        }
        if self.protocol != FRAGMENT_HEADER {
            return Some((self.protocol, self.payload()));
        }
        let (header, behind) = self.payload().split_at_checked(8)?;
        let first = be16(header, 2)? & 0xfff8 == 0;
        first.then_some((header[0], behind))
    }

    /// What an IPv6 fragment header is followed by.
    fn behind_fragment(&self) -> Option<u8> {
        let header = self.payload().get(..8).filter(|_| self.is_v6() && self.is_fragment());
        header.map(|header| header[0])
    }

    /// The protocol, or what the fragment header behind the fixed IPv6 header has for it.
    fn carried(&self) -> u8 {
        self.behind_fragment().unwrap_or(self.protocol)
    }

    pub(super) fn is_later_fragment(&self) -> bool {
        self.is_fragment() && self.transport().is_none()
    }

    /// Source and destination port of a whole UDP packet over IPv4.
    pub(super) fn udp_ports(&self) -> Option<(u16, u16)> {
        let whole = !self.is_v6() && self.protocol == UDP && !self.is_fragment();
        let ports = self.payload().get(..4).filter(|_| whole)?;
        be16(ports, 0).zip(be16(ports, 2))
    }

    fn icmpv6_type(&self) -> Option<u8> {
        let icmpv6 = self.is_v6() && self.protocol == PROTOCOL_ICMPV6;
        self.payload().first().copied().filter(|_| icmpv6)
    }

    pub(super) fn discovery(&self) -> Option<Discovery> {
        let kind = self.icmpv6_type().filter(|_| self.ttl == 255)?;
        let is_discovery = matches!(kind, SOLICITATION | ADVERTISEMENT);
        let target = ipv6(self.payload(), 8).filter(|_| is_discovery)?;
        Some(Discovery { solicits: kind == SOLICITATION, target })
    }

    /// Rule 16.
    pub(super) fn is_link_scoped(&self) -> bool {
        let IpAddr::V6(dst) = self.dst else { return false };
        matches!(self.icmpv6_type(), Some(130..=134 | 137 | 143))
            || LINK_EXTENSIONS.contains(&self.protocol)
            || self
                .behind_fragment()
                .is_some_and(|next| LINK_EXTENSIONS.contains(&next) || next == FRAGMENT_HEADER)
            || dst.segments()[0] & 0xff0f == 0xff02
                && !matches!(self.protocol, UDP | PROTOCOL_ICMPV6)
    }

    /// Rule 18.
    pub(super) fn is_tunnel(&self, port: u16, pass_nested: bool, to_underlay: bool) -> bool {
        let udp_port = match self.transport() {
            Some((UDP, udp)) => be16(udp, 2),
            _ => None,
        };
        let vxlan = udp_port.is_some_and(|to| [4789, 8472, port].contains(&to));
        let tunnel = TUNNELS.contains(&self.carried());
        vxlan && (!pass_nested || to_underlay) || tunnel && to_underlay
    }

    /// RFC 1122, section 3.2.2 and RFC 4443, section 2.1.
    pub(super) fn is_icmp_error(&self) -> bool {
        let Some((protocol, icmp)) = self.transport() else { return false };
        match (self.is_v6(), protocol, icmp.first()) {
            (false, PROTOCOL_ICMP, Some(kind)) => matches!(kind, 3 | 4 | 5 | 11 | 12),
            (true, PROTOCOL_ICMPV6, Some(kind)) => *kind < 128,
            _ => false,
        }
    }
}
