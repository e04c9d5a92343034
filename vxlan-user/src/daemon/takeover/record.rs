//! What goes into the state on disk: what a start means to make, together with what a former run left.

use crate::{
    config,
    daemon::preflight::{Preflight, attach_modes},
    dataplane::{DataPlane, TcHook},
    host::{Host, hidden_name},
    plan::{Endpoints, LearnedEndpoint, Plan},
    state::{self, State},
};

/// The record of what a start is about to make.
pub(in crate::daemon) async fn planned(
    preflight: &Preflight,
    endpoints: &Endpoints,
    host: &Host,
) -> anyhow::Result<State> {
    let config = &preflight.config;
    let former = preflight.former.as_ref().map(|state| &state.underlay);
    let former = former.filter(|former| former.interface == preflight.underlay.name);
    let hook = attach_modes::tc_hook(config);
    let made_before = former.and_then(|former| former.tc).is_some_and(|tc| tc.made_clsact);
    let makes_now = hook == TcHook::Netlink && !host.has_clsact(preflight.facts.ifindex).await?;
    let tc = state::Tc { hook, made_clsact: made_before || makes_now };
    let members = config.networks.iter().enumerate().flat_map(|(network, of)| {
        of.members.iter().map(move |member| state::Member {
            peer: member.peer,
            network,
            allowed_ips: member.allowed_ips.iter().map(|at| at.value).collect(),
        })
    });
    Ok(State {
        node: config.node.name.clone(),
        underlay: state::Underlay {
            interface: preflight.underlay.name.clone(),
            address: preflight.address,
            addresses: preflight.facts.addresses().collect(),
            // Attached as it was, until its hook is swapped.
            xdp: former.and_then(|former| former.xdp.clone()),
            tc: Some(tc),
            lost: None,
        },
        peers: config
            .peers
            .iter()
            .enumerate()
            .map(|(index, peer)| recorded(peer, endpoints.of(index)))
            .collect(),
        networks: config
            .networks
            .iter()
            .map(|network| state::Network {
                vni: network.vni.value.get(),
                interface: network.interface.value.clone(),
                hidden: hidden_name(network.vni.value.get()),
                ifindex: 0,
                mtu: preflight.overlay_mtu(network),
                addresses: network.addresses.iter().map(|at| at.value).collect(),
                routes: Vec::new(),
            })
            .collect(),
        members: members.collect(),
        narrow_paths: preflight
            .former
            .iter()
            .flat_map(|former| former.narrow_paths.clone())
            .collect(),
        generations: preflight
            .former
            .iter()
            .flat_map(|former| former.generations.clone())
            .collect(),
        entries: Vec::new(),
    })
}

fn recorded(peer: &config::Peer, learned: Option<LearnedEndpoint>) -> state::Peer {
    let endpoint = learned.map(|at| at.endpoint).or(peer.endpoint().map(|at| at.value));
    let mut recorded = state::Peer {
        name: peer.name.value.clone(),
        endpoint,
        private_address: None,
        endpoints: peer.endpoints.iter().map(|at| at.value).collect(),
        private_addresses: peer.private_addresses.iter().map(|at| at.value).collect(),
        learned,
    };
    recorded.use_endpoint(endpoint);
    recorded
}

/// What a former run left, and the interfaces planned besides: `show` goes on naming what is counted,
/// and `down` removes both.
pub(in crate::daemon) fn merged(planned: &State, former: Option<&State>) -> State {
    let Some(former) = former else { return planned.clone() };
    let mut state = former.clone();
    if former.underlay.interface == planned.underlay.interface {
        state.underlay.tc = planned.underlay.tc;
    }
    for new in &planned.networks {
        let known = |old: &state::Network| old.interface == new.interface && old.vni == new.vni;
        if !former.networks.iter().any(known) {
            state.networks.push(new.clone());
        }
    }
    state
}

/// Networks of a former run that are wanted no more, and in nobody's way: on record until they are gone.
pub(in crate::daemon) fn left_over(planned: &State, former: Option<&State>) -> Vec<state::Network> {
    let unrelated = |old: &&state::Network| {
        let related = |new: &state::Network| old.interface == new.interface || old.vni == new.vni;
        !planned.networks.iter().any(related)
    };
    former.into_iter().flat_map(|former| &former.networks).filter(unrelated).cloned().collect()
}

/// How full the maps are that the configuration fills; nothing changes that as long as it is at work.
pub(in crate::daemon) fn entries(plan: &Plan, plane: &DataPlane) -> Vec<state::Entries> {
    let of = |map: &str, entries: usize| state::Entries {
        map: map.to_owned(),
        entries: entries as u64,
        capacity: plane.map_capacity(&map.to_uppercase()),
    };
    // Of two elements for each peer one counts.
    let peers = state::Entries {
        capacity: plane.map_capacity("VERSIONS"),
        ..of("peers", plan.peers.len())
    };
    vec![
        of("sources", plan.senders.sources.len()),
        of("peer_by_address", plan.senders.peer_addresses.len()),
        of("probers", plan.probers.len()),
        of("routes", plan.routes.len()),
        of("networks", plan.networks.len()),
        peers,
        of("members", plan.members.len()),
        of("tags", plan.tags.len()),
        of("counters", plan.names.owners().count()),
    ]
}
