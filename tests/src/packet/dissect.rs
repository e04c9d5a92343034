//! Names the fields of a frame, so that a difference between two frames can be told in words.
//! Believes what the headers say of their lengths, and stops where the bytes end.

use std::ops::Range;

use super::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, PROTOCOL_ICMP, PROTOCOL_ICMPV6,
    PROTOCOL_TCP, PROTOCOL_UDP, VXLAN_PORT,
};

/// A named piece of a frame, as in `inner ipv4 ttl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub range: Range<usize>,
}

const ETH: &[(&str, usize)] = &[("eth dst", 6), ("eth src", 6), ("eth type", 2)];
const VLAN: &[(&str, usize)] = &[("vlan tag", 2), ("vlan type", 2)];
const IPV4: &[(&str, usize)] = &[
    ("ipv4 version and header length", 1),
    ("ipv4 tos", 1),
    ("ipv4 total length", 2),
    ("ipv4 id", 2),
    ("ipv4 flags and fragment offset", 2),
    ("ipv4 ttl", 1),
    ("ipv4 protocol", 1),
    ("ipv4 checksum", 2),
    ("ipv4 src", 4),
    ("ipv4 dst", 4),
];
const IPV6: &[(&str, usize)] = &[
    ("ipv6 version, class and flow label", 4),
    ("ipv6 payload length", 2),
    ("ipv6 next header", 1),
    ("ipv6 hop limit", 1),
    ("ipv6 src", 16),
    ("ipv6 dst", 16),
];
const UDP: &[(&str, usize)] =
    &[("udp src port", 2), ("udp dst port", 2), ("udp length", 2), ("udp checksum", 2)];
const TCP: &[(&str, usize)] = &[
    ("tcp src port", 2),
    ("tcp dst port", 2),
    ("tcp seq", 4),
    ("tcp ack", 4),
    ("tcp data offset", 1),
    ("tcp flags", 1),
    ("tcp window", 2),
    ("tcp checksum", 2),
    ("tcp urgent pointer", 2),
];
const ICMP: &[(&str, usize)] = &[("icmp type", 1), ("icmp code", 1), ("icmp checksum", 2)];
const ARP: &[(&str, usize)] = &[
    ("arp formats", 6),
    ("arp operation", 2),
    ("arp sender mac", 6),
    ("arp sender", 4),
    ("arp target mac", 6),
    ("arp target", 4),
];
const VXLAN: &[(&str, usize)] =
    &[("vxlan flags", 1), ("vxlan reserved", 3), ("vxlan vni", 3), ("vxlan last byte", 1)];

/// The fields of an Ethernet frame, without gaps, to its last byte.
pub fn fields(frame: &[u8]) -> Vec<Field> {
    let mut walk = Walk { frame, at: 0, level: 0, fields: Vec::new() };
    walk.ethernet();
    let rest = walk.frame.len() - walk.at;
    walk.take("payload", rest);
    if walk.level > 0 {
        for field in &mut walk.fields {
            if !field.name.starts_with("inner") {
                field.name = format!("outer {}", field.name);
            }
        }
    }
    walk.fields
}

struct Walk<'a> {
    frame: &'a [u8],
    at: usize,
    /// How many VXLAN headers have been passed.
    level: usize,
    fields: Vec<Field>,
}

impl Walk<'_> {
    fn take(&mut self, name: &str, length: usize) {
        let end = (self.at + length).min(self.frame.len());
        if end > self.at {
            let name = format!("{}{name}", "inner ".repeat(self.level));
            self.fields.push(Field { name, range: self.at..end });
            self.at = end;
        }
    }

    fn header(&mut self, layout: &[(&str, usize)]) -> usize {
        let start = self.at;
        for (name, length) in layout {
            self.take(name, *length);
        }
        start
    }

    fn byte(&self, at: usize) -> u8 {
        self.frame.get(at).copied().unwrap_or(0)
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.byte(at), self.byte(at + 1)])
    }

    fn ethernet(&mut self) {
        let start = self.header(ETH);
        let mut kind = self.u16(start + 12);
        if kind == ETHERTYPE_VLAN {
            let tag = self.header(VLAN);
            kind = self.u16(tag + 2);
        }
        match kind {
            ETHERTYPE_IPV4 => {
                let ip = self.header(IPV4);
                let header = usize::from(self.byte(ip) & 0x0f) * 4;
                self.take("ipv4 options", header.saturating_sub(20));
                self.transport(self.byte(ip + 9));
            }
            ETHERTYPE_IPV6 => {
                let ip = self.header(IPV6);
                self.transport(self.byte(ip + 6));
            }
            ETHERTYPE_ARP => drop(self.header(ARP)),
            _ => {}
        }
    }

    fn transport(&mut self, protocol: u8) {
        match protocol {
            PROTOCOL_UDP => {
                let udp = self.header(UDP);
                if self.u16(udp + 2) == VXLAN_PORT && self.at < self.frame.len() {
                    self.header(VXLAN);
                    self.level += 1;
                    self.ethernet();
                }
            }
            PROTOCOL_TCP => {
                let tcp = self.header(TCP);
                let header = usize::from(self.byte(tcp + 12) >> 4) * 4;
                self.take("tcp options", header.saturating_sub(20));
            }
            PROTOCOL_ICMP | PROTOCOL_ICMPV6 => drop(self.header(ICMP)),
            _ => {}
        }
    }
}
