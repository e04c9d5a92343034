//! The outer headers that all packets to one member have in common, composed once: of a packet only
//! lengths, marks, the flow's port and the inner Ethernet header are filled in.

use crate::{
    addr::{IPV6, Mac},
    checksum,
    outer::{HeaderWords, OVERHEAD_IPV4, OVERHEAD_IPV6, OuterHeaders},
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN, VXLAN_LEN,
        ethernet::{self, MAC_LEN},
        ip::PROTOCOL_UDP,
        ipv4, ipv6, udp, word,
    },
};

const IP: usize = ETH_LEN;

/// Outer headers, and an inner Ethernet header behind them, some fields of which are of the latest
/// packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct HeaderTemplate {
    /// Sum of those words of the IPv4 header that no packet changes.
    sum: u32,
    words: HeaderWords,
}

/// What is of one packet.
#[derive(Clone, Copy, Debug)]
pub struct OfPacket {
    /// Bytes of the inner frame.
    pub len: u32,
    /// DSCP and ECN.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// As in [`OuterHeaders`].
    pub source_port: u16,
    /// As in [`OuterHeaders`].
    pub flow_label: u32,
    /// Inner destination MAC.
    pub destination_mac: Mac,
    /// Inner source MAC.
    pub source_mac: Mac,
    /// EtherType of the inner frame.
    pub ethertype: [u8; 2],
}

impl HeaderTemplate {
    /// No headers.
    pub const EMPTY: Self = Self { sum: 0, words: [0; (OVERHEAD_IPV6 + ETH_LEN) / 2] };

    /// Composes the headers over IPv4.
    #[inline(always)]
    pub const fn compose_ipv4(&mut self, outer: &OuterHeaders) {
        outer.write_ipv4(0, &mut self.words);
        let mut sum = ipv4::DONT_FRAGMENT as u32;
        let mut at = 0;
        while at < 4 {
            sum += u16::from_be(self.words[word(IP + ipv4::field::SOURCE) + at]) as u32;
            at += 1;
        }
        self.sum = sum;
    }

    /// Composes the headers over IPv6.
    #[inline(always)]
    pub const fn compose_ipv6(&mut self, outer: &OuterHeaders) {
        outer.write_ipv6(0, &mut self.words);
    }

    /// Fills in what is of a packet, for a template over `family`.
    #[inline(always)]
    pub const fn fill(&mut self, family: u8, of: &OfPacket) -> &HeaderWords {
        if family == IPV6 {
            self.fill_ipv6(of)
        } else {
            self.fill_ipv4(of)
        }
        &self.words
    }

    #[inline(always)]
    const fn fill_ipv4(&mut self, of: &OfPacket) {
        let version_tos = (ipv4::VERSION_IHL as u16) << 8 | of.tos as u16;
        let ttl_protocol = (of.ttl as u16) << 8 | PROTOCOL_UDP as u16;
        let total_len = (of.len + (IPV4_LEN + UDP_LEN + VXLAN_LEN) as u32) as u16;
        let sum = self.sum + version_tos as u32 + ttl_protocol as u32 + total_len as u32;
        self.words[word(IP + ipv4::field::VERSION_IHL)] = version_tos.to_be();
        self.words[word(IP + ipv4::field::TOTAL_LEN)] = total_len.to_be();
        self.words[word(IP + ipv4::field::TTL)] = ttl_protocol.to_be();
        self.words[word(IP + ipv4::field::CHECKSUM)] = (!checksum::fold(sum)).to_be();
        self.fill_rest::<{ IP + IPV4_LEN }>(of);
    }

    #[inline(always)]
    const fn fill_ipv6(&mut self, of: &OfPacket) {
        let first = (ipv6::VERSION as u32) << 28
            | (of.tos as u32) << (16 + ipv6::CLASS_SHIFT)
            | of.flow_label & ipv6::FLOW_LABEL_MASK;
        let next_header_hop_limit = (PROTOCOL_UDP as u16) << 8 | of.ttl as u16;
        let payload_len = (of.len + (UDP_LEN + VXLAN_LEN) as u32) as u16;
        self.words[word(IP + ipv6::field::VERSION_CLASS_LABEL)] = ((first >> 16) as u16).to_be();
        self.words[word(IP + ipv6::field::VERSION_CLASS_LABEL) + 1] = (first as u16).to_be();
        self.words[word(IP + ipv6::field::PAYLOAD_LEN)] = payload_len.to_be();
        self.words[word(IP + ipv6::field::NEXT_HEADER)] = next_header_hop_limit.to_be();
        self.fill_rest::<{ IP + IPV6_LEN }>(of);
    }

    /// UDP at `AT`, and the inner Ethernet header behind VXLAN.
    #[inline(always)]
    const fn fill_rest<const AT: usize>(&mut self, of: &OfPacket) {
        let udp_len = (of.len + (UDP_LEN + VXLAN_LEN) as u32) as u16;
        self.words[word(AT + udp::field::SOURCE_PORT)] = of.source_port.to_be();
        self.words[word(AT + udp::field::LEN)] = udp_len.to_be();
        let inner = word(AT + UDP_LEN + VXLAN_LEN);
        let mut at = 0;
        while at < word(MAC_LEN) {
            self.words[inner + at] = of.destination_mac.net16(at);
            self.words[inner + word(ethernet::field::SOURCE) + at] = of.source_mac.net16(at);
            at += 1;
        }
        self.words[inner + word(ethernet::field::ETHERTYPE)] = u16::from_ne_bytes(of.ethertype);
    }
}

const _: () = assert!(OVERHEAD_IPV4 == IP + IPV4_LEN + UDP_LEN + VXLAN_LEN);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        addr::{Address, IPV4},
        wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6},
    };

    fn outer(family: u8) -> OuterHeaders {
        let of = |last| {
            if family == IPV6 {
                Address::ipv6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 9, 0, 0, 0, 0, 0xfe, 0, 0, last])
            } else {
                Address::ipv4([203, 0, 113, last])
            }
        };
        OuterHeaders {
            source: of(1),
            destination: of(2),
            source_port: 0,
            destination_port: 8_472,
            vni: [0x12, 0x34, 0x56],
            tos: 0,
            ttl: 0,
            flow_label: 0,
        }
    }

    #[test]
    fn a_filled_template_is_what_would_be_composed() {
        let (a, b) = (Mac::new([2, 0, 0, 0, 0x44, 1]), Mac::new([2, 1, 2, 3, 4, 5]));
        for (family, at, ethertype) in
            [(IPV4, OVERHEAD_IPV4, ETHERTYPE_IPV6), (IPV6, OVERHEAD_IPV6, ETHERTYPE_IPV4)]
        {
            let mut template = HeaderTemplate::EMPTY;
            let outer = outer(family);
            if family == IPV6 {
                template.compose_ipv6(&outer);
            } else {
                template.compose_ipv4(&outer);
            }
            // One after the other: nothing of a packet stays for the next.
            for (len, tos, ttl, port, label) in [
                (60, 0, 64, 49_152, 0),
                (1_514, 0xff, 255, 65_535, 0xffff_ffff),
                (70_000, 1, 1, 4_789, 0x9_abcd),
                (14, 0xb8, 0, 50_000, 1),
            ] {
                let mut expected = [0; (OVERHEAD_IPV6 + ETH_LEN) / 2];
                let whole =
                    OuterHeaders { tos, ttl, source_port: port, flow_label: label, ..outer };
                if family == IPV6 {
                    whole.write_ipv6(len, &mut expected);
                } else {
                    whole.write_ipv4(len, &mut expected);
                }
                for half in 0..3 {
                    expected[at / 2 + half] = a.net16(half);
                    expected[at / 2 + 3 + half] = b.net16(half);
                }
                expected[at / 2 + 6] = u16::from_ne_bytes(ethertype);
                let of = OfPacket {
                    len,
                    tos,
                    ttl,
                    source_port: port,
                    flow_label: label,
                    destination_mac: a,
                    source_mac: b,
                    ethertype,
                };
                assert_eq!(template.fill(family, &of), &expected, "{family} {of:?}");
            }
        }
    }
}
