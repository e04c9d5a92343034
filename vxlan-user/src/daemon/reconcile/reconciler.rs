//! Keeps a running data plane in line with what changes under it: routes and neighbours, the
//! underlay's MTU, what routers say of the paths, and where probes prove that peers are.

use std::{collections::HashMap, time::Instant};

use vxlan_common::{addr::Address, wire::ipv6::MIN_MTU as MIN_IPV6_MTU};

use super::dirty_set::Affected;
use crate::{
    daemon::{
        directories::Directories,
        paths::{
            path_mtu::{self, LIFETIME, Ours, PathMtus},
            resolution::{self as ways, Looked},
        },
        running::ActivePlane,
    },
    dataplane::uptime,
    host::{Host, HostEvent, IcmpMessage},
    plan::{self, LearnedEndpoint, Senders, Taken},
};

/// So many ways are looked at before everything else has its turn again: some milliseconds.
pub(in crate::daemon) const AT_A_TIME: usize = 256;

/// What following needs besides the data plane.
pub(in crate::daemon) struct Follower<'a> {
    directories: &'a Directories,
    host: &'a Host,
    paths: PathMtus,
    /// By peer: what link and route to it allow.
    widest: Vec<u32>,
    /// By peer: what probes have found to pass.
    found: Vec<Option<u32>>,
    /// Whose ways are to be looked at.
    affected: Affected,
    /// So is the underlay, whoever is affected.
    look: bool,
    /// Something has happened that affects everybody, and not everybody's way was looked at since.
    round: bool,
    /// The underlay has become wider; the overlay interfaces follow when the ways have.
    widen: bool,
    /// Something was learned that is not on disk yet.
    unsaved: bool,
}

/// A router has said that the path to a peer is narrower than was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) struct Narrowed {
    pub(in crate::daemon) peer: usize,
    pub(in crate::daemon) was: u32,
    pub(in crate::daemon) mtu: u32,
}

/// From now on nobody tells when a next hop stops to answer: the kernel shall look it up each time.
pub(in crate::daemon) fn unname_next_hops(running: &mut ActivePlane) -> anyhow::Result<()> {
    for (index, peer) in running.plan.peers.iter_mut().enumerate() {
        peer.gateway = Address::ZERO;
        running.plane.set_peer(index as u32, peer)?;
    }
    Ok(())
}

impl<'a> Follower<'a> {
    pub(in crate::daemon) fn new(
        directories: &'a Directories,
        host: &'a Host,
        running: &ActivePlane,
    ) -> Self {
        let ActivePlane { preflight, endpoints, plan, .. } = running;
        let mut affected = Affected::of(plan.peers.len());
        for peer in 0..plan.peers.len() {
            let at = ways::endpoints(preflight, endpoints, peer);
            affected.reached_at(peer, at.map(|endpoint| endpoint.ip()).collect());
        }
        // Which next hops lead to them only a look tells.
        affected.all();
        let known = &running.state.narrow_paths;
        let paths = PathMtus::of_record(LIFETIME, known, Instant::now(), uptime());
        Self {
            directories,
            host,
            paths,
            widest: plan.peers.iter().map(|peer| peer.mtu).collect(),
            found: vec![None; plan.peers.len()],
            affected,
            look: true,
            round: true,
            widen: false,
            unsaved: false,
        }
    }

    /// Goes on under another configuration: what is known of paths, and of the peers that stay, stays.
    pub(in crate::daemon) fn reload(&mut self, former: &ActivePlane, running: &ActivePlane) {
        let names = |of: &ActivePlane| -> Vec<String> {
            of.preflight.config.peers.iter().map(|peer| peer.name.value.clone()).collect()
        };
        let known: HashMap<String, Option<u32>> =
            names(former).into_iter().zip(std::mem::take(&mut self.found)).collect();
        let found = names(running).iter().map(|peer| known.get(peer).copied().flatten()).collect();
        let paths = std::mem::replace(&mut self.paths, PathMtus::new(LIFETIME));
        *self = Self { paths, found, ..Self::new(self.directories, self.host, running) };
    }

    /// Takes note of what is new on the host.
    pub(in crate::daemon) fn note(&mut self, events: &[HostEvent], running: &ActivePlane) {
        let underlay = running.preflight.facts.ifindex;
        for event in events {
            self.affected.note(event, underlay);
            self.look |= match event {
                HostEvent::Overrun => true,
                HostEvent::Link { ifindex, .. }
                | HostEvent::LinkRemoved { ifindex, .. }
                | HostEvent::Address { ifindex, .. }
                | HostEvent::AddressRemoved { ifindex, .. } => *ifindex == underlay,
                HostEvent::Route(_)
                | HostEvent::RouteRemoved(_)
                | HostEvent::Neighbour(_)
                | HostEvent::NeighbourRemoved { .. } => false,
            };
        }
        self.round |= self.look;
    }

    /// Some of the peers whose way could be better are to be looked at: of a next hop that does not
    /// answer there is no news.
    pub(in crate::daemon) fn retry(&mut self, running: &ActivePlane) {
        let ActivePlane { preflight, endpoints, plan, .. } = running;
        self.affected.some(AT_A_TIME, |peer| {
            ways::may_improve(&preflight.config, endpoints, &plan.peers, peer)
        });
    }

    /// Is there anything to bring in line?
    pub(in crate::daemon) fn has_work(&self) -> bool {
        self.look || !self.affected.is_empty()
    }

    /// What link and route to a peer allow, whatever the path beyond takes.
    pub(in crate::daemon) fn widest(&self, peer: usize) -> Option<u32> {
        self.widest.get(peer).copied()
    }

    /// Brings the next peers in line with the host's routes, neighbours and underlay; call it again while
    /// it [has work](Self::has_work).
    pub(in crate::daemon) async fn follow(
        &mut self,
        running: &mut ActivePlane,
    ) -> anyhow::Result<()> {
        let peers = self.affected.take(AT_A_TIME);
        let ActivePlane { preflight, endpoints, plan, .. } = &*running;
        let ways = ways::to(preflight, endpoints, self.host, Some(&plan.peers), &peers).await;
        self.look = false;
        let was = running.preflight.facts.mtu;
        running.preflight.facts.mtu = ways.mtu;
        running.preflight.underlay.mtu = ways.mtu;
        if ways.mtu != was {
            self.affected.all();
            self.widen = ways.mtu > was;
        }
        // An overlay interface never sends what the ways do not take.
        let mut changed = ways.mtu < was && self.follow_mtu(running).await;
        self.affected.found(&ways);
        ways.to_peers.iter().try_for_each(|looked| self.follow_way(running, looked))?;
        if self.affected.is_empty() && std::mem::take(&mut self.round) {
            tracing::debug!("every way is looked at");
        }
        if self.widen && self.affected.is_empty() {
            self.widen = false;
            changed |= self.follow_mtu(running).await;
        }
        if changed && let Err(error) = self.directories.run_dir.store(&running.state) {
            // Only `vxlan show` reads it now.
            tracing::warn!("{error}");
        }
        Ok(())
    }

    fn follow_way(&mut self, running: &mut ActivePlane, looked: &Looked) -> anyhow::Result<()> {
        let (index, way) = (looked.peer, &looked.way);
        let (preflight, learned) = (&running.preflight, running.endpoints.of(index));
        let peer = &preflight.config.peers[index];
        let old = running.plan.peers[index];
        let known = way.as_ref().ok();
        let mut new = plan::peer_entry(peer, &preflight.facts, known, learned.as_ref(), old.slot);
        if let Some(widest) = self.widest.get_mut(index) {
            *widest = new.mtu;
        }
        let found = self.found.get(index).copied().flatten().unwrap_or(u32::MAX);
        new.mtu = self.paths.limit(plan::entry_endpoint(&new), new.mtu).min(found);
        if new == old {
            return Ok(());
        }
        running.plane.set_peer(index as u32, &new)?;
        running.plan.peers[index] = new;
        match way {
            Ok(way) if old.ifindex == 0 => {
                tracing::info!(peer = %peer.name, "now by way of {}", way.gateway);
            }
            Ok(way) => tracing::debug!(peer = %peer.name, "the way is now {way:?}"),
            Err(reason) => tracing::warn!(peer = %peer.name, "not reachable: {reason}"),
        }
        Ok(())
    }

    /// An accepted probe proves where a peer is: what it says of its latest way here, and whether that
    /// is old, is the caller's to judge.
    pub(in crate::daemon) async fn learn(
        &mut self,
        running: &mut ActivePlane,
        peer: usize,
        to: LearnedEndpoint,
    ) -> anyhow::Result<()> {
        let ActivePlane { preflight, endpoints, plane, .. } = &mut *running;
        let peers = &preflight.config.peers;
        let (known, said) = (endpoints.clone(), endpoints.refused(peer));
        match endpoints.claim(&preflight.config, peer, to) {
            Ok(changes) => {
                if let Err(error) = plane.change(&changes) {
                    // Nothing was written: everybody is where the programs think.
                    *endpoints = known;
                    return Err(error.into());
                }
            }
            Err(Taken { by }) => {
                if said != Some(to) {
                    tracing::warn!(
                        peer = %peers[peer].name,
                        "its probes come from {}, where peer \"{}\" is: its endpoint stays",
                        to.endpoint,
                        peers[by].name
                    );
                }
                return Ok(());
            }
        }
        self.follow_endpoints(running, known.all()).await
    }

    /// A peer is not where it was any more, and another one is: it has no endpoint until it is heard of.
    pub(in crate::daemon) async fn release(
        &mut self,
        running: &mut ActivePlane,
        peer: usize,
    ) -> anyhow::Result<()> {
        let ActivePlane { preflight, endpoints, plane, .. } = &mut *running;
        let known = endpoints.clone();
        let changes = endpoints.release(&preflight.config, peer);
        if let Err(error) = plane.change(&changes) {
            *endpoints = known;
            return Err(error.into());
        }
        tracing::warn!(
            peer = %preflight.config.peers[peer].name,
            "it is not heard of any more, and its endpoint is another peer's by now"
        );
        self.follow_endpoints(running, known.all()).await
    }

    /// Brings everything in line with the endpoints, which were `before`.
    async fn follow_endpoints(
        &mut self,
        running: &mut ActivePlane,
        before: &[Option<LearnedEndpoint>],
    ) -> anyhow::Result<()> {
        let ActivePlane { preflight, endpoints, plan, .. } = &mut *running;
        let peers = preflight.config.peers.len();
        let changed = |index: &usize| before.get(*index).copied().flatten() != endpoints.of(*index);
        let changed: Vec<usize> = (0..peers).filter(changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        plan.senders = Senders::new(&preflight.config, endpoints.all());
        for &index in &changed {
            let now = running.endpoints.of(index);
            if let Some(peer) = running.state.peers.get_mut(index) {
                peer.learned = now;
                peer.use_endpoint(now.map(|now| now.endpoint));
            }
            self.unsaved = true;
            let from = before.get(index).copied().flatten().map(|at| at.endpoint);
            if let Some(now) = now.filter(|now| from != Some(now.endpoint)) {
                let was = from.map_or_else(String::new, |from| format!(", was {from}"));
                let name = &running.preflight.config.peers[index].name;
                tracing::info!(peer = %name, "its endpoint is {}{was}", now.endpoint);
            }
            let at = ways::endpoints(&running.preflight, &running.endpoints, index);
            self.affected.reached_at(index, at.map(|endpoint| endpoint.ip()).collect());
        }
        let ActivePlane { preflight, endpoints, plan, .. } = &*running;
        let ways = ways::to(preflight, endpoints, self.host, Some(&plan.peers), &changed).await;
        self.affected.found(&ways);
        ways.to_peers.iter().try_for_each(|looked| self.follow_way(running, looked))
    }

    /// Writes down what was learned since the last time, for the next start.
    pub(in crate::daemon) fn save(&mut self, running: &mut ActivePlane) {
        // Until every way is looked at, it is not known what link and route allow.
        if !self.round {
            let ways = running.plan.peers.iter().zip(&self.widest);
            let ways = ways.map(|(peer, widest)| (plan::entry_endpoint(peer), peer.mtu, *widest));
            let narrow = self.paths.record(ways, Instant::now(), uptime());
            if path_mtu::differ(&narrow, &running.state.narrow_paths) {
                running.state.narrow_paths = narrow;
                self.unsaved = true;
            }
        }
        if !self.unsaved {
            return;
        }
        match self.directories.run_dir.store(&running.state) {
            Ok(()) => self.unsaved = false,
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Has the overlay interfaces of networks without an MTU of their own follow the underlay's.
    /// True: one has changed.
    async fn follow_mtu(&self, running: &mut ActivePlane) -> bool {
        let ActivePlane { preflight, state, .. } = running;
        let mut changed = false;
        for (network, made) in preflight.config.networks.iter().zip(&mut state.networks) {
            let fits = preflight.overlay_mtu(network);
            // Below that the kernel would take IPv6 off the interface, addresses and routes with it.
            let least = if network.has_ipv6() { MIN_IPV6_MTU } else { 0 };
            let (old, new) = (made.mtu, fits.max(least));
            if network.mtu.is_some() || new == old {
                continue;
            }
            let vni = network.vni.value;
            match self.host.set_overlay_mtu(&made.interface, new).await {
                Ok(()) => {
                    made.mtu = new;
                    changed = true;
                    tracing::info!(%vni, "MTU of {}: {new}, was {old}", made.interface);
                }
                Err(error) => tracing::warn!(%vni, "MTU of {} stays: {error}", made.interface),
            }
            if new > fits {
                tracing::warn!(
                    %vni,
                    "{fits} bytes would fit {}, and IPv6 needs {new}: longer packets are dropped",
                    preflight.underlay.name
                );
            }
        }
        changed
    }

    /// Probes have found what passes to a peer, or that it is not known any more. What they have proved
    /// counts more than a router's word.
    pub(in crate::daemon) fn found(
        &mut self,
        running: &mut ActivePlane,
        peer: usize,
        mtu: Option<u32>,
        proved: bool,
    ) -> anyhow::Result<()> {
        let (Some(found), Some(entry)) =
            (self.found.get_mut(peer), running.plan.peers.get_mut(peer))
        else {
            return Ok(());
        };
        *found = mtu;
        let endpoint = plan::entry_endpoint(entry);
        if proved {
            self.paths.forget(endpoint);
        }
        let widest = self.widest.get(peer).copied().unwrap_or(entry.mtu);
        let new = self.paths.limit(endpoint, widest).min(mtu.unwrap_or(u32::MAX));
        if new != entry.mtu {
            let name = &running.preflight.config.peers[peer].name;
            tracing::info!(peer = %name, "path MTU {new}, was {}: probes say so", entry.mtu);
            entry.mtu = new;
            running.plane.set_peer(peer as u32, entry)?;
        }
        Ok(())
    }

    /// A router says that a packet was too big for it. Returns whose path is narrower now.
    pub(in crate::daemon) fn too_big(
        &mut self,
        running: &mut ActivePlane,
        message: &IcmpMessage,
    ) -> anyhow::Result<Option<Narrowed>> {
        // Anybody can send these: what they are comes before what they are about.
        if !path_mtu::is_too_big(&message.bytes, message.from.is_ipv6()) {
            return Ok(None);
        }
        let ours = Ours::of(&running.plan);
        let Some(said) = ours.read(&message.bytes, message.from.is_ipv6()) else {
            tracing::debug!("{} says something of a packet that is not ours", message.from);
            return Ok(None);
        };
        let mut narrowed = None;
        let peers = running.plan.peers.iter_mut().zip(&running.preflight.config.peers);
        for (index, (entry, peer)) in peers.enumerate() {
            let known = entry.mtu;
            if plan::entry_endpoint(entry) != said.endpoint
                || !self.paths.lower(&said, known, Instant::now())
            {
                continue;
            }
            entry.mtu = said.mtu;
            running.plane.set_peer(index as u32, entry)?;
            tracing::info!(
                peer = %peer.name,
                "path MTU {}, was {known}: {} had to drop a packet",
                said.mtu,
                message.from
            );
            narrowed = Some(Narrowed { peer: index, was: known, mtu: said.mtu });
        }
        Ok(narrowed)
    }

    /// Forgets what routers said long ago; what it was about is to be looked at again.
    pub(in crate::daemon) fn forget(&mut self) {
        for endpoint in self.paths.expire(Instant::now()) {
            tracing::info!("the path to {endpoint} may be as wide as its route again");
            self.affected.within(endpoint.ip().into());
        }
    }
}
