//! Decides which ICMP messages about packets that are too big are believed. Pure: bytes in, a
//! report out. What a message quotes is read in [`quotation`](super::quotation).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    flow,
    inner::{self, Inner},
    outer,
    table::{GlobalSettings, LOCAL, NetworkAddress, Owner},
    wire::{
        be16, be32, icmp,
        ip::{PROTOCOL_TCP, PROTOCOL_UDP},
        ipv4, ipv6, udp,
    },
};

use super::quotation::{Quotation, QuotedTunnel};
use crate::plan::{Plan, entry_endpoint};

/// MTUs that links really have, for routers that do not report theirs (RFC 1191, section 7).
const PLATEAUS: [u32; 8] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508];

/// Type and code of the messages that are read here.
const V4_TYPE_CODE: [u8; 2] = [icmp::DESTINATION_UNREACHABLE, icmp::FRAGMENTATION_NEEDED];
const V6_TYPE_CODE: [u8; 2] = [icmp::V6_PACKET_TOO_BIG, 0];

/// The report of a message about a packet of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) struct PacketTooBig {
    /// Where the packet was sent to.
    pub(in crate::daemon) endpoint: SocketAddr,
    /// The MTU as reported.
    pub(in crate::daemon) reported: u32,
    /// What is believed of it: at least what carries an inner packet of 1280 bytes, so that nobody
    /// can deny inner IPv6 a path.
    pub(in crate::daemon) mtu: u32,
    /// As much of the packet is quoted as shows a network of the peer, and all that is quoted is
    /// right. Else the report is a reason to look, and no more.
    pub(in crate::daemon) is_plausible: bool,
}

/// A message of the right type that quotes a packet from this host, before its peer is looked up.
#[derive(Debug)]
pub(in crate::daemon) struct Message<'a> {
    quotation: Quotation<'a>,
    reported: u32,
    mtu: u32,
}

impl<'a> Message<'a> {
    /// Parses a message that begins with its ICMP header. What it quotes must come from an address
    /// and port of this host, and be longer than what would pass. The cost does not depend on how
    /// many peers there are, as anyone can send such messages.
    pub(in crate::daemon) fn parse(
        settings: &GlobalSettings,
        message: &'a [u8],
        is_ipv6: bool,
    ) -> Option<Self> {
        let type_code = if is_ipv6 { V6_TYPE_CODE } else { V4_TYPE_CODE };
        if !message.starts_with(&type_code) || !is_ipv6 && !checksum_is_right(message) {
            return None;
        }
        let quotation = Quotation::parse(message.get(icmp::HEADER_LEN..)?, is_ipv6)?;
        let reported = if is_ipv6 {
            // RFC 8201, section 4: a message with an MTU below the minimum must be discarded.
            be32(message, icmp::field::PACKET_TOO_BIG_MTU).filter(|mtu| *mtu >= ipv6::MIN_MTU)?
        } else {
            match be16(message, icmp::field::NEXT_HOP_MTU)? {
                0 => plateau_below(quotation.length),
                mtu => mtu.into(),
            }
        };
        let is_source_port = match settings.fixed_source_port {
            0 => quotation.source_port >= udp::FIRST_DYNAMIC_PORT,
            _ => quotation.source_port == u16::from_be_bytes(settings.port),
        };
        // A packet that fits was not dropped for its length.
        if !is_source_port || !is_own(settings, quotation.source) || quotation.length <= reported {
            return None;
        }
        let family = if is_ipv6 { IPV6 } else { IPV4 };
        let mtu = reported.max(ipv6::MIN_MTU + outer::overhead(family));
        Some(Self { quotation, reported, mtu })
    }

    /// Compares the quoted packet with those that this host sends. `None`: it is none of them.
    ///
    /// A sender that knows the outer addresses and a VNI of the peer can forge a plausible message,
    /// since not every router quotes the inner headers.
    pub(in crate::daemon) fn report(&self, plan: &Plan) -> Option<PacketTooBig> {
        let quotation = &self.quotation;
        let endpoint = quotation.endpoint;
        let to_endpoint = |peer: u32| {
            let entry = plan.peers.get(peer as usize);
            entry.is_some_and(|entry| entry_endpoint(entry) == endpoint)
        };
        let widest = plan
            .peers
            .iter()
            .filter(|entry| entry.ifindex != 0 && entry_endpoint(entry) == endpoint)
            .map(|entry| entry.mtu)
            .max()?;
        let Self { reported, mtu, .. } = *self;
        let report = |is_plausible| Some(PacketTooBig { endpoint, reported, mtu, is_plausible });
        let Some(tunnel) = &quotation.tunnel else { return report(false) };
        if plan.settings.probes != 0 && tunnel.vni == plan.settings.probe_vni {
            return report(false);
        }
        // Nothing longer is sent. The path may have become narrower since.
        if quotation.length > widest {
            return None;
        }
        let is_member = plan.members.iter().any(|member| {
            let network = plan.networks.get(member.network as usize);
            network.is_some_and(|network| network.vni == tunnel.vni) && to_endpoint(member.peer)
        });
        let owner_fits = |owner: Owner| {
            let member = plan.members.get(owner as usize);
            owner != LOCAL && member.is_some_and(|member| to_endpoint(member.peer))
        };
        let fits = is_member
            && tunnel.inner()?.is_none_or(|inner| {
                self.has_port_of(&inner, &plan.settings)
                    && owner(plan, tunnel, &inner).is_none_or(owner_fits)
            });
        if fits { report(true) } else { None }
    }

    /// The UDP source port is that of the inner flow, as far as that can be told.
    fn has_port_of(&self, inner: &Inner, settings: &GlobalSettings) -> bool {
        let is_cut_off = inner.ports == 0 && matches!(inner.upper, PROTOCOL_TCP | PROTOCOL_UDP);
        settings.fixed_source_port != 0
            || is_cut_off
            || self.quotation.source_port == flow::source_port(inner::flow_hash(inner))
    }
}

/// Returns the owner of the destination of a quoted frame. `None`: the FDB decides, or every member
/// gets a copy.
fn owner(plan: &Plan, tunnel: &QuotedTunnel<'_>, inner: &Inner) -> Option<Owner> {
    if inner.to_group() {
        return None;
    }
    let bits = |address: &Address| u128::from_be_bytes(address_bytes(address));
    let destination = bits(inner.owner_address());
    let holding = plan.routes.iter().filter(|route| {
        let NetworkAddress { vni, family, address } = route.address;
        let length = route.bits.saturating_sub(NetworkAddress::FIXED_BITS).min(128);
        let difference = bits(&address) ^ destination;
        vni == tunnel.vni && family == inner.family && difference.leading_zeros() >= length
    });
    holding.max_by_key(|route| route.bits).map(|route| route.owner)
}

/// Returns the bytes of an address, of which an IPv4 address is the first four.
fn address_bytes(address: &Address) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (at, word) in bytes.chunks_exact_mut(4).enumerate() {
        word.copy_from_slice(&address.be32(at).to_be_bytes());
    }
    bytes
}

/// Packets of this host leave from the address, or a NAT makes that of their source.
fn is_own(settings: &GlobalSettings, address: IpAddr) -> bool {
    let own = match address {
        IpAddr::V4(address) => [settings.address, settings.public_address]
            .into_iter()
            .any(|own| Ipv4Addr::from(own) == address),
        IpAddr::V6(_) => [settings.address6, settings.public_address6]
            .into_iter()
            .any(|own| own.to_ip(IPV6) == address),
    };
    own && !address.is_unspecified()
}

/// Verifies the checksum of an ICMP message, which the kernel does not do for raw sockets. With the
/// checksum in place, the words of a message sum up to all ones (RFC 1071).
fn checksum_is_right(message: &[u8]) -> bool {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low));
    let sum: u64 = message.chunks(2).map(word).sum();
    sum != 0 && sum.is_multiple_of(0xffff)
}

/// Returns the next smaller MTU that links really have, for a packet of this length.
fn plateau_below(length: u32) -> u32 {
    PLATEAUS.into_iter().find(|plateau| *plateau < length).unwrap_or(ipv4::MIN_RECEIVABLE)
}
