//! What the maps shall hold for a configuration on this host: indices, counter slots and entries.
//!
//! Pure: configuration and facts about the host in, a [`Plan`] out. Knows no BPF call and no netlink.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use vxlan_common::{
    addr::{Address, IPV4, IPV6, Mac},
    outer::OVERHEAD_IPV4,
    table::{
        FdbEntry, FdbKey, GROUP_SIZE, Group, LOCAL, Member, Network, NetworkAddress, OuterAddress,
        Owner, Peer, Rate, Settings, Source, TAG_AUTO, TAG_MAC, TAG_METADATA, TaggedMember,
    },
};

use crate::config::{Config, SourcePort, Tag, UnknownVni};

/// Time to live of the outer packets.
const TTL: u8 = 64;
/// Frames for everyone, per second.
const BROADCAST_RATE: u64 = 1_000;
/// How many of one limit may come at once, in ns of its rate.
const BURST: u64 = 100_000_000;
/// Stations that may be learned behind a member.
const MAX_STATIONS: u32 = 256;

/// The underlay interface, as far as the maps are concerned.
#[derive(Clone, Copy, Debug)]
pub struct UnderlayFacts {
    pub ifindex: u32,
    pub mtu: u32,
    /// Where our packets come from and peers' packets arrive.
    pub address: Ipv4Addr,
}

/// The overlay interface of one network.
#[derive(Clone, Copy, Debug)]
pub struct OverlayFacts {
    pub ifindex: u32,
    pub mac: [u8; 6],
}

/// The way to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayFacts {
    /// Next hop on the link: the gateway, or the endpoint itself.
    pub gateway: IpAddr,
    /// The kernel knows the next hop's MAC, so that packets need not wait for it.
    pub resolved: bool,
    /// The route's own MTU, where it has one.
    pub mtu: Option<u32>,
}

/// Whom a counter slot stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotOwner {
    pub peer: Option<String>,
    pub vni: Option<u32>,
}

/// One prefix of the trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// Length of the key that counts, [`NetworkAddress::FIXED_BITS`] included.
    pub bits: u32,
    pub address: NetworkAddress,
    pub owner: Owner,
}

/// Contents of every map that the daemon writes.
#[derive(Clone, Debug)]
pub struct Plan {
    pub settings: Settings,
    pub networks: Vec<Network>,
    /// By network: who gets a copy of what is for everyone.
    pub groups: Vec<Group>,
    pub peers: Vec<Peer>,
    pub members: Vec<Member>,
    pub sources: Vec<(NetworkAddress, Source)>,
    pub peer_addresses: Vec<(OuterAddress, u32)>,
    pub routes: Vec<RouteEntry>,
    pub stations: Vec<(FdbKey, FdbEntry)>,
    pub tags: Vec<(Mac, TaggedMember)>,
    /// By slot number.
    pub slots: Vec<SlotOwner>,
}

/// Random numbers that go into the plan; drawn anew at every start.
pub trait Secrets {
    fn bytes<const N: usize>(&mut self) -> [u8; N];
}

impl Secrets for rand::rngs::ThreadRng {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        rand::RngCore::fill_bytes(self, &mut bytes);
        bytes
    }
}

impl Plan {
    /// `overlays` has one element for each network of `config`, `ways` one for each peer; `None` is a
    /// peer to whom there is no route at present.
    pub fn new(
        config: &Config,
        underlay: &UnderlayFacts,
        overlays: &[OverlayFacts],
        ways: &[Option<WayFacts>],
        secrets: &mut impl Secrets,
    ) -> Self {
        let mut plan = Self::empty(config, underlay, secrets);
        for (peer, way) in config.peers.iter().zip(ways) {
            plan.add_peer(config, peer, underlay, way.as_ref());
        }
        for (network, overlay) in config.networks.iter().zip(overlays) {
            plan.add_network(config, network, overlay, secrets);
        }
        plan
    }

    fn empty(config: &Config, underlay: &UnderlayFacts, secrets: &mut impl Secrets) -> Self {
        let public = config.underlay.public_address.v4.map_or(Ipv4Addr::UNSPECIFIED, |at| at.value);
        let settings = Settings {
            secret: secrets.bytes(),
            address: underlay.address.octets(),
            public_address: public.octets(),
            address6: Address::ZERO,
            public_address6: Address::ZERO,
            port: config.underlay.port.value.to_be_bytes(),
            tag: match config.underlay.tag.value {
                Tag::Auto => TAG_AUTO,
                Tag::Metadata => TAG_METADATA,
                Tag::Mac => TAG_MAC,
            },
            pass_unknown_vni: u8::from(config.underlay.unknown_vni == UnknownVni::Pass),
            fixed_source_port: u8::from(config.underlay.source_port == SourcePort::Fixed),
            ignore_reserved_bits: 0,
            ttl: TTL,
            dscp: 0,
        };
        Self {
            settings,
            networks: Vec::new(),
            groups: Vec::new(),
            peers: Vec::new(),
            members: Vec::new(),
            sources: Vec::new(),
            peer_addresses: Vec::new(),
            routes: Vec::new(),
            stations: Vec::new(),
            tags: Vec::new(),
            slots: vec![SlotOwner { peer: None, vni: None }],
        }
    }

    fn slot(&mut self, peer: Option<&str>, vni: Option<u32>) -> u32 {
        self.slots.push(SlotOwner { peer: peer.map(str::to_owned), vni });
        self.slots.len() as u32 - 1
    }

    fn add_peer(
        &mut self,
        config: &Config,
        peer: &crate::config::Peer,
        underlay: &UnderlayFacts,
        way: Option<&WayFacts>,
    ) {
        let index = self.peers.len() as u32;
        let slot = self.slot(Some(&peer.name.value), None);
        self.peers.push(peer_entry(peer, underlay, way, slot));
        for (address, _) in source_addresses(peer) {
            // Peers of different networks may have the same private address: it then says nothing
            // about who sent, and is nobody's.
            let used = |other: &crate::config::Peer| {
                source_addresses(other).iter().any(|(theirs, _)| *theirs == address)
            };
            if config.peers.iter().filter(|other| used(other)).count() == 1 {
                let (family, address) = family_address(address);
                self.peer_addresses.push((OuterAddress { pad: [0; 3], family, address }, index));
            }
        }
    }

    fn add_network(
        &mut self,
        config: &Config,
        network: &crate::config::Network,
        overlay: &OverlayFacts,
        secrets: &mut impl Secrets,
    ) {
        let index = self.networks.len() as u32;
        let number = network.vni.value.get();
        let [_, a, b, c] = number.to_be_bytes();
        let vni = [a, b, c];
        let slot = self.slot(None, Some(number));
        let mac = Mac::new(overlay.mac);
        self.networks.push(Network {
            ifindex: overlay.ifindex,
            slot,
            vni,
            flags: Network::FLOOD_UNKNOWN,
            mac,
            address: [0; 4],
            address6: Address::ZERO,
            broadcast: Rate::per_second(BROADCAST_RATE, BURST, 1),
        });

        let mut group = Group { len: 0, members: [0; GROUP_SIZE] };
        for member in &network.members {
            if let Some(place) = group.members.get_mut(group.len as usize) {
                *place = self.members.len() as u32;
                group.len += 1;
            }
            self.add_member(config, member, index, vni, number, overlay, secrets);
        }
        self.groups.push(group);
        // A prefix that a member was given is the member's, though our address lies in it.
        let taken = |plan: &Self, entry: &RouteEntry| {
            plan.routes.iter().any(|r| r.bits == entry.bits && r.address == entry.address)
        };
        let own = network.addresses.iter().map(|at| IpNet::from(at.value.addr()));
        for prefix in own.chain(network.local_ips.iter().copied()) {
            let entry = route_entry(vni, prefix, LOCAL);
            if !taken(self, &entry) {
                self.routes.push(entry);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one step of add_network, called once")]
    fn add_member(
        &mut self,
        config: &Config,
        member: &crate::config::Member,
        network: u32,
        vni: [u8; 3],
        number: u32,
        overlay: &OverlayFacts,
        secrets: &mut impl Secrets,
    ) {
        let index = self.members.len() as u32;
        let peer = &config.peers[member.peer];
        let slot = self.slot(Some(&peer.name.value), Some(number));
        let any_ipv6 = member.allowed_ips.iter().any(|at| at.value.addr().is_ipv6());
        let tag = secret_mac(secrets.bytes());
        self.members.push(Member {
            peer: member.peer as u32,
            network,
            slot,
            flags: if any_ipv6 { Member::IPV6 } else { 0 },
            max_stations: MAX_STATIONS,
            mac: member.mac.map_or(Mac::ZERO, Mac::new),
            tag,
        });
        self.tags.push((tag, TaggedMember { network, slot }));
        for (address, flags) in source_addresses(peer) {
            let (family, address) = family_address(address);
            let key = NetworkAddress { vni, family, address };
            self.sources.push((key, Source { member: index, flags }));
        }
        for at in &member.allowed_ips {
            self.routes.push(route_entry(vni, at.value, index));
        }
        if let Some(mac) = member.mac {
            let key = FdbKey { ifindex: overlay.ifindex, mac: Mac::new(mac) };
            self.stations.push((key, FdbEntry { member: index, flags: FdbEntry::STATIC, seen: 0 }));
        }
    }

    /// Counter slots that a plan for `config` uses.
    pub fn slots_for(config: &Config) -> u32 {
        let members: usize = config.networks.iter().map(|network| network.members.len()).sum();
        (1 + config.peers.len() + config.networks.len() + members) as u32
    }
}

/// The entry of one peer, also for a change of the way to it alone.
pub fn peer_entry(
    peer: &crate::config::Peer,
    underlay: &UnderlayFacts,
    way: Option<&WayFacts>,
    slot: u32,
) -> Peer {
    let endpoint = peer.endpoint.value;
    let (family, address) = family_address(endpoint.ip());
    // A gateway of the other family (RFC 8950) is left to the kernel's own lookup.
    let same_family = |way: &&WayFacts| way.gateway.is_ipv4() == endpoint.is_ipv4();
    let resolved = way.filter(|way| way.resolved).filter(same_family);
    let gateway = resolved.map_or(Address::ZERO, |way| family_address(way.gateway).1);
    let mtu = way.and_then(|way| way.mtu).unwrap_or(underlay.mtu).min(underlay.mtu);
    Peer {
        endpoint: address,
        gateway,
        family,
        pad: 0,
        port: endpoint.port().to_be_bytes(),
        ifindex: way.map_or(0, |_| underlay.ifindex),
        mtu,
        slot,
        packets: Rate::NONE,
        bytes: Rate::NONE,
    }
}

/// The overlay's MTU where the configuration does not say: what fits the underlay.
pub fn default_overlay_mtu(underlay_mtu: u32) -> u32 {
    underlay_mtu.saturating_sub(OVERHEAD_IPV4 as u32)
}

/// Every outer address that a peer's packets may come from, and whether a NAT must have rewritten
/// it: its endpoint, where that is not the address its interface carries, has been.
fn source_addresses(peer: &crate::config::Peer) -> Vec<(IpAddr, u32)> {
    let endpoint = peer.endpoint.value.ip();
    match peer.private_address {
        Some(private) if private.value != endpoint => {
            vec![(endpoint, Source::REWRITTEN), (private.value, 0)]
        }
        _ => vec![(endpoint, 0)],
    }
}

fn family_address(address: IpAddr) -> (u8, Address) {
    match address {
        IpAddr::V4(address) => (IPV4, Address::ipv4(address.octets())),
        IpAddr::V6(address) => (IPV6, Address::ipv6(address.octets())),
    }
}

fn route_entry(vni: [u8; 3], prefix: IpNet, owner: Owner) -> RouteEntry {
    let (family, address) = family_address(prefix.network());
    RouteEntry {
        bits: NetworkAddress::FIXED_BITS + u32::from(prefix.prefix_len()),
        address: NetworkAddress { vni, family, address },
        owner,
    }
}

/// A locally administered unicast address whose last two bits are zero: 44 random bits.
fn secret_mac(mut bytes: [u8; 6]) -> Mac {
    bytes[0] = (bytes[0] & !0b11) | 0b10;
    bytes[5] &= !0b11;
    Mac::new(bytes)
}

#[cfg(test)]
mod tests;
