//! The layers: their fields, and how each is written around what it carries.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut as _, BytesMut};

use super::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_NONE, ETHERTYPE_VLAN, Mac,
    PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_NONE, PROTOCOL_TCP, PROTOCOL_UDP, VXLAN_PORT,
    checksum::internet_checksum,
};

/// What a checksum field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Right,
    Zero,
    /// The right one with one bit turned.
    Wrong,
    Value(u16),
}

impl Checksum {
    fn of(self, parts: &[&[u8]]) -> u16 {
        match self {
            Self::Right => internet_checksum(parts),
            Self::Zero => 0,
            Self::Wrong => internet_checksum(parts) ^ 0x0100,
            Self::Value(value) => value,
        }
    }
}

/// Gives a struct one chainable method per field.
macro_rules! layer {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            $($(#[$field_doc])*
            pub fn $field(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            })*
        }

        impl From<$name> for Layer {
            fn from(layer: $name) -> Self {
                Self::$name(layer)
            }
        }
    };
}

/// One layer of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    Eth(Eth),
    Vlan(Vlan),
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Udp(Udp),
    Tcp(Tcp),
    Icmp(Icmp),
    Arp(Arp),
    Vxlan(Vxlan),
    Bytes(Vec<u8>),
}

layer!(Eth {
    dst: Mac,
    src: Mac,
    /// From the next layer when `None`.
    ethertype: Option<u16>,
});

impl Eth {
    /// Destination first, as on the wire.
    pub fn new(dst: Mac, src: Mac) -> Self {
        Self { dst, src, ethertype: None }
    }
}

layer!(
    /// An 802.1Q tag; goes between [`Eth`] and what it tags.
    Vlan {
        id: u16,
        ethertype: Option<u16>,
    }
);

impl Vlan {
    pub fn new(id: u16) -> Self {
        Self { id, ethertype: None }
    }
}

layer!(Ipv4 {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    /// DSCP and ECN.
    tos: u8,
    id: u16,
    /// Flags and fragment offset, see [`flags`].
    fragment: u16,
    ttl: u8,
    protocol: Option<u8>,
    /// A multiple of four bytes.
    options: Vec<u8>,
    /// Version and header length as one byte; from the options when `None`.
    version_ihl: Option<u8>,
    /// From what it carries when `None`.
    total_length: Option<u16>,
    checksum: Checksum,
});

impl Ipv4 {
    /// Source first, as on the wire. DF is set, as in what a TCP or VXLAN sender emits.
    pub fn new(src: impl Into<Ipv4Addr>, dst: impl Into<Ipv4Addr>) -> Self {
        Self {
            src: src.into(),
            dst: dst.into(),
            tos: 0,
            id: 0,
            fragment: flags::DF,
            ttl: 64,
            protocol: None,
            options: Vec::new(),
            version_ihl: None,
            total_length: None,
            checksum: Checksum::Right,
        }
    }
}

layer!(Ipv6 {
    src: Ipv6Addr,
    dst: Ipv6Addr,
    traffic_class: u8,
    flow_label: u32,
    hop_limit: u8,
    next_header: Option<u8>,
    payload_length: Option<u16>,
});

impl Ipv6 {
    pub fn new(src: Ipv6Addr, dst: Ipv6Addr) -> Self {
        Self {
            src,
            dst,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 64,
            next_header: None,
            payload_length: None,
        }
    }
}

layer!(Udp {
    src_port: u16,
    dst_port: u16,
    length: Option<u16>,
    checksum: Checksum,
});

impl Udp {
    pub fn new(src_port: u16, dst_port: u16) -> Self {
        Self { src_port, dst_port, length: None, checksum: Checksum::Right }
    }

    /// As VXLAN senders write it: to port 4789, without a checksum.
    pub fn vxlan(src_port: u16) -> Self {
        Self { checksum: Checksum::Zero, ..Self::new(src_port, VXLAN_PORT) }
    }
}

layer!(Tcp {
    src_port: u16,
    dst_port: u16,
    seq: u32,
    ack: u32,
    /// See [`flags`].
    flags: u8,
    window: u16,
    /// A multiple of four bytes.
    options: Vec<u8>,
    checksum: Checksum,
});

impl Tcp {
    pub fn new(src_port: u16, dst_port: u16) -> Self {
        Self {
            src_port,
            dst_port,
            seq: 1,
            ack: 1,
            flags: flags::ACK,
            window: 0xffff,
            options: Vec::new(),
            checksum: Checksum::Right,
        }
    }
}

layer!(
    /// ICMP inside IPv4, ICMPv6 inside IPv6: the checksum follows the layer outside.
    Icmp {
        kind: u8,
        code: u8,
        /// What follows the checksum.
        body: Vec<u8>,
        checksum: Checksum,
    }
);

impl Icmp {
    pub fn new(kind: u8, code: u8, body: Vec<u8>) -> Self {
        Self { kind, code, body, checksum: Checksum::Right }
    }

    pub fn echo_request(id: u16, sequence: u16) -> Self {
        Self::new(8, 0, [id.to_be_bytes(), sequence.to_be_bytes()].concat())
    }

    pub fn echo_reply(id: u16, sequence: u16) -> Self {
        Self::echo_request(id, sequence).kind(0)
    }

    pub fn echo_request_v6(id: u16, sequence: u16) -> Self {
        Self::echo_request(id, sequence).kind(128)
    }

    pub fn echo_reply_v6(id: u16, sequence: u16) -> Self {
        Self::echo_request(id, sequence).kind(129)
    }

    /// Who has `target`? With the sender's MAC as an option.
    pub fn neighbour_solicitation(target: Ipv6Addr, mac: Mac) -> Self {
        let body = [&[0; 4][..], &target.octets(), &[1, 1], &mac].concat();
        Self::new(135, 0, body)
    }

    /// `target` is at `mac`: solicited, overriding.
    pub fn neighbour_advertisement(target: Ipv6Addr, mac: Mac) -> Self {
        let body = [&[0x60, 0, 0, 0][..], &target.octets(), &[2, 1], &mac].concat();
        Self::new(136, 0, body)
    }
}

layer!(Arp {
    operation: u16,
    sender_mac: Mac,
    sender: Ipv4Addr,
    target_mac: Mac,
    target: Ipv4Addr,
});

impl Arp {
    pub fn request(mac: Mac, sender: impl Into<Ipv4Addr>, target: impl Into<Ipv4Addr>) -> Self {
        Self {
            operation: 1,
            sender_mac: mac,
            sender: sender.into(),
            target_mac: [0; 6],
            target: target.into(),
        }
    }

    pub fn reply(
        mac: Mac,
        sender: impl Into<Ipv4Addr>,
        target_mac: Mac,
        target: impl Into<Ipv4Addr>,
    ) -> Self {
        Self { operation: 2, target_mac, ..Self::request(mac, sender, target) }
    }
}

layer!(Vxlan {
    flags: u8,
    vni: u32,
    /// The 24 bits after the flags.
    reserved: [u8; 3],
    /// The byte after the VNI.
    last: u8,
});

impl Vxlan {
    pub fn new(vni: u32) -> Self {
        Self { flags: flags::VNI, vni, reserved: [0; 3], last: 0 }
    }
}

/// Bits with names.
pub mod flags {
    /// IPv4: do not fragment.
    pub const DF: u16 = 0x4000;
    /// IPv4: more fragments follow.
    pub const MF: u16 = 0x2000;
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const CWR: u8 = 0x80;
    /// VXLAN: the VNI is valid.
    pub const VNI: u8 = 0x08;
}

impl Layer {
    /// Writes this layer around `inside`. The neighbours settle types and pseudo headers.
    pub(super) fn wrap(
        &self,
        outside: Option<&Self>,
        next: Option<&Self>,
        inside: &[u8],
    ) -> BytesMut {
        let mut out = BytesMut::new();
        match self {
            Self::Eth(eth) => {
                out.put_slice(&eth.dst);
                out.put_slice(&eth.src);
                out.put_u16(eth.ethertype.unwrap_or_else(|| ethertype(next)));
            }
            Self::Vlan(vlan) => {
                out.put_u16(vlan.id);
                out.put_u16(vlan.ethertype.unwrap_or_else(|| ethertype(next)));
            }
            Self::Ipv4(ip) => {
                let header = 20 + ip.options.len();
                out.put_u8(ip.version_ihl.unwrap_or(0x40 | (header / 4) as u8));
                out.put_u8(ip.tos);
                out.put_u16(ip.total_length.unwrap_or((header + inside.len()) as u16));
                out.put_u16(ip.id);
                out.put_u16(ip.fragment);
                out.put_u8(ip.ttl);
                out.put_u8(ip.protocol.unwrap_or_else(|| protocol(next, PROTOCOL_ICMP)));
                out.put_u16(0);
                out.put_slice(&ip.src.octets());
                out.put_slice(&ip.dst.octets());
                out.put_slice(&ip.options);
                let checksum = ip.checksum.of(&[&out]);
                set_u16(&mut out, 10, checksum);
            }
            Self::Ipv6(ip) => {
                let class = u32::from(ip.traffic_class) << 20;
                out.put_u32(6 << 28 | class | ip.flow_label & 0xf_ffff);
                out.put_u16(ip.payload_length.unwrap_or(inside.len() as u16));
                out.put_u8(ip.next_header.unwrap_or_else(|| protocol(next, PROTOCOL_ICMPV6)));
                out.put_u8(ip.hop_limit);
                out.put_slice(&ip.src.octets());
                out.put_slice(&ip.dst.octets());
            }
            Self::Udp(udp) => {
                let length = 8 + inside.len();
                out.put_u16(udp.src_port);
                out.put_u16(udp.dst_port);
                out.put_u16(udp.length.unwrap_or(length as u16));
                out.put_u16(0);
                let pseudo = pseudo_header(outside, PROTOCOL_UDP, length);
                let mut checksum = udp.checksum.of(&[&pseudo, &out, inside]);
                if udp.checksum == Checksum::Right && checksum == 0 {
                    checksum = 0xffff; // 0 would say "no checksum"
                }
                set_u16(&mut out, 6, checksum);
            }
            Self::Tcp(tcp) => {
                let header = 20 + tcp.options.len();
                out.put_u16(tcp.src_port);
                out.put_u16(tcp.dst_port);
                out.put_u32(tcp.seq);
                out.put_u32(tcp.ack);
                out.put_u8(((header / 4) << 4) as u8);
                out.put_u8(tcp.flags);
                out.put_u16(tcp.window);
                out.put_u32(0);
                out.put_slice(&tcp.options);
                let pseudo = pseudo_header(outside, PROTOCOL_TCP, header + inside.len());
                let checksum = tcp.checksum.of(&[&pseudo, &out, inside]);
                set_u16(&mut out, 16, checksum);
            }
            Self::Icmp(icmp) => {
                out.put_u8(icmp.kind);
                out.put_u8(icmp.code);
                out.put_u16(0);
                out.put_slice(&icmp.body);
                let pseudo = match outside {
                    Some(Self::Ipv6(_)) => {
                        pseudo_header(outside, PROTOCOL_ICMPV6, out.len() + inside.len())
                    }
                    _ => Vec::new(),
                };
                let checksum = icmp.checksum.of(&[&pseudo, &out, inside]);
                set_u16(&mut out, 2, checksum);
            }
            Self::Arp(arp) => {
                out.put_slice(&[0, 1, 8, 0, 6, 4]);
                out.put_u16(arp.operation);
                out.put_slice(&arp.sender_mac);
                out.put_slice(&arp.sender.octets());
                out.put_slice(&arp.target_mac);
                out.put_slice(&arp.target.octets());
            }
            Self::Vxlan(vxlan) => {
                out.put_u8(vxlan.flags);
                out.put_slice(&vxlan.reserved);
                out.put_u32(vxlan.vni << 8 | u32::from(vxlan.last));
            }
            Self::Bytes(bytes) => out.put_slice(bytes),
        }
        out.put_slice(inside);
        out
    }
}

fn set_u16(out: &mut BytesMut, at: usize, value: u16) {
    out[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn ethertype(next: Option<&Layer>) -> u16 {
    match next {
        Some(Layer::Vlan(_)) => ETHERTYPE_VLAN,
        Some(Layer::Ipv4(_)) => ETHERTYPE_IPV4,
        Some(Layer::Ipv6(_)) => ETHERTYPE_IPV6,
        Some(Layer::Arp(_)) => ETHERTYPE_ARP,
        _ => ETHERTYPE_NONE,
    }
}

fn protocol(next: Option<&Layer>, icmp: u8) -> u8 {
    match next {
        Some(Layer::Udp(_)) => PROTOCOL_UDP,
        Some(Layer::Tcp(_)) => PROTOCOL_TCP,
        Some(Layer::Icmp(_)) => icmp,
        Some(Layer::Ipv4(_)) => 4,
        Some(Layer::Ipv6(_)) => 41,
        _ => PROTOCOL_NONE,
    }
}

/// RFC 768 and 9293 for IPv4, RFC 8200 section 8.1 for IPv6.
fn pseudo_header(outside: Option<&Layer>, protocol: u8, length: usize) -> Vec<u8> {
    match outside {
        Some(Layer::Ipv4(ip)) => {
            let length = (length as u16).to_be_bytes();
            [&ip.src.octets()[..], &ip.dst.octets(), &[0, protocol], &length].concat()
        }
        Some(Layer::Ipv6(ip)) => {
            let length = (length as u32).to_be_bytes();
            [&ip.src.octets()[..], &ip.dst.octets(), &length, &[0, 0, 0, protocol]].concat()
        }
        _ => Vec::new(),
    }
}
