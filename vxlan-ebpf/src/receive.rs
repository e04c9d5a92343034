//! The outer headers of a received packet: is it ours, and is their form right? Whose it is, and what
//! it carries, is decided elsewhere.

use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    bytes::{Bytes as _, HeaderWindow as _},
    checksum,
    outer::{
        self, ETH_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4_LEN, IPV6_LEN, OVERHEAD_IPV4,
        OVERHEAD_IPV6, PROTOCOL_UDP, UDP_LEN, VXLAN_LEN,
    },
    reason::RxDrop,
    table::GlobalSettings,
};

use crate::{admit, count::Refused, maps::NETWORK_BY_VNI, packet::View};

/// Offset of the outer IP header.
const IP: usize = ETH_LEN;

/// The outer headers of a packet that is ours, as far as they matter further in.
pub(crate) struct Received {
    /// Outer source.
    pub(crate) source: Address,
    /// The destination is our private address although peers send to our public one.
    pub(crate) destination_rewritten: bool,
    /// Of both outer addresses.
    pub(crate) family: u8,
    /// Outer TOS or traffic class.
    pub(crate) tos: u8,
    /// As on the wire.
    pub(crate) vni: [u8; 3],
    /// Length of the UDP datagram, header included.
    pub(crate) udp_len: u16,
    /// UDP source port.
    pub(crate) source_port: u16,
    /// There is a UDP checksum.
    pub(crate) has_checksum: bool,
    /// Time to live or hop limit.
    pub(crate) ttl: u8,
    /// Bytes behind the IP packet, such as Ethernet padding.
    pub(crate) trailer: usize,
}

impl Received {
    /// Length of the outer headers.
    #[inline(always)]
    pub(crate) const fn overhead(&self) -> usize {
        if self.family == IPV6 { OVERHEAD_IPV6 } else { OVERHEAD_IPV4 }
    }

    /// Length of the inner frame.
    #[inline(always)]
    pub(crate) const fn inner_len(&self) -> u32 {
        // `outer::inner_len` has seen to it that this is not negative.
        self.udp_len as u32 - (UDP_LEN + VXLAN_LEN) as u32
    }
}

/// Why a packet goes no further. `None`: it is not ours.
type Stopped = Option<RxDrop>;

/// Is the packet ours, and are its outer headers right? `len`: bytes of the frame, those that cannot be
/// read in place included. `None`: not ours.
#[inline(always)]
pub(crate) fn headers(
    packet: &View,
    len: usize,
    settings: &GlobalSettings,
) -> Result<Option<Received>, Refused> {
    let Some(eth) = packet.window::<ETH_LEN>(0) else { return Ok(None) };
    let mut source = Address::ZERO;
    let (family, result) = match eth.wire2(12) {
        ETHERTYPE_IPV4 => (IPV4, read_ipv4(packet, len, settings, &mut source)),
        ETHERTYPE_IPV6 => (IPV6, read_ipv6(packet, len, settings, &mut source)),
        _ => return Ok(None),
    };
    match result {
        Ok(received) => Ok(Some(received)),
        Err(None) => Ok(None),
        Err(Some(reason)) => {
            Err(Refused { reason, slot: admit::slot_of_address(family, &source), pair: None })
        }
    }
}

#[inline(always)]
fn read_ipv4(
    packet: &View,
    len: usize,
    settings: &GlobalSettings,
    source: &mut Address,
) -> Result<Received, Stopped> {
    let ip = packet.window::<{ IP + IPV4_LEN }>(0).ok_or(None)?;
    let (version_len, destination) = (ip.byte(IP), ip.wire4(IP + 16));
    if ip.byte(IP + 9) != PROTOCOL_UDP
        || version_len >> 4 != 4
        || destination == [0; 4]
        || (destination != settings.address && destination != settings.public_address)
    {
        return Err(None);
    }
    *source = Address::ipv4(ip.wire4(IP + 12));
    // Fragments behind the first have no port; the first one, dropped below, is missing to them.
    let fragment = ip.u16(IP + 6);
    if fragment & 0x1fff != 0 {
        return Err(None);
    }
    let header_len = usize::from(version_len & 0x0f) * 4;
    let claimed = if header_len < IPV4_LEN { IPV4_LEN } else { header_len };
    let udp = packet.window::<UDP_LEN>(IP + claimed).ok_or(None)?;
    if udp.wire2(2) != settings.port {
        return Err(None);
    }
    const MORE_FRAGMENTS: u16 = 0x2000;
    if header_len < IPV4_LEN {
        return Err(Some(RxDrop::MalformedOuter));
    }
    if header_len > IPV4_LEN {
        return Err(Some(RxDrop::IpOptions));
    }
    if fragment & MORE_FRAGMENTS != 0 {
        return Err(Some(RxDrop::OuterFragment));
    }
    // Taken here: reading it again at its constant offset would need a second bounds check, which the
    // compiler knows to be superfluous and the verifier does not.
    let udp_len = udp.u16(4);
    let total_len = ip.u16(IP + 2);
    let end = IP + usize::from(total_len);
    if end > len {
        return Err(Some(RxDrop::MalformedOuter));
    }
    let header = packet.window::<IPV4_LEN>(IP).ok_or(None)?;
    if checksum::ipv4_window(&header) != 0 {
        return Err(Some(RxDrop::BadChecksum));
    }
    let payload_len = total_len.checked_sub(IPV4_LEN as u16).ok_or(RxDrop::MalformedOuter)?;
    outer::inner_len(udp_len, payload_len)?;
    Ok(Received {
        source: *source,
        destination_rewritten: destination != settings.public_address
            && settings.public_address != [0; 4],
        family: IPV4,
        tos: ip.byte(IP + 1),
        vni: vni::<{ OVERHEAD_IPV4 - VXLAN_LEN }>(packet, settings)?,
        udp_len,
        source_port: udp.u16(0),
        has_checksum: udp.wire2(6) != [0; 2],
        ttl: ip.byte(IP + 8),
        trailer: len - end,
    })
}

#[inline(always)]
fn read_ipv6(
    packet: &View,
    len: usize,
    settings: &GlobalSettings,
    source: &mut Address,
) -> Result<Received, Stopped> {
    let ip = packet.window::<{ IP + IPV6_LEN }>(0).ok_or(None)?;
    let destination = Address::read_ipv6(&ip, IP + 24);
    if ip.byte(IP) >> 4 != 6
        || destination.is(&Address::ZERO)
        || (!destination.is(&settings.address6) && !destination.is(&settings.public_address6))
    {
        return Err(None);
    }
    *source = Address::read_ipv6(&ip, IP + 8);
    let next_header = ip.byte(IP + 6);
    if next_header != PROTOCOL_UDP {
        return Err(behind_extensions(packet, settings, next_header));
    }
    let udp = packet.window::<UDP_LEN>(IP + IPV6_LEN).ok_or(None)?;
    if udp.wire2(2) != settings.port {
        return Err(None);
    }
    let payload_len = ip.u16(IP + 4);
    let end = IP + IPV6_LEN + usize::from(payload_len);
    if end > len {
        return Err(Some(RxDrop::MalformedOuter));
    }
    let udp_len = udp.u16(4);
    outer::inner_len(udp_len, payload_len)?;
    Ok(Received {
        source: *source,
        destination_rewritten: !settings.public_address6.is(&Address::ZERO)
            && !destination.is(&settings.public_address6),
        family: IPV6,
        tos: (ip.u16(IP) >> 4) as u8,
        vni: vni::<{ OVERHEAD_IPV6 - VXLAN_LEN }>(packet, settings)?,
        udp_len,
        source_port: udp.u16(0),
        has_checksum: udp.wire2(6) != [0; 2],
        ttl: ip.byte(IP + 7),
        trailer: len - end,
    })
}

/// Follows a chain of extension headers to UDP to our port, which then is refused: a tunnel needs no
/// options, and does not reassemble. Beyond six nobody looks (RFC 8504 section 5.3 allows a limit).
#[inline(always)]
fn behind_extensions(packet: &View, settings: &GlobalSettings, first: u8) -> Stopped {
    const MOST: usize = 6;
    const FRAGMENT: u8 = 44;
    let mut next_header = first;
    let mut at = IP + IPV6_LEN;
    let mut reason = RxDrop::IpOptions;
    for seen in 0..=MOST {
        match next_header {
            PROTOCOL_UDP => {
                let udp = packet.window::<UDP_LEN>(at)?;
                return (udp.wire2(2) == settings.port).then_some(reason);
            }
            0 | 43 | 60 | FRAGMENT if seen == MOST => return Some(RxDrop::IpOptions),
            0 | 43 | 60 => {
                let header = packet.window::<2>(at)?;
                next_header = header.byte(0);
                at += 8 + 8 * usize::from(header.byte(1));
            }
            FRAGMENT => {
                let header = packet.window::<4>(at)?;
                if header.u16(2) & 0xfff8 != 0 {
                    return None;
                }
                reason = RxDrop::OuterFragment;
                next_header = header.byte(0);
                at += 8;
            }
            _ => return None,
        }
    }
    None
}

/// The VNI of the VXLAN header at `AT`.
#[inline(always)]
fn vni<const AT: usize>(packet: &View, settings: &GlobalSettings) -> Result<[u8; 3], Stopped> {
    let header = packet.window::<VXLAN_LEN>(AT).ok_or(RxDrop::InvalidVxlanHeader)?;
    let vni = outer::vni(&header, settings.ignore_reserved_bits != 0);
    if vni.is_err() && settings.pass_unknown_vni != 0 {
        let [a, b, c, _] = header.wire4(4);
        // SAFETY: only asked whether it is there.
        if unsafe { NETWORK_BY_VNI.get([0, a, b, c]) }.is_none() {
            return Err(None);
        }
    }
    Ok(vni?)
}
