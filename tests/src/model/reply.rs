//! What is handed back to the sender of a frame: the ARP or neighbour discovery reply of a proxy,
//! and the ICMP message about a packet that is too large.

use std::net::IpAddr;

use super::{
    Network,
    bytes::{octets, pseudo_header, put16, sum},
    inner::{FrameKind, Inner},
    policy::{is_group, is_host_address, is_multicast},
};
use crate::packet::{Mac, PROTOCOL_ICMP, PROTOCOL_ICMPV6};

/// Bytes of a packet that is too large which are sent back.
const QUOTED: usize = 512;
/// Internetwork control, as RFC 1812, section 4.3.2.5 has it for errors.
const ERROR_TOS: u8 = 0xc0;

/// The reply for the owner of the address, whose MAC address is `mac`; nothing for a request that
/// only the owner can answer. Bytes behind the request stay behind the reply.
pub(super) fn proxy_reply(mac: Mac, inner: &Inner<'_>, frame: &[u8]) -> Option<Vec<u8>> {
    let mut reply = match &inner.kind {
        FrameKind::Arp(arp) => {
            if !arp.request || arp.sender.is_unspecified() {
                return None;
            }
            let mut reply = ethernet(inner.src, mac, [0x08, 0x06]);
            reply.extend([0, 1, 8, 0, 6, 4, 0, 2]);
            reply.extend(mac);
            reply.extend(octets(arp.target));
            reply.extend(arp.sender_mac);
            reply.extend(octets(arp.sender));
            reply
        }
        FrameKind::Ip(ip) => {
            let target = ip.discovery()?.target;
            let option = ip.payload().get(24..)?;
            if ip.src.is_unspecified() || option.len() != 8 || option[..2] != [1, 1] {
                return None;
            }
            // RFC 4861, section 4.4: solicited, override, and the target's link-layer address.
            let mut icmp = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
            icmp.extend(octets(target));
            icmp.extend([2, 1]);
            icmp.extend(mac);
            let mut reply = ethernet(inner.src, mac, [0x86, 0xdd]);
            reply.extend(icmpv6(target, ip.src, (0, 255), icmp));
            reply
        }
    };
    reply.extend(frame.get(reply.len()..)?);
    Some(reply)
}

/// RFC 1191 and RFC 4443, section 3.2.
pub(super) fn too_big(network: &Network, inner: &Inner<'_>, mtu: usize) -> Option<Vec<u8>> {
    let ip = inner.ip()?;
    let to_group = is_group(inner.dst) || is_multicast(ip.dst);
    let answerable = is_host_address(ip.src) && !is_group(inner.src);
    let silent = ip.is_icmp_error() || ip.is_later_fragment() || to_group;
    if !ip.dont_fragment() || !answerable || silent {
        return None;
    }
    let family = |address: &IpAddr| address.is_ipv6() == ip.is_v6();
    let own = network.addresses.iter().map(|(address, _)| *address).find(family)?;
    let quoted = ip.packet.get(..QUOTED)?;
    if ip.is_v6() && mtu < 1280 {
        return None;
    }
    let mtu = (mtu as u32).to_be_bytes();
    if ip.is_v6() {
        let icmp = [&[2, 0, 0, 0], &mtu, quoted].concat();
        let mut reply = ethernet(inner.src, inner.dst, [0x86, 0xdd]);
        reply.extend(icmpv6(own, ip.src, (ERROR_TOS, 64), icmp));
        Some(reply)
    } else {
        let mut icmp = [&[3, 4, 0, 0], &mtu, quoted].concat();
        let checksum = !sum(&[&icmp]);
        put16(&mut icmp, 2, checksum);
        let mut header = vec![0x45, ERROR_TOS];
        header.extend((20 + icmp.len() as u16).to_be_bytes());
        header.extend([0, 0, 0x40, 0, 64, PROTOCOL_ICMP, 0, 0]);
        header.extend([octets(own), octets(ip.src)].concat());
        let checksum = !sum(&[&header]);
        put16(&mut header, 10, checksum);
        Some([ethernet(inner.src, inner.dst, [0x08, 0x00]), header, icmp].concat())
    }
}

fn ethernet(dst: Mac, src: Mac, kind: [u8; 2]) -> Vec<u8> {
    [&dst[..], &src, &kind].concat()
}

/// An IPv6 packet around an ICMPv6 message, whose checksum is filled in.
fn icmpv6(src: IpAddr, dst: IpAddr, (class, hop_limit): (u8, u8), mut icmp: Vec<u8>) -> Vec<u8> {
    let pseudo = pseudo_header(src, dst, PROTOCOL_ICMPV6, icmp.len());
    let checksum = !sum(&[&pseudo, &icmp]);
    put16(&mut icmp, 2, checksum);
    let mut packet = vec![0x60 | class >> 4, class << 4, 0, 0];
    packet.extend((icmp.len() as u16).to_be_bytes());
    packet.extend([PROTOCOL_ICMPV6, hop_limit]);
    packet.extend([octets(src), octets(dst), icmp].concat());
    packet
}
