//! The outer headers: Ethernet, IPv4 or IPv6, UDP, VXLAN. [`OuterHeaders`] composes them,
//! [`inner_len`] and [`vni`] check received ones. Which packets are ours, and whose, is decided by
//! the programs.

use crate::{
    addr::{Address, IPV6},
    bytes::HeaderWindow,
    checksum,
    reason::RxDrop,
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN, VXLAN_LEN,
        ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        ip::PROTOCOL_UDP,
        ipv4, ipv6, udp, vxlan, word,
    },
};

/// Bytes that encapsulation adds in front of an inner frame over IPv4.
pub const OVERHEAD_IPV4: usize = ETH_LEN + IPV4_LEN + UDP_LEN + VXLAN_LEN;
/// Bytes that encapsulation adds in front of an inner frame over IPv6.
pub const OVERHEAD_IPV6: usize = OVERHEAD_IPV4 + IPV6_LEN - IPV4_LEN;

/// The difference in length between an outer IP packet and the inner one, by outer family: all
/// headers except the outer Ethernet header, which is not part of an IP packet, and with the inner
/// one, which is.
#[inline(always)]
pub const fn overhead(family: u8) -> u32 {
    (if family == IPV6 { OVERHEAD_IPV6 } else { OVERHEAD_IPV4 }) as u32
}

/// Offset of the IP header.
const IP: usize = ETH_LEN;

/// Headers to be written in front of an inner frame. The Ethernet addresses are left zero: the
/// kernel's neighbour layer fills them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterHeaders {
    /// Address of this host.
    pub source: Address,
    /// Address of the peer.
    pub destination: Address,
    /// Entropy of the inner flow, or the VXLAN port.
    pub source_port: u16,
    /// The peer's VXLAN port.
    pub destination_port: u16,
    /// Network, network order.
    pub vni: [u8; 3],
    /// DSCP and ECN.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// Low 20 bits of the inner flow's hash (RFC 6438); IPv6 only.
    pub flow_label: u32,
}

/// Room for the headers of either family and for the inner Ethernet header behind them, as 16-bit
/// words in wire order: every field begins on one.
pub type HeaderWords = [u16; (OVERHEAD_IPV6 + ETH_LEN) / 2];

impl OuterHeaders {
    /// Writes [`OVERHEAD_IPV4`] bytes for an inner frame of `inner_len` bytes, Ethernet header
    /// included.
    ///
    /// DF is set and the identification zero: an atomic datagram (RFC 6864 section 4.1), as the
    /// tunnel must not be fragmented (RFC 7348 section 4.3). For a GSO frame longer than 65,535
    /// bytes the lengths wrap; segmentation rewrites them for every packet on the wire.
    #[inline(always)]
    pub const fn write_ipv4(&self, inner_len: u32, headers: &mut HeaderWords) {
        let version_tos = (ipv4::VERSION_IHL as u16) << 8 | self.tos as u16;
        let total_len = (inner_len + (IPV4_LEN + UDP_LEN + VXLAN_LEN) as u32) as u16;
        let ttl_protocol = (self.ttl as u16) << 8 | PROTOCOL_UDP as u16;
        let (s, d) = (&self.source, &self.destination);
        let addresses = [s.net16(0), s.net16(1), d.net16(0), d.net16(1)];
        let mut sum = version_tos as u32 + total_len as u32 + ipv4::DONT_FRAGMENT as u32;
        sum += ttl_protocol as u32;
        let mut at = 0;
        while at < 4 {
            sum += u16::from_be(addresses[at]) as u32;
            at += 1;
        }
        write_ethernet(ETHERTYPE_IPV4, headers);
        headers[word(IP + ipv4::field::VERSION_IHL)] = version_tos.to_be();
        headers[word(IP + ipv4::field::TOTAL_LEN)] = total_len.to_be();
        headers[word(IP + ipv4::field::IDENTIFICATION)] = 0;
        headers[word(IP + ipv4::field::FRAGMENT)] = ipv4::DONT_FRAGMENT.to_be();
        headers[word(IP + ipv4::field::TTL)] = ttl_protocol.to_be();
        headers[word(IP + ipv4::field::CHECKSUM)] = (!checksum::fold(sum)).to_be();
        at = 0;
        while at < 4 {
            headers[word(IP + ipv4::field::SOURCE) + at] = addresses[at];
            at += 1;
        }
        self.write_udp::<{ IP + IPV4_LEN }>(inner_len, headers);
    }

    /// Writes [`OVERHEAD_IPV6`] bytes, otherwise as [`Self::write_ipv4`].
    #[inline(always)]
    pub const fn write_ipv6(&self, inner_len: u32, headers: &mut HeaderWords) {
        let first = (ipv6::VERSION as u32) << 28
            | (self.tos as u32) << (16 + ipv6::CLASS_SHIFT)
            | self.flow_label & ipv6::FLOW_LABEL_MASK;
        let payload_len = (inner_len + (UDP_LEN + VXLAN_LEN) as u32) as u16;
        let next_header_hop_limit = (PROTOCOL_UDP as u16) << 8 | self.ttl as u16;
        write_ethernet(ETHERTYPE_IPV6, headers);
        headers[word(IP + ipv6::field::VERSION_CLASS_LABEL)] = ((first >> 16) as u16).to_be();
        headers[word(IP + ipv6::field::VERSION_CLASS_LABEL) + 1] = (first as u16).to_be();
        headers[word(IP + ipv6::field::PAYLOAD_LEN)] = payload_len.to_be();
        headers[word(IP + ipv6::field::NEXT_HEADER)] = next_header_hop_limit.to_be();
        let mut at = 0;
        while at < 8 {
            headers[word(IP + ipv6::field::SOURCE) + at] = self.source.net16(at);
            headers[word(IP + ipv6::field::DESTINATION) + at] = self.destination.net16(at);
            at += 1;
        }
        self.write_udp::<{ IP + IPV6_LEN }>(inner_len, headers);
    }

    /// Writes UDP without a checksum (RFC 7348 section 5; RFC 6935 section 5 for IPv6), and VXLAN.
    #[inline(always)]
    const fn write_udp<const AT: usize>(&self, inner_len: u32, headers: &mut HeaderWords) {
        let [a, b, c] = self.vni;
        headers[word(AT + udp::field::SOURCE_PORT)] = self.source_port.to_be();
        headers[word(AT + udp::field::DESTINATION_PORT)] = self.destination_port.to_be();
        headers[word(AT + udp::field::LEN)] =
            ((inner_len + (UDP_LEN + VXLAN_LEN) as u32) as u16).to_be();
        headers[word(AT + udp::field::CHECKSUM)] = 0;
        let at = AT + UDP_LEN;
        headers[word(at + vxlan::field::FLAGS)] = be(vxlan::FLAG_I, 0).to_be();
        headers[word(at + vxlan::field::FLAGS) + 1] = 0;
        headers[word(at + vxlan::field::VNI)] = be(a, b).to_be();
        headers[word(at + vxlan::field::VNI) + 1] = be(c, 0).to_be();
    }
}

/// Writes an Ethernet header without addresses.
#[inline(always)]
const fn write_ethernet(ethertype: [u8; 2], headers: &mut HeaderWords) {
    let mut at = 0;
    while at < word(ethernet::field::ETHERTYPE) {
        headers[at] = 0;
        at += 1;
    }
    headers[word(ethernet::field::ETHERTYPE)] = u16::from_ne_bytes(ethertype);
}

const fn be(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

/// Checks a received UDP length against the `room` that the IP header leaves for UDP. Returns the
/// length of what follows the VXLAN header: the inner frame.
///
/// # Errors
/// [`RxDrop::MalformedOuter`] where the two lengths disagree (RFC 768: the UDP length covers header
/// and data), [`RxDrop::InvalidVxlanHeader`] where no VXLAN header fits.
#[inline(always)]
pub const fn inner_len(udp_len: u16, room: u16) -> Result<u16, RxDrop> {
    if room < UDP_LEN as u16 || udp_len != room {
        return Err(RxDrop::MalformedOuter);
    }
    match udp_len.checked_sub((UDP_LEN + VXLAN_LEN) as u16) {
        Some(inner) => Ok(inner),
        None => Err(RxDrop::InvalidVxlanHeader),
    }
}

/// The VNI of a received VXLAN header.
///
/// # Errors
/// [`RxDrop::InvalidVxlanHeader`] where the I flag is clear, or a reserved bit is set and not
/// ignored. RFC 7348 would have them ignored; Linux refuses them (`vxlan_rcv`), because they are
/// other protocols' flags: GBP, GPE, remote checksum offload.
#[inline(always)]
pub fn vni(header: &impl HeaderWindow, ignore_reserved: bool) -> Result<[u8; 3], RxDrop> {
    let [a, b, c, reserved] = header.be_bytes4(vxlan::field::VNI);
    let flags = header.be32(vxlan::field::FLAGS);
    let i_flag = (vxlan::FLAG_I as u32) << 24;
    if flags & i_flag == 0 || (!ignore_reserved && (flags != i_flag || reserved != 0)) {
        return Err(RxDrop::InvalidVxlanHeader);
    }
    Ok([a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes as _;

    const OUTER: OuterHeaders = OuterHeaders {
        source: Address::ipv4([192, 0, 2, 1]),
        destination: Address::ipv4([198, 51, 100, 2]),
        source_port: 0xc123,
        destination_port: 4789,
        vni: [0x12, 0x34, 0x56],
        tos: 0x02,
        ttl: 64,
        flow_label: 0xfff_abcde,
    };

    fn bytes(len: usize, front: &HeaderWords) -> Vec<u8> {
        front.iter().flat_map(|half| half.to_ne_bytes()).take(len).collect()
    }

    fn ipv4(inner_len: u32) -> Vec<u8> {
        let mut front = [0xffff; (OVERHEAD_IPV6 + ETH_LEN) / 2];
        OUTER.write_ipv4(inner_len, &mut front);
        bytes(OVERHEAD_IPV4, &front)
    }

    fn vni_of(header: &[u8]) -> Result<[u8; 3], RxDrop> {
        vni(&header.window::<VXLAN_LEN>(0).unwrap(), false)
    }

    #[test]
    fn headers_byte_for_byte() {
        let expected = [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x00, // Ethernet
            0x45, 0x02, 0, 134, 0, 0, 0x40, 0, 64, 17, 0x4e, 0x2e, // IPv4 ...
            192, 0, 2, 1, 198, 51, 100, 2, // ... addresses
            0xc1, 0x23, 0x12, 0xb5, 0, 114, 0, 0, // UDP
            0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0, // VXLAN (RFC 7348 figure 1)
        ];
        assert_eq!(ipv4(98), expected);
    }

    #[test]
    fn ipv6_headers_byte_for_byte() {
        let address =
            |last| Address::ipv6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        let outer = OuterHeaders { source: address(1), destination: address(2), ..OUTER };
        let mut front = [0xffff; (OVERHEAD_IPV6 + ETH_LEN) / 2];
        outer.write_ipv6(98, &mut front);
        let expected = [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd, // Ethernet
            0x60, 0x2a, 0xbc, 0xde, 0, 114, 17, 64, // IPv6 ...
            0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // ... from
            0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // ... to
            0xc1, 0x23, 0x12, 0xb5, 0, 114, 0, 0, // UDP
            0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0, // VXLAN
        ];
        assert_eq!(bytes(OVERHEAD_IPV6, &front), expected);
    }

    #[test]
    fn what_is_written_is_accepted() {
        for len in [14u32, 60, 1410, 9000, 65_499] {
            let h = ipv4(len);
            let ip: [u8; 20] = h[14..34].try_into().unwrap();
            assert_eq!(checksum::ipv4_header(&ip), 0);
            let total = u16::from_be_bytes([ip[2], ip[3]]);
            let udp_len = u16::from_be_bytes([h[38], h[39]]);
            assert_eq!(inner_len(udp_len, total - 20), Ok(len as u16));
            assert_eq!(vni_of(&h[42..]), Ok(OUTER.vni));
        }
    }

    #[test]
    fn every_one_of_the_39_reserved_bits_is_refused() {
        let good = [0x08, 0, 0, 0, 0xff, 0xff, 0xff, 0];
        assert_eq!(vni_of(&good), Ok([0xff; 3]));
        let mut refused = 0;
        for bit in 0..64 {
            let mut header = good;
            header[bit / 8] ^= 0x80 >> (bit % 8);
            let is_vni = (32..56).contains(&bit);
            assert_eq!(vni_of(&header).is_err(), !is_vni, "bit {bit}");
            refused += usize::from(!is_vni);
        }
        assert_eq!(refused, 39 + 1, "the reserved bits and the I flag");
        let all = [0xff, 0xff, 0xff, 0xff, 1, 2, 3, 0xff];
        assert_eq!(vni(&all.window::<VXLAN_LEN>(0).unwrap(), true), Ok([1, 2, 3]));
        let none = [0xf7, 0xff, 0xff, 0xff, 1, 2, 3, 0xff];
        assert!(vni(&none.window::<VXLAN_LEN>(0).unwrap(), true).is_err(), "the I flag counts");
    }

    #[test]
    fn lying_udp_lengths() {
        assert_eq!(inner_len(16, 16), Ok(0));
        assert_eq!(inner_len(15, 15), Err(RxDrop::InvalidVxlanHeader));
        assert_eq!(inner_len(8, 8), Err(RxDrop::InvalidVxlanHeader));
        assert_eq!(inner_len(30, 31), Err(RxDrop::MalformedOuter));
        assert_eq!(inner_len(31, 30), Err(RxDrop::MalformedOuter));
        assert_eq!(inner_len(0, 0), Err(RxDrop::MalformedOuter));
        assert_eq!(inner_len(7, 7), Err(RxDrop::MalformedOuter));
    }
}
