//! What overlay interfaces were like before a start or reload, and putting that back where it
//! fails. A pair whose name another network is to have is not removed but renamed: it keeps its
//! index, which the maps at work know, until the other one is at work.

use std::collections::HashMap;

use ipnet::IpNet;

use super::{
    connection::Host,
    error::HostError,
    host_view::HostView,
    link::Link,
    overlay_spec::{Made, RouteSpec, set_aside_name},
    overlay_step::LinkChange,
};

/// Pairs, with their addresses and our routes through them, at one moment.
#[derive(Debug, Clone, Default)]
pub struct OverlaySnapshot {
    pairs: Vec<Pair>,
    blackholes: Vec<IpNet>,
}

#[derive(Debug, Clone)]
struct Pair {
    vni: u32,
    overlay: End,
    hidden: Option<End>,
    addresses: Vec<IpNet>,
    routes: Vec<RouteSpec>,
}

#[derive(Debug, Clone)]
struct End {
    ifindex: u32,
    name: String,
    mtu: u32,
    up: bool,
}

impl End {
    fn new(link: &Link) -> Self {
        let Link { ifindex, mtu, up, .. } = *link;
        Self { ifindex, name: link.name.clone(), mtu, up }
    }
}

impl HostView {
    /// Returns what the pairs of these networks are like.
    pub fn save_overlays(&self, made: &[(u32, Made)]) -> OverlaySnapshot {
        let mut routes: HashMap<u32, Vec<RouteSpec>> = HashMap::new();
        for route in self.routes().all().filter(|route| route.is_ours()) {
            if let Some(ifindex) = route.ifindex {
                let (source, mtu) = (route.preferred_source, route.mtu);
                let spec = RouteSpec { prefix: route.prefix, source, mtu };
                routes.entry(ifindex).or_default().push(spec);
            }
        }
        let saved = |(vni, made): &(u32, Made)| saved(self, *vni, made, &mut routes);
        let pairs = made.iter().filter_map(saved).collect();
        let blackholes = self.routes().all().filter(|route| route.is_our_blackhole());
        OverlaySnapshot { pairs, blackholes: blackholes.map(|route| route.prefix).collect() }
    }
}

impl Host {
    /// Gives the overlay interfaces of these networks other names. Returns how many.
    pub async fn set_aside(
        &self,
        snapshot: &OverlaySnapshot,
        vnis: &[u32],
    ) -> Result<usize, HostError> {
        let mut renamed = 0;
        for pair in snapshot.pairs.iter().filter(|pair| vnis.contains(&pair.vni)) {
            let name = set_aside_name(pair.vni);
            if pair.overlay.name != name {
                let change = LinkChange::Name(name);
                self.change_link(pair.overlay.ifindex, &pair.overlay.name, &change).await?;
                renamed += 1;
            }
        }
        Ok(renamed)
    }

    /// Puts back what differs, of the pairs that are still there. Tries all, and returns what was
    /// refused.
    pub async fn restore_overlays(&self, snapshot: &OverlaySnapshot) -> Vec<HostError> {
        let mut refused = Vec::new();
        // A name is free only once all others have given theirs up.
        for aside in [true, false] {
            match self.view_links().await {
                Ok(view) => self.restore_names(snapshot, &view, aside, &mut refused).await,
                Err(error) => refused.push(error),
            }
        }
        match self.view(false).await {
            Ok(view) => self.restore_rest(snapshot, &view, &mut refused).await,
            Err(error) => refused.push(error),
        }
        refused
    }

    async fn restore_names(
        &self,
        snapshot: &OverlaySnapshot,
        view: &HostView,
        aside: bool,
        refused: &mut Vec<HostError>,
    ) {
        for pair in &snapshot.pairs {
            let Some(link) = view.link(pair.overlay.ifindex) else { continue };
            if link.name != pair.overlay.name {
                let own = pair.overlay.name.clone();
                let name = if aside { set_aside_name(pair.vni) } else { own };
                if link.name != name {
                    let change = LinkChange::Name(name);
                    refused.extend(self.change_link(link.ifindex, &link.name, &change).await.err());
                }
            }
        }
    }

    async fn restore_rest(
        &self,
        snapshot: &OverlaySnapshot,
        view: &HostView,
        refused: &mut Vec<HostError>,
    ) {
        for pair in &snapshot.pairs {
            for end in [Some(&pair.overlay), pair.hidden.as_ref()].into_iter().flatten() {
                let Some(link) = view.link(end.ifindex) else { continue };
                if link.mtu != end.mtu {
                    let change = LinkChange::Mtu(end.mtu);
                    refused.extend(self.change_link(end.ifindex, &end.name, &change).await.err());
                }
                if end.up && !link.up {
                    refused.extend(
                        self.change_link(end.ifindex, &end.name, &LinkChange::Up).await.err(),
                    );
                }
            }
            if view.link(pair.overlay.ifindex).is_some() {
                self.restore_addresses(pair, view, refused).await;
            }
        }
        for prefix in &snapshot.blackholes {
            if !view.routes().of(*prefix).any(|route| route.is_our_blackhole()) {
                refused.extend(self.add_blackhole_route(*prefix).await.err());
            }
        }
    }

    /// Restores addresses, and our routes, which may have gone with them.
    async fn restore_addresses(&self, pair: &Pair, view: &HostView, refused: &mut Vec<HostError>) {
        let End { ifindex, name, .. } = &pair.overlay;
        let present: Vec<IpNet> = view.addresses(*ifindex).iter().map(|at| at.address).collect();
        for address in present.iter().filter(|address| !pair.addresses.contains(address)) {
            refused.extend(self.remove_address(*ifindex, name, *address).await.err());
        }
        let missing = pair.addresses.iter().filter(|address| !present.contains(address));
        let mut changed = present.len() != pair.addresses.len();
        for address in missing {
            changed = true;
            refused.extend(self.add_address(*ifindex, name, *address).await.err());
        }
        for route in &pair.routes {
            let mut of = view.routes().of(route.prefix);
            if changed || !of.any(|present| present.is_ours() && present.leads_to(*ifindex)) {
                let added = self.add_overlay_route(route, (*ifindex, name), true).await;
                refused.extend(added.err());
            }
        }
    }
}

fn saved(
    view: &HostView,
    vni: u32,
    made: &Made,
    routes: &mut HashMap<u32, Vec<RouteSpec>>,
) -> Option<Pair> {
    let pair = view.pair(vni, made);
    let overlay = End::new(pair.overlay?);
    Some(Pair {
        vni,
        hidden: pair.hidden.map(End::new),
        addresses: view.addresses(overlay.ifindex).iter().map(|at| at.address).collect(),
        routes: routes.remove(&overlay.ifindex).unwrap_or_default(),
        overlay,
    })
}
