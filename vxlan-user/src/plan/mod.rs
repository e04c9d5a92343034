//! What the maps shall hold for a configuration on this host: indices, counter slots and entries.
//!
//! Pure: configuration and facts about the host in, a [`Plan`] out. Knows no BPF call and no netlink.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use vxlan_common::{
    addr::{Address, IPV4, IPV6, Mac},
    probe,
    table::{
        DSCP_INHERIT, FdbEntry, FdbKey, FloodList, GlobalSettings, LOCAL, MAX_FLOOD_MEMBERS,
        MemberEntry, NEIGHBOURS, NetworkAddress, NetworkEntry, Owner, PeerEntry, RateLimit,
        TAG_AUTO, TAG_MAC, TAG_METADATA, TaggedMember,
    },
};

use crate::config::{
    self, Config, NestedTunnels, OuterField, ReservedBits, SourcePort, Tag, UdpChecksum,
    UnknownUnicast, UnknownVni,
};

mod facts;
mod learned;
mod names;
mod peer;
mod senders;

pub use facts::{
    OverlayFacts, PeerPath, UnderlayFacts, default_overlay_mtu, overhead, overlay_mac,
};
pub use learned::{Endpoints, LearnedEndpoint, Taken};
pub use names::Names;
pub use peer::peer_entry;
pub use senders::{Change, Senders};

/// How many of one limit may come at once, in ns of its rate.
const BURST: u64 = 100_000_000;

/// Whom a counter slot stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    pub settings: GlobalSettings,
    pub networks: Vec<NetworkEntry>,
    /// By network: who gets a copy of what is for everyone.
    pub flood_lists: Vec<FloodList>,
    pub peers: Vec<PeerEntry>,
    pub members: Vec<MemberEntry>,
    pub senders: Senders,
    /// Whose key makes probes with this tag. Empty: keys are not known here.
    pub probers: Vec<(probe::ProbeTag, u32)>,
    pub routes: Vec<RouteEntry>,
    pub stations: Vec<(FdbKey, FdbEntry)>,
    pub tags: Vec<(Mac, TaggedMember)>,
    pub names: Names,
}

/// What a plan keeps of the one before it, so that a frame that the former programs have let in is known
/// to the new ones.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    /// An owner's slot stays; one that is nobody's any more is not given to another at once.
    pub slots: Vec<Option<SlotOwner>>,
    pub secret: Option<[u8; 8]>,
    /// [`TAG_MAC`] where the driver was found to have no metadata.
    pub tag: Option<u8>,
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
    /// peer to whom there is no route at present. `learned` is by peer too; those behind its end have
    /// not been learned.
    pub fn new(
        config: &Config,
        underlay: &UnderlayFacts,
        overlays: &[OverlayFacts],
        ways: &[Option<PeerPath>],
        learned: &[Option<LearnedEndpoint>],
        kept: &Inherited,
        secrets: &mut impl Secrets,
    ) -> Self {
        let mut plan = Self::empty(config, underlay, kept, secrets);
        let mut slots = Slots::of(kept);
        for (index, (peer, way)) in config.peers.iter().zip(ways).enumerate() {
            let slot = slots.of_owner(Some(&peer.name.value), None);
            plan.names.peers.push(peer.name.value.clone());
            let learned = learned.get(index).and_then(Option::as_ref);
            plan.peers.push(peer_entry(peer, underlay, way.as_ref(), learned, slot));
        }
        for (network, overlay) in config.networks.iter().zip(overlays) {
            plan.add_network(config, network, overlay, &mut slots);
        }
        plan.names.slots = slots.now;
        plan.senders = Senders::of(config, learned);
        plan
    }

    fn empty(
        config: &Config,
        underlay: &UnderlayFacts,
        kept: &Inherited,
        secrets: &mut impl Secrets,
    ) -> Self {
        let public = &config.underlay.public_address;
        let settings = GlobalSettings {
            secret: kept.secret.unwrap_or_else(|| secrets.bytes()),
            address: v4(underlay.v4),
            public_address: v4(public.v4.map(|at| at.value)),
            address6: v6(underlay.v6),
            public_address6: v6(public.v6.map(|at| at.value)),
            port: config.underlay.port.value.to_be_bytes(),
            tag: match config.underlay.tag.value {
                Tag::Auto => kept.tag.unwrap_or(TAG_AUTO),
                Tag::Metadata => TAG_METADATA,
                Tag::Mac => TAG_MAC,
            },
            pass_unknown_vni: u8::from(config.underlay.unknown_vni == UnknownVni::Pass),
            fixed_source_port: u8::from(config.underlay.source_port.value == SourcePort::Fixed),
            ignore_reserved_bits: u8::from(config.underlay.reserved_bits == ReservedBits::Ignore),
            ignore_udp_checksum: u8::from(config.underlay.udp_checksum == UdpChecksum::Ignore),
            ttl: field(config.underlay.ttl, 0),
            dscp: field(config.underlay.dscp, DSCP_INHERIT),
            probes: u8::from(config.probes()),
            probe_vni: low_bytes(config.probe.vni.value),
            pad: [0; 3],
        };
        Self {
            settings,
            networks: Vec::new(),
            flood_lists: Vec::new(),
            peers: Vec::new(),
            members: Vec::new(),
            senders: Senders::default(),
            probers: Vec::new(),
            routes: Vec::new(),
            stations: Vec::new(),
            tags: Vec::new(),
            names: Names::default(),
        }
    }

    fn add_network(
        &mut self,
        config: &Config,
        network: &config::Network,
        overlay: &OverlayFacts,
        slots: &mut Slots,
    ) {
        let index = self.networks.len() as u32;
        let number = network.vni.value.get();
        let vni = vni_bytes(network.vni.value);
        let slot = slots.of_owner(None, Some(number));
        self.names.networks.push(number);
        let pass = match network.nested_tunnels {
            NestedTunnels::Pass => NetworkEntry::PASS_NESTED,
            NestedTunnels::Drop => 0,
        };
        let flood = match network.unknown_unicast {
            UnknownUnicast::Flood => NetworkEntry::FLOOD_UNKNOWN,
            UnknownUnicast::Drop => 0,
        };
        self.networks.push(NetworkEntry {
            ifindex: overlay.ifindex,
            slot,
            vni,
            flags: pass | flood,
            mac: Mac::new(overlay.mac),
            address: answers_from(network, true).first(),
            address6: answers_from(network, false),
            bum_limit: RateLimit::per_second(network.broadcast_rate.into(), BURST, 1),
        });

        let mut flood_list = FloodList { len: 0, members: [0; MAX_FLOOD_MEMBERS] };
        for member in &network.members {
            if let Some(slot) = flood_list.members.get_mut(flood_list.len as usize) {
                *slot = self.members.len() as u32;
                flood_list.len += 1;
            }
            self.add_member(config, network, member, index, vni, overlay, slots);
        }
        self.flood_lists.push(flood_list);
        // A prefix that a member was given is the member's, though our address lies in it.
        let of_network = self.routes.iter().filter(|route| route.address.vni == vni);
        let mut taken: HashSet<_> = of_network.map(|at| (at.bits, at.address)).collect();
        let own = network.addresses.iter().map(|at| IpNet::from(at.value.addr()));
        let broadcasts = network.addresses.iter().filter_map(|at| directed_broadcast(at.value));
        for prefix in own.chain(network.local_ips.iter().copied()).chain(broadcasts) {
            let entry = route_entry(vni, prefix, LOCAL);
            if taken.insert((entry.bits, entry.address)) {
                self.routes.push(entry);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one step of add_network, called once")]
    fn add_member(
        &mut self,
        config: &Config,
        of: &config::Network,
        member: &config::Member,
        network: u32,
        vni: [u8; 3],
        overlay: &OverlayFacts,
        slots: &mut Slots,
    ) {
        let index = self.members.len() as u32;
        let peer = &config.peers[member.peer];
        let slot = slots.of_owner(Some(&peer.name.value), Some(of.vni.value.get()));
        self.names.members.push((member.peer as u32, network));
        let any_ipv6 = member.allowed_ips.iter().any(|at| at.value.addr().is_ipv6());
        let tag = secret_mac(self.settings.secret, slot);
        let (port_low, port_high, sends) = peer::sends(peer, config.underlay.port.value);
        self.members.push(MemberEntry {
            peer: member.peer as u32,
            network,
            slot,
            flags: if any_ipv6 { MemberEntry::IPV6 } else { 0 }
                | if peer.is_limited() { MemberEntry::LIMITED } else { 0 }
                | sends,
            max_stations: of.max_stations.value,
            port_low,
            port_high,
            mac: member.mac.map_or(Mac::ZERO, Mac::new),
            tag,
        });
        let own = Mac::new(overlay.mac);
        self.tags.push((tag, TaggedMember { ifindex: overlay.ifindex, slot, mac: own }));
        for at in &member.allowed_ips {
            self.routes.push(route_entry(vni, at.value, index));
        }
        if let Some(mac) = member.mac {
            let key = FdbKey { ifindex: overlay.ifindex, mac: Mac::new(mac) };
            self.stations.push((key, FdbEntry { member: index, flags: FdbEntry::STATIC, seen: 0 }));
        }
    }

    /// Neighbours that the members of `config` can fill.
    pub fn neighbours_for(config: &Config) -> u32 {
        let members: usize = config.networks.iter().map(|network| network.members.len()).sum();
        (members as u32).saturating_mul(NEIGHBOURS)
    }

    /// Members of `config` whose peer's endpoint is learned.
    pub fn learning_for(config: &Config) -> u32 {
        let members = config.networks.iter().flat_map(|network| &network.members);
        members.filter(|member| config.peers.get(member.peer).is_some_and(|of| of.learns)).count()
            as u32
    }

    /// Stations, declared and learned, that the networks of `config` can have. The configuration
    /// sees to it that there are no more than [`config::MOST_STATIONS`].
    pub fn stations_for(config: &Config) -> u32 {
        config.stations() as u32
    }
}

/// Hands counter slots out.
struct Slots {
    /// Of owners that had one.
    kept: HashMap<SlotOwner, u32>,
    /// What is nobody's, and was not a moment ago.
    free: Vec<u32>,
    now: Vec<Option<SlotOwner>>,
}

impl Slots {
    fn of(kept: &Inherited) -> Self {
        let numbered = || (0..).zip(&kept.slots);
        let nobody = SlotOwner { peer: None, vni: None };
        let mut now = vec![None; kept.slots.len().max(1)];
        now[0] = Some(nobody);
        Self {
            kept: numbered().filter_map(|(at, owner)| Some((owner.clone()?, at))).collect(),
            free: numbered()
                .skip(1)
                .filter(|(_, owner)| owner.is_none())
                .map(|(at, _)| at)
                .collect(),
            now,
        }
    }

    fn of_owner(&mut self, peer: Option<&str>, vni: Option<u32>) -> u32 {
        let owner = SlotOwner { peer: peer.map(str::to_owned), vni };
        let slot = self.kept.get(&owner).copied().or_else(|| self.free.pop());
        let slot = slot.unwrap_or_else(|| {
            self.now.push(None);
            self.now.len() as u32 - 1
        });
        if let Some(place) = self.now.get_mut(slot as usize) {
            *place = Some(owner);
        }
        slot
    }
}

/// The settings with the underlay's addresses as they are now.
pub fn readdressed(settings: &GlobalSettings, underlay: &UnderlayFacts) -> GlobalSettings {
    GlobalSettings { address: v4(underlay.v4), address6: v6(underlay.v6), ..*settings }
}

fn v4(at: Option<Ipv4Addr>) -> [u8; 4] {
    at.map_or([0; 4], |at| at.octets())
}

fn v6(at: Option<Ipv6Addr>) -> Address {
    at.map_or(Address::ZERO, |at| Address::ipv6(at.octets()))
}

fn field(of: OuterField, inherit: u8) -> u8 {
    match of {
        OuterField::Fixed(value) => value,
        OuterField::Inherit => inherit,
    }
}

/// The overlay interface's first address of a family; an IPv6 one that is of use beyond the link,
/// where there is one. Zero: none.
fn answers_from(network: &config::Network, v4: bool) -> Address {
    let own = || network.addresses.iter().map(|at| at.value.addr()).filter(|at| at.is_ipv4() == v4);
    let on_link = |at: &IpAddr| matches!(at, IpAddr::V6(at) if at.is_unicast_link_local());
    let address = own().find(|at| !on_link(at)).or_else(|| own().next());
    address.map_or(Address::ZERO, |address| family_address(address).1)
}

/// Where frames for all hosts of an IPv4 network go; networks of one or two addresses have no such
/// address (RFC 3021).
fn directed_broadcast(own: IpNet) -> Option<IpNet> {
    match own {
        IpNet::V4(own) if own.prefix_len() < 31 => Some(IpNet::from(IpAddr::V4(own.broadcast()))),
        IpNet::V4(_) | IpNet::V6(_) => None,
    }
}

/// A VNI in network order.
fn vni_bytes(vni: config::Vni) -> [u8; 3] {
    low_bytes(vni.get())
}

fn low_bytes(number: u32) -> [u8; 3] {
    let [_, a, b, c] = number.to_be_bytes();
    [a, b, c]
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

/// A locally administered unicast address whose last two bits are zero: 44 bits that nobody can tell
/// without the secret, and the same for as long as secret and slot are.
fn secret_mac(secret: [u8; 8], slot: u32) -> Mac {
    let digest = Sha256::new().chain_update(secret).chain_update(slot.to_be_bytes()).finalize();
    let mut bytes = [0; 6];
    bytes.copy_from_slice(&digest[..6]);
    bytes[0] = (bytes[0] & !0b11) | 0b10;
    bytes[5] &= !0b11;
    Mac::new(bytes)
}

#[cfg(test)]
mod tests;
