//! Frames of hosts that have no address yet: which ones may come from the unspecified address, and
//! which ones go back to it.

use super::{FrameKind, Inner};
use crate::{
    addr::{Address, IPV4},
    wire::ip::PROTOCOL_UDP,
};

impl Inner {
    /// The frame is an ARP probe (RFC 5227 section 1.1) or duplicate address detection (RFC 4862
    /// section 5.4.2): a host without an address asks whether one is taken.
    #[inline(always)]
    pub const fn is_address_probe(&self) -> bool {
        let asks = match self.kind {
            FrameKind::Arp => true,
            FrameKind::Solicitation => self.to_multicast(),
            FrameKind::Ip | FrameKind::Advertisement | FrameKind::LinkControl => false,
        };
        asks && self.source.equals(&Address::ZERO) && self.to_group()
    }

    /// The frame is an ARP reply to the address 0.0.0.0, which no host has: the one that asked is
    /// known by its MAC address alone.
    #[inline(always)]
    pub const fn answers_address_probe(&self) -> bool {
        matches!(self.kind, FrameKind::Arp) && self.destination.be32(0) == 0
    }

    /// The frame is a broadcast of a DHCP client that has no address (RFC 2131 section 4.1).
    #[inline(always)]
    pub const fn is_dhcp_request(&self) -> bool {
        /// Client to server.
        const PORTS: u32 = 68 << 16 | 67;
        matches!(self.kind, FrameKind::Ip)
            && self.family == IPV4
            && self.source.equals(&Address::ZERO)
            && self.destination.be32(0) == u32::MAX
            && self.protocol == PROTOCOL_UDP
            && self.has_ports
            && self.ports == PORTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Mac;

    const DHCP: Inner = Inner {
        destination_mac: Mac::BROADCAST,
        destination: Address::ipv4([255; 4]),
        protocol: PROTOCOL_UDP,
        has_ports: true,
        ports: 68 << 16 | 67,
        ..Inner::EMPTY
    };

    #[test]
    fn dhcp_is_from_the_client_to_every_server() {
        assert!(DHCP.is_dhcp_request() && !DHCP.is_address_probe());
        for other in [
            Inner { ports: 67 << 16 | 68, ..DHCP },
            Inner { ports: 68 << 16 | 68, ..DHCP },
            // The first fragment has ports to look at, and is no whole message.
            Inner { has_ports: false, ..DHCP },
            Inner { protocol: 6, ..DHCP },
            Inner { source: Address::ipv4([0, 0, 0, 1]), ..DHCP },
            Inner { destination: Address::ipv4([192, 168, 43, 1]), ..DHCP },
            Inner { kind: FrameKind::Arp, ..DHCP },
            Inner { family: crate::addr::IPV6, ..DHCP },
        ] {
            assert!(!other.is_dhcp_request(), "{other:?}");
        }
    }

    #[test]
    fn an_address_probe_is_a_question_to_a_group_from_no_address() {
        let arp = Inner {
            kind: FrameKind::Arp,
            destination_mac: Mac::BROADCAST,
            destination: Address::ipv4([192, 168, 43, 1]),
            ..Inner::EMPTY
        };
        let mut group = [0; 16];
        (group[0], group[1]) = (0xff, 2);
        let solicitation = Inner {
            kind: FrameKind::Solicitation,
            family: crate::addr::IPV6,
            destination: Address::ipv6(group),
            destination_mac: Mac::new([0x33, 0x33, 0xff, 0, 0, 1]),
            ..Inner::EMPTY
        };
        assert!(arp.is_address_probe() && solicitation.is_address_probe());
        let alone = Mac::new([2, 0, 0, 0, 0x43, 1]);
        let mut unicast = group;
        unicast[0] = 0x20;
        for other in [
            Inner { destination_mac: alone, ..arp },
            Inner { source: Address::ipv4([192, 168, 44, 1]), ..arp },
            Inner { kind: FrameKind::Ip, ..arp },
            Inner { destination_mac: alone, ..solicitation },
            Inner { destination: Address::ipv6(unicast), ..solicitation },
            Inner { source: Address::ipv6(unicast), ..solicitation },
            Inner { kind: FrameKind::Advertisement, ..solicitation },
        ] {
            assert!(!other.is_address_probe(), "{other:?}");
        }
        let reply = Inner { destination_mac: alone, destination: Address::ZERO, ..arp };
        assert!(reply.answers_address_probe() && !arp.answers_address_probe());
    }
}
