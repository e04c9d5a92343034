//! The parser of a received packet's outer headers: whether the packet is for our address and port,
//! and whether the headers are well-formed. Looks nothing up in maps; whose the packet is, and what
//! it carries, is decided elsewhere.

use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    bytes::{Bytes as _, HeaderWindow as _},
    checksum,
    outer::{self, OVERHEAD_IPV4, OVERHEAD_IPV6},
    reason::RxDrop,
    table::GlobalSettings,
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN, VXLAN_LEN,
        ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        ip::PROTOCOL_UDP,
        ipv4, ipv6, udp, vxlan,
    },
};

use crate::{packet::View, scratch::OuterRx};

use ipv6::{
    NEXT_DESTINATION_OPTIONS, NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING, extension, fragment,
};

/// Offset of the outer IP header.
const IP: usize = ETH_LEN;

/// A packet to our port whose outer headers are wrong.
pub(crate) struct BadOuter {
    /// What is wrong.
    pub(crate) reason: RxDrop,
    /// Family of the outer source address.
    pub(crate) family: u8,
    /// Outer source address.
    pub(crate) source: Address,
    /// The VNI of a VXLAN header that is there and wrong, in network order.
    pub(crate) vni: Option<[u8; 3]>,
}

/// Why parsing ended early.
enum Stopped {
    /// The packet is not for our address and port.
    NotOurs,
    /// The packet is ours and wrong; the VNI as in [`BadOuter`].
    Bad(RxDrop, Option<[u8; 3]>),
}

impl From<RxDrop> for Stopped {
    #[inline(always)]
    fn from(reason: RxDrop) -> Self {
        Self::Bad(reason, None)
    }
}

/// Parses the outer headers. `len`: bytes of the frame, those included that cannot be read in
/// place. `None`: the packet is not ours.
#[inline(always)]
pub(crate) fn parse(
    packet: &View,
    len: usize,
    settings: &GlobalSettings,
) -> Result<Option<OuterRx>, BadOuter> {
    let Some(eth) = packet.window::<ETH_LEN>(0) else { return Ok(None) };
    let mut source = Address::ZERO;
    let (family, result) = match eth.be_bytes2(ethernet::field::ETHERTYPE) {
        ETHERTYPE_IPV4 => (IPV4, read_ipv4(packet, len, settings, &mut source)),
        ETHERTYPE_IPV6 => (IPV6, read_ipv6(packet, len, settings, &mut source)),
        _ => return Ok(None),
    };
    match result {
        Ok(outer) => Ok(Some(outer)),
        Err(Stopped::NotOurs) => Ok(None),
        Err(Stopped::Bad(reason, vni)) => Err(BadOuter { reason, family, source, vni }),
    }
}

#[inline(always)]
fn read_ipv4(
    packet: &View,
    len: usize,
    settings: &GlobalSettings,
    source: &mut Address,
) -> Result<OuterRx, Stopped> {
    let ip = packet.window::<{ IP + IPV4_LEN }>(0).ok_or(Stopped::NotOurs)?;
    let (version_ihl, destination) =
        (ip.byte(IP + ipv4::field::VERSION_IHL), ip.be_bytes4(IP + ipv4::field::DESTINATION));
    if ip.byte(IP + ipv4::field::PROTOCOL) != PROTOCOL_UDP
        || version_ihl >> 4 != ipv4::VERSION
        || destination == [0; 4]
        || (destination != settings.address && destination != settings.public_address)
    {
        return Err(Stopped::NotOurs);
    }
    *source = Address::ipv4(ip.be_bytes4(IP + ipv4::field::SOURCE));
    // Fragments behind the first have no port and go to the host. It cannot reassemble them, as the
    // first one is dropped below.
    let fragment = ip.be16(IP + ipv4::field::FRAGMENT);
    if fragment & ipv4::FRAGMENT_OFFSET_MASK != 0 {
        return Err(Stopped::NotOurs);
    }
    let header_len = usize::from(version_ihl & ipv4::IHL_MASK) * 4;
    let claimed = if header_len < IPV4_LEN { IPV4_LEN } else { header_len };
    let udp = packet.window::<UDP_LEN>(IP + claimed).ok_or(Stopped::NotOurs)?;
    if udp.be_bytes2(udp::field::DESTINATION_PORT) != settings.port {
        return Err(Stopped::NotOurs);
    }
    if header_len < IPV4_LEN {
        return Err(RxDrop::MalformedOuter.into());
    }
    if header_len > IPV4_LEN {
        return Err(RxDrop::IpOptions.into());
    }
    if fragment & ipv4::MORE_FRAGMENTS != 0 {
        return Err(RxDrop::OuterFragment.into());
    }
    // The length is read here: reading it later at its constant offset would need a second bounds
    // check, which the compiler knows to be superfluous and the verifier does not.
    let udp_len = udp.be16(udp::field::LEN);
    let total_len = ip.be16(IP + ipv4::field::TOTAL_LEN);
    let end = IP + usize::from(total_len);
    if end > len {
        return Err(RxDrop::MalformedOuter.into());
    }
    let header = packet.window::<IPV4_LEN>(IP).ok_or(Stopped::NotOurs)?;
    if checksum::ipv4_window(&header) != 0 {
        return Err(RxDrop::BadChecksum.into());
    }
    let payload_len = total_len.checked_sub(IPV4_LEN as u16).ok_or(RxDrop::MalformedOuter)?;
    outer::inner_len(udp_len, payload_len)?;
    Ok(OuterRx {
        source: *source,
        destination_rewritten: destination != settings.public_address
            && settings.public_address != [0; 4],
        family: IPV4,
        tos: ip.byte(IP + ipv4::field::TOS),
        vni: read_vni::<{ OVERHEAD_IPV4 - VXLAN_LEN }>(packet, settings)?,
        udp_len,
        source_port: udp.be16(udp::field::SOURCE_PORT),
        has_checksum: udp.be_bytes2(udp::field::CHECKSUM) != [0; 2],
        ttl: ip.byte(IP + ipv4::field::TTL),
        trailer: len - end,
    })
}

#[inline(always)]
fn read_ipv6(
    packet: &View,
    len: usize,
    settings: &GlobalSettings,
    source: &mut Address,
) -> Result<OuterRx, Stopped> {
    let ip = packet.window::<{ IP + IPV6_LEN }>(0).ok_or(Stopped::NotOurs)?;
    let destination = Address::read_ipv6(&ip, IP + ipv6::field::DESTINATION);
    if ip.byte(IP + ipv6::field::VERSION_CLASS_LABEL) >> 4 != ipv6::VERSION
        || destination.equals(&Address::ZERO)
        || (!destination.equals(&settings.address6)
            && !destination.equals(&settings.public_address6))
    {
        return Err(Stopped::NotOurs);
    }
    *source = Address::read_ipv6(&ip, IP + ipv6::field::SOURCE);
    let next_header = ip.byte(IP + ipv6::field::NEXT_HEADER);
    if next_header != PROTOCOL_UDP {
        let reason = behind_extensions(packet, settings, next_header);
        return Err(reason.map_or(Stopped::NotOurs, Stopped::from));
    }
    let udp = packet.window::<UDP_LEN>(IP + IPV6_LEN).ok_or(Stopped::NotOurs)?;
    if udp.be_bytes2(udp::field::DESTINATION_PORT) != settings.port {
        return Err(Stopped::NotOurs);
    }
    let payload_len = ip.be16(IP + ipv6::field::PAYLOAD_LEN);
    let end = IP + IPV6_LEN + usize::from(payload_len);
    if end > len {
        return Err(RxDrop::MalformedOuter.into());
    }
    let udp_len = udp.be16(udp::field::LEN);
    outer::inner_len(udp_len, payload_len)?;
    Ok(OuterRx {
        source: *source,
        destination_rewritten: !settings.public_address6.equals(&Address::ZERO)
            && !destination.equals(&settings.public_address6),
        family: IPV6,
        tos: (ip.be16(IP + ipv6::field::VERSION_CLASS_LABEL) >> ipv6::CLASS_SHIFT) as u8,
        vni: read_vni::<{ OVERHEAD_IPV6 - VXLAN_LEN }>(packet, settings)?,
        udp_len,
        source_port: udp.be16(udp::field::SOURCE_PORT),
        has_checksum: udp.be_bytes2(udp::field::CHECKSUM) != [0; 2],
        ttl: ip.byte(IP + ipv6::field::HOP_LIMIT),
        trailer: len - end,
    })
}

/// Follows a chain of extension headers to a UDP header with our port, and returns why the packet
/// is refused: a tunnel needs no options, and does not reassemble. A chain of more than six headers
/// is not followed (RFC 8504 section 5.3 allows a limit). `None`: the packet is not ours.
#[inline(always)]
fn behind_extensions(packet: &View, settings: &GlobalSettings, first: u8) -> Option<RxDrop> {
    const MAX_EXTENSIONS: usize = 6;
    let mut next_header = first;
    let mut at = IP + IPV6_LEN;
    let mut reason = RxDrop::IpOptions;
    for seen in 0..=MAX_EXTENSIONS {
        match next_header {
            PROTOCOL_UDP => {
                let udp = packet.window::<UDP_LEN>(at)?;
                return (udp.be_bytes2(udp::field::DESTINATION_PORT) == settings.port)
                    .then_some(reason);
            }
            NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION_OPTIONS | NEXT_FRAGMENT
                if seen == MAX_EXTENSIONS =>
            {
                return Some(RxDrop::IpOptions);
            }
            NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION_OPTIONS => {
                let header = packet.window::<{ extension::LEN + 1 }>(at)?;
                next_header = header.byte(extension::NEXT_HEADER);
                at += extension::UNIT + extension::UNIT * usize::from(header.byte(extension::LEN));
            }
            NEXT_FRAGMENT => {
                let header = packet.window::<{ fragment::OFFSET_M + 2 }>(at)?;
                if header.be16(fragment::OFFSET_M) & fragment::OFFSET_MASK != 0 {
                    return None;
                }
                reason = RxDrop::OuterFragment;
                next_header = header.byte(fragment::NEXT_HEADER);
                at += fragment::HEADER_LEN;
            }
            _ => return None,
        }
    }
    None
}

/// The VNI of the VXLAN header at `AT`.
#[inline(always)]
fn read_vni<const AT: usize>(packet: &View, settings: &GlobalSettings) -> Result<[u8; 3], Stopped> {
    let header = packet.window::<VXLAN_LEN>(AT).ok_or(RxDrop::InvalidVxlanHeader)?;
    outer::vni(&header, settings.ignore_reserved_bits != 0).map_err(|reason| {
        let [a, b, c, _] = header.be_bytes4(vxlan::field::VNI);
        Stopped::Bad(reason, Some([a, b, c]))
    })
}
