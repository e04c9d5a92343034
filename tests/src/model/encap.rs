//! A frame into the overlay interface, rule by rule.

use std::net::IpAddr;

use super::{
    Counter, Counters, Fate, FieldSource, Model, Network, Peer, Refusal, Who,
    bytes::{octets, put16, sum},
    flow,
    inner::{FrameKind, HEADER, Inner, Ip, UDP},
    policy::{Owner, is_group, is_multicast},
    reply, rewrite,
};

/// How many members a flooded frame goes to.
const MAX_FLOOD_MEMBERS: usize = 64;
const DEFAULT_TTL: u8 = 64;

/// Who gets a frame, by rule 2.
enum To {
    NoRoute,
    Member(usize),
    Flood,
    /// No member: it is answered for that member.
    Answer {
        reply: Vec<u8>,
        member: usize,
    },
}

pub(super) fn count(counters: &mut Counters, network: usize, bytes: usize, fate: &Fate) {
    match fate {
        Fate::Refused(refusal) | Fate::TooBig { refusal, .. } => {
            counters.add(refusal.who, Counter::TxDrop(refusal.reason), 1);
            if matches!(fate, Fate::TooBig { .. }) {
                counters.add(refusal.who, Counter::TooBigSent, 1);
            }
        }
        Fate::Sent { member, .. } => {
            let who = Who::Member { network, member: *member };
            counters.add(who, Counter::TxPackets, 1);
            counters.add(who, Counter::TxBytes, bytes);
        }
        Fate::Flooded(copies) => {
            copies.iter().for_each(|copy| count(counters, network, bytes, copy));
        }
        Fate::Answered { member, .. } => {
            let who = Who::Member { network, member: *member };
            counters.add(who, Counter::NeighbourReplies, 1);
        }
        Fate::NotOurs | Fate::Accepted { .. } | Fate::Probe(_) => {}
    }
}

pub(super) fn decide(model: &Model, network: usize, frame: &[u8]) -> Fate {
    let nobody = |reason| Fate::Refused(Refusal::new(reason, Who::Network(network)));
    let Ok(inner) = Inner::read(frame) else { return nobody("malformed_inner") };
    match model.recipient(network, &inner, frame) {
        To::NoRoute => nobody("no_route"),
        To::Answer { reply, member } => {
            let forgotten = Box::new(model.send(network, member, frame, &inner, true));
            Fate::Answered { reply, member, forgotten }
        }
        To::Member(member) => model.send(network, member, frame, &inner, true),
        To::Flood => {
            let from = model.fdb.get(&(network, inner.src)).map(|entry| entry.member);
            let all = 0..model.config.networks[network].members.len();
            let copies: Vec<_> = all
                .take(MAX_FLOOD_MEMBERS)
                .filter(|member| Some(*member) != from)
                .map(|member| model.send(network, member, frame, &inner, false))
                .collect();
            if copies.is_empty() { nobody("no_route") } else { Fate::Flooded(copies) }
        }
    }
}

impl Model {
    /// Rule 2.
    fn recipient(&self, index: usize, inner: &Inner<'_>, frame: &[u8]) -> To {
        let network = &self.config.networks[index];
        if is_group(inner.dst) {
            return self.recipient_of_group(index, network, inner, frame);
        }
        let entry = self.fdb.get(&(index, inner.dst));
        let owner = match &inner.kind {
            FrameKind::Arp(arp) if arp.target.is_unspecified() => Owner::Nobody,
            FrameKind::Arp(arp) => network.owner(arp.target),
            FrameKind::Ip(ip) => network.owner(solicited(ip).unwrap_or(ip.dst)),
        };
        match (owner, entry) {
            (Owner::Member(member), _) => To::Member(member),
            (Owner::ThisHost, _) => To::NoRoute,
            (Owner::Nobody, Some(entry)) => To::Member(entry.member),
            (Owner::Nobody, None) if network.flood => To::Flood,
            (Owner::Nobody, None) => To::NoRoute,
        }
    }

    fn recipient_of_group(
        &self,
        index: usize,
        network: &Network,
        inner: &Inner<'_>,
        frame: &[u8],
    ) -> To {
        let target = match &inner.kind {
            FrameKind::Ip(ip) if ip.is_link_scoped() => return To::NoRoute,
            FrameKind::Arp(arp) => (!arp.announces_itself()).then_some(arp.target),
            FrameKind::Ip(ip) => solicited(ip),
        };
        if let Some(target) = target {
            let Owner::Member(member) = network.owner(target) else { return To::NoRoute };
            let declared = network.members[member].mac;
            let learned = self.neighbours.get(&(index, member, target)).copied();
            let known = declared.or(learned);
            let reply = known.and_then(|mac| reply::proxy_reply(mac, inner, frame));
            return reply.map_or(To::Member(member), |reply| To::Answer { reply, member });
        }
        match inner.ip().filter(|ip| !is_multicast(ip.dst)).map(|ip| network.owner(ip.dst)) {
            Some(Owner::Member(member)) => To::Member(member),
            _ => To::Flood,
        }
    }

    /// Rules 3 to 6.
    fn send(
        &self,
        network_index: usize,
        member: usize,
        frame: &[u8],
        inner: &Inner<'_>,
        alone: bool,
    ) -> Fate {
        let network = &self.config.networks[network_index];
        let peer = &self.config.peers[network.members[member].peer];
        let refusal = |reason| Refusal::new(reason, Who::Member { network: network_index, member });
        if !peer.reachable {
            return Fate::Refused(refusal("no_neighbour"));
        }
        if frame.len() + peer.outer_headers() > peer.path_mtu {
            let refusal = refusal("mtu_exceeded");
            let reply = reply::too_big(network, inner, peer.inner_mtu()).filter(|_| alone);
            return match reply {
                Some(reply) => Fate::TooBig { reply, refusal },
                None => Fate::Refused(refusal),
            };
        }
        let mut carried = frame.to_vec();
        if let Some(ip) = inner.ip() {
            rewrite::clamp_mss(&mut carried, ip, peer.inner_mtu());
        }
        let vni = network.vni;
        Fate::Sent { outer: self.outer(vni, peer, inner, &carried), member }
    }

    /// Rule 6.
    fn outer(&self, vni: u32, peer: &Peer, inner: &Inner<'_>, carried: &[u8]) -> Vec<u8> {
        let config = &self.config;
        let hash = flow::hash(inner);
        let (ttl, dscp, ecn) = match inner.ip() {
            Some(ip) => (of(config.ttl, ip.ttl), of(config.dscp, ip.tos >> 2), ip.tos & 3),
            None => (DEFAULT_TTL, 0, 0),
        };
        let tos = dscp << 2 | ecn;
        let length = (8 + 8 + carried.len()) as u16;
        let family = |address: &&IpAddr| address.is_ipv4() == peer.endpoint().is_ipv4();
        let src = config.addresses.iter().find(family).copied().map_or(Vec::new(), octets);
        let dst = octets(peer.endpoint());
        let mut outer = vec![0; 12];
        if peer.endpoint().is_ipv4() {
            outer.extend([0x08, 0x00, 0x45, tos]);
            outer.extend((20 + length).to_be_bytes());
            // Identification, DF, and room for the checksum.
            outer.extend([0, 0, 0x40, 0, ttl, UDP, 0, 0]);
            outer.extend([src, dst].concat());
            let checksum = !sum(&[&outer[HEADER..]]);
            put16(&mut outer, HEADER + 10, checksum);
        } else {
            outer.extend([0x86, 0xdd]);
            outer.extend((6 << 28 | u32::from(tos) << 20 | hash & 0xf_ffff).to_be_bytes());
            outer.extend(length.to_be_bytes());
            outer.extend([UDP, ttl]);
            outer.extend([src, dst].concat());
        }
        let flow_port = flow::source_port(hash);
        let source_port = if config.fixed_source_port { config.port } else { flow_port };
        outer.extend(source_port.to_be_bytes());
        outer.extend(peer.port.to_be_bytes());
        outer.extend(length.to_be_bytes());
        outer.extend([0, 0]);
        outer.extend([0x08, 0, 0, 0]);
        outer.extend((vni << 8).to_be_bytes());
        outer.extend(carried);
        outer
    }
}

fn of(setting: FieldSource, inner: u8) -> u8 {
    match setting {
        FieldSource::Settings(value) => value,
        FieldSource::Inner => inner,
    }
}

fn solicited(ip: &Ip<'_>) -> Option<IpAddr> {
    ip.discovery().filter(|discovery| discovery.solicits).map(|discovery| discovery.target)
}
