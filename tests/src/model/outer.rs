//! The outer headers of a packet from the underlay: is it ours (rules 1 to 4), and are they as they
//! should be (rules 5 to 10 and 12)?

use std::net::IpAddr;

use super::{
    Config,
    bytes::{array, be16, be32, ipv4, ipv6, pseudo_header, sum},
    inner::UDP,
};
use crate::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};

/// Hop-by-hop options, routing, fragment, destination options.
const EXTENSIONS: [u8; 4] = [0, 43, FRAGMENT, 60];
const FRAGMENT: u8 = 44;
/// "What cannot be verified".
const MAX_VERIFIED: usize = 16_000;

/// A packet that is ours.
#[derive(Debug)]
pub(super) struct Outer<'a> {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// TOS or traffic class.
    pub(super) tos: u8,
    /// Or hop limit.
    pub(super) ttl: u8,
    /// By the flag, or as ever in IPv6.
    pub(super) dont_fragment: bool,
    /// All that arrived behind the Ethernet header.
    arrived: &'a [u8],
    headers: Headers,
    /// IP header to the end of the packet, as the header says.
    pub(super) length: usize,
    /// Where the UDP header is, in what arrived.
    udp: usize,
}

/// What is remarkable about the IP headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Headers {
    Plain,
    TooShort,
    Options,
    Fragment,
}

/// The VXLAN header and what it carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vxlan<'a> {
    pub(super) vni: u32,
    pub(super) inner: &'a [u8],
}

/// The header is refused, if the VNI is ours, or if what is not is dropped.
pub(super) struct BadVxlan {
    pub(super) vni: Option<u32>,
}

impl<'a> Outer<'a> {
    /// Rules 1 to 4.
    pub(super) fn ours(config: &Config, frame: &'a [u8]) -> Option<Self> {
        let arrived = frame.get(14..)?;
        let outer = match be16(frame, 12)? {
            ETHERTYPE_IPV4 => v4(config, arrived)?,
            ETHERTYPE_IPV6 => v6(config, arrived)?,
            _ => return None,
        };
        let port_is_ours = || {
            let udp: [u8; 8] = array(arrived, outer.udp)?;
            Some(be16(&udp, 2)? == config.port)
        };
        // Whether there is UDP behind so many headers, nobody knows.
        let unseen = outer.udp == usize::MAX;
        (unseen || port_is_ours() == Some(true)).then_some(outer)
    }

    /// Rules 5 to 8.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.headers {
            Headers::Plain => {}
            Headers::TooShort => return Err("malformed_outer"),
            Headers::Options => return Err("ip_options"),
            Headers::Fragment => return Err("outer_fragment"),
        }
        if self.length > self.arrived.len() {
            return Err("malformed_outer");
        }
        if self.src.is_ipv4() && sum(&[&self.arrived[..20]]) != 0xffff {
            return Err("bad_checksum");
        }
        Ok(())
    }

    /// Rule 9: UDP header and payload.
    pub(super) fn udp(&self) -> Result<&'a [u8], &'static str> {
        let udp = self.arrived.get(self.udp..self.length).ok_or("malformed_outer")?;
        // A packet may be too short for the header that lies in the frame.
        let claimed = be16(self.arrived, self.udp + 4).map(usize::from);
        if claimed != Some(udp.len()) || udp.len() < 8 {
            return Err("malformed_outer");
        }
        if udp.len() < 8 + 8 { Err("invalid_vxlan_header") } else { Ok(udp) }
    }

    /// Rule 12, for UDP as rule 9 leaves it.
    pub(super) fn udp_checksum_is_right(&self, udp: &[u8]) -> bool {
        if be16(udp, 6) == Some(0) {
            return true;
        }
        self.udp_checksum_would_be_right(udp, self.src, self.dst, self.source_port())
    }

    /// One that is not zero, had these addresses and this source port arrived.
    pub(super) fn udp_checksum_would_be_right(
        &self,
        udp: &[u8],
        src: IpAddr,
        dst: IpAddr,
        source_port: u16,
    ) -> bool {
        let pseudo = pseudo_header(src, dst, UDP, udp.len());
        let sum = sum(&[&pseudo, &source_port.to_be_bytes(), &udp[2..]]);
        udp.len() <= MAX_VERIFIED && sum == 0xffff
    }

    /// Of a packet that [`Self::ours`] has seen the UDP header of.
    pub(super) fn source_port(&self) -> u16 {
        be16(self.arrived, self.udp).unwrap_or(0)
    }
}

/// Rule 10, for UDP as rule 9 leaves it.
pub(super) fn vxlan(udp: &[u8], ignore_reserved_bits: bool) -> Result<Vxlan<'_>, BadVxlan> {
    let (Some(flags), Some(last)) = (be32(udp, 8), be32(udp, 12)) else {
        return Err(BadVxlan { vni: None });
    };
    let vni = last >> 8;
    let reserved = flags & !0x0800_0000 != 0 || last & 0xff != 0;
    if flags & 0x0800_0000 == 0 || reserved && !ignore_reserved_bits {
        return Err(BadVxlan { vni: Some(vni) });
    }
    Ok(Vxlan { vni, inner: &udp[16..] })
}

fn is_this_host(config: &Config, address: IpAddr) -> bool {
    let ours = config.addresses.contains(&address) || config.public_addresses.contains(&address);
    ours && !address.is_unspecified()
}

fn v4<'a>(config: &Config, arrived: &'a [u8]) -> Option<Outer<'a>> {
    let ip: [u8; 20] = array(arrived, 0)?;
    let (src, dst) = (ipv4(&ip, 12)?, ipv4(&ip, 16)?);
    let fragment = be16(&ip, 6)?;
    let later = fragment & 0x1fff != 0;
    if ip[0] >> 4 != 4 || ip[9] != UDP || later || !is_this_host(config, dst) {
        return None;
    }
    let header = usize::from(ip[0] & 15) * 4;
    let headers = match header {
        0..20 => Headers::TooShort,
        20 if fragment & 0x2000 != 0 => Headers::Fragment,
        20 => Headers::Plain,
        _ => Headers::Options,
    };
    Some(Outer {
        src,
        dst,
        tos: ip[1],
        ttl: ip[8],
        dont_fragment: fragment & 0x4000 != 0,
        arrived,
        headers,
        length: be16(&ip, 2)?.into(),
        udp: header.max(20),
    })
}

fn v6<'a>(config: &Config, arrived: &'a [u8]) -> Option<Outer<'a>> {
    let ip: [u8; 40] = array(arrived, 0)?;
    let (src, dst) = (ipv6(&ip, 8)?, ipv6(&ip, 24)?);
    if ip[0] >> 4 != 6 || !is_this_host(config, dst) {
        return None;
    }
    let (mut next, mut at, mut headers) = (ip[6], 40, Headers::Plain);
    let mut seen = 0;
    while next != UDP {
        if !EXTENSIONS.contains(&next) {
            return None;
        }
        if seen == 6 {
            (at, headers) = (usize::MAX, Headers::Options);
            break;
        }
        let extension: [u8; 2] = array(arrived, at)?;
        if next == FRAGMENT {
            if be16(arrived, at + 2)? & 0xfff8 != 0 {
                return None;
            }
            headers = Headers::Fragment;
            at += 8;
        } else {
            if headers == Headers::Plain {
                headers = Headers::Options;
            }
            at += (usize::from(extension[1]) + 1) * 8;
        }
        next = extension[0];
        seen += 1;
    }
    Some(Outer {
        src,
        dst,
        tos: ip[0] << 4 | ip[1] >> 4,
        ttl: ip[7],
        dont_fragment: true,
        arrived,
        headers,
        length: 40 + usize::from(be16(&ip, 4)?),
        udp: at,
    })
}
