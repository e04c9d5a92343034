//! A frame from the underlay, rule by rule.

use std::net::IpAddr;

use super::{
    Counter, Fate, FdbEntry, Model, Peer, Probe, Refusal, Who,
    inner::{FrameKind, Inner, Unreadable},
    nat::Sent,
    outer::{BadVxlan, Outer, vxlan},
    rewrite,
};
use crate::packet::Mac;

pub(super) fn receive(model: &mut Model, frame: &[u8]) -> Fate {
    let Some(outer) = Outer::ours(&model.config, frame) else { return Fate::NotOurs };
    let fate = decide(model, &outer);
    match &fate {
        Fate::Refused(refusal) => {
            model.counters.add(refusal.who, Counter::RxDrop(refusal.reason), 1);
        }
        Fate::Accepted { inner, network, member } => {
            let who = Who::Member { network: *network, member: *member };
            model.counters.add(who, Counter::RxPackets, 1);
            model.counters.add(who, Counter::RxBytes, inner.len());
        }
        Fate::Probe(probe) => model.counters.add(Who::Peer(probe.peer), Counter::Probes, 1),
        Fate::NotOurs
        | Fate::Sent { .. }
        | Fate::Flooded(_)
        | Fate::Answered { .. }
        | Fate::TooBig { .. } => {}
    }
    fate
}

/// Rules 5 to 13, and what a NAT rewrote.
fn decide(model: &mut Model, outer: &Outer<'_>) -> Fate {
    let peer = model.peer_of(outer.src);
    let sender = peer.map_or(Who::Nobody, |(peer, _)| Who::Peer(peer));
    let refused = |reason, who| Fate::Refused(Refusal::new(reason, who));
    let udp = match outer.check().and_then(|()| outer.udp()) {
        Ok(udp) => udp,
        Err(reason) => return refused(reason, sender),
    };
    let network_of = |vni| model.config.networks.iter().position(|network| network.vni == vni);
    let vxlan = match vxlan(udp, model.config.ignore_reserved_bits) {
        Ok(vxlan) => vxlan,
        Err(BadVxlan { vni }) => {
            let unknown = vni.and_then(network_of).is_none();
            if unknown && model.config.pass_unknown_vni {
                return Fate::NotOurs;
            }
            return refused("invalid_vxlan_header", sender);
        }
    };
    if model.config.probes() == Some(vxlan.vni) {
        let probe = Probe::read(&model.config, outer, udp);
        return probe.map_or(refused("probe_denied", sender), Fate::Probe);
    }
    let Some(network) = network_of(vxlan.vni) else {
        if model.config.pass_unknown_vni {
            return Fate::NotOurs;
        }
        return refused("unknown_vni", sender);
    };
    let members = &model.config.networks[network].members;
    let (src, port) = (outer.src, outer.source_port());
    let sender_is = |is: &dyn Fn(&Peer) -> bool| {
        members.iter().position(|member| is(&model.config.peers[member.peer]))
    };
    let learned = sender_is(&|peer| peer.is_learned_at(src, port));
    let declared = || sender_is(&|peer| peer.is_declared_at(src));
    let Some(member) = learned.or_else(declared) else {
        return match peer {
            None => refused("unknown_source", Who::Network(network)),
            Some((peer, false)) => refused("unknown_source", Who::Peer(peer)),
            Some((peer, true)) => refused("not_a_member", Who::Pair { peer, network }),
        };
    };
    let who = Who::Member { network, member };
    let sent = Sent { outer, udp, inner: vxlan.inner, network, member };
    if !model.config.ignore_udp_checksum && !outer.udp_checksum_is_right(udp) {
        model.count_bad_checksum(&sent);
        return refused("bad_checksum", who);
    }
    match inner(model, network, member, outer.tos & 3, vxlan.inner) {
        Ok(inner) => {
            model.record_mapping(&sent);
            Fate::Accepted { inner, network, member }
        }
        Err(reason) => refused(reason, who),
    }
}

/// Rules 14 to 21: the frame as it is delivered.
fn inner(
    model: &mut Model,
    network_index: usize,
    member: usize,
    outer_ecn: u8,
    frame: &[u8],
) -> Result<Vec<u8>, &'static str> {
    let inner = match Inner::read(frame) {
        Ok(inner) => inner,
        Err(Unreadable::Malformed) => return Err("malformed_inner"),
        Err(Unreadable::OtherProtocol) => return Err("inner_protocol_denied"),
    };
    let config = &model.config;
    let network = &config.networks[network_index];
    if inner.ip().is_some_and(|ip| ip.is_link_scoped()) {
        return Err("inner_protocol_denied");
    }
    if network.is_own_mac(&inner) {
        return Err("own_mac");
    }
    if !network.may_send(member, &inner) {
        return Err("inner_source_denied");
    }
    let tunnel = inner.ip().is_some_and(|ip| {
        let to_underlay = config.has_underlay(ip.dst);
        ip.is_tunnel(config.port, network.pass_nested, to_underlay)
    });
    if tunnel {
        return Err("nested_tunnel");
    }
    if !network.may_receive(&inner) {
        return Err("inner_destination_denied");
    }
    let mut delivered = frame.to_vec();
    if let Some(ip) = inner.ip() {
        let ecn = rewrite::ecn(ip.tos & 3, outer_ecn).ok_or("ecn_error")?;
        rewrite::write_ecn(&mut delivered, ip.is_v6(), ecn);
        let peer = &config.peers[network.members[member].peer];
        rewrite::clamp_mss(&mut delivered, ip, peer.inner_mtu());
    }
    let learned_neighbour = match &inner.kind {
        FrameKind::Arp(arp) if arp.sender.is_unspecified() => None,
        FrameKind::Arp(arp) => Some((arp.sender, arp.sender_mac)),
        FrameKind::Ip(ip) => {
            let advertised = ip.discovery().filter(|discovery| !discovery.solicits);
            advertised.map(|advertised| (advertised.target, inner.src))
        }
    };
    model.learn(network_index, member, inner.src, learned_neighbour);
    Ok(delivered)
}

impl Model {
    /// Whose outer address it is, if it is one peer's alone; and whether that peer may send from
    /// it.
    fn peer_of(&self, address: IpAddr) -> Option<(usize, bool)> {
        let of_one = |has: &dyn Fn(&Peer) -> bool| {
            let peers = self.config.peers.iter().enumerate();
            let all: Vec<_> = peers.filter(|(_, peer)| has(peer)).map(|(index, _)| index).collect();
            (all.len() == 1).then(|| all[0]).ok_or(all.is_empty())
        };
        match of_one(&|peer| peer.is_declared_at(address)) {
            Ok(peer) => Some((peer, true)),
            Err(false) => None,
            Err(true) => {
                let private = of_one(&|peer| peer.private_addresses.contains(&address));
                private.ok().map(|peer| (peer, false))
            }
        }
    }

    fn learn(&mut self, network: usize, member: usize, mac: Mac, neighbour: Option<(IpAddr, Mac)>) {
        let known = self.fdb.get(&(network, mac));
        let declared = known.is_some_and(|entry| entry.declared);
        // No time passes, so that nobody is silent for long enough to lose a MAC address.
        let elsewhere = known.is_some_and(|entry| entry.member != member);
        let here = known.is_some() && !elsewhere;
        let behind = self
            .fdb
            .iter()
            .filter(|((n, _), entry)| *n == network && entry.member == member && !entry.declared);
        let room = here || behind.count() < self.config.networks[network].max_stations;
        if !declared && !elsewhere && room {
            self.fdb.insert((network, mac), FdbEntry { member, declared: false });
        }
        if let Some((address, mac)) = neighbour {
            self.neighbours.insert((network, member, address), mac);
        }
    }
}

impl super::Config {
    /// An underlay address of ours.
    fn has_underlay(&self, address: IpAddr) -> bool {
        let ours = self.addresses.contains(&address) || self.public_addresses.contains(&address);
        ours && !address.is_unspecified()
    }
}
