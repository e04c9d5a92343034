//! Makes the record on disk: what a takeover is about to make, together with what a previous run
//! left.

use ipnet::IpNet;

use crate::{
    config,
    daemon::{
        directories::Directories,
        overlay_specs::{routed_prefixes, routes_beyond_link},
        preflight::{Preflight, attach_modes},
    },
    dataplane::{DataPlane, TcHook},
    host::{Host, hidden_name, set_aside_name},
    plan::{self, Endpoints, LearnedEndpoint, Plan},
    state::{self, HostState},
};

/// Records what a takeover is about to make.
pub(in crate::daemon) async fn planned(
    directories: &Directories,
    preflight: &Preflight,
    endpoints: &Endpoints,
    host: &Host,
) -> anyhow::Result<HostState> {
    let config = &preflight.config;
    let recorded = preflight.previous.as_ref();
    let secret = recorded.map(|state| state.secret.clone()).filter(|secret| !secret.is_empty());
    let mac_before = |vni| {
        recorded?.networks.iter().find(|network| network.vni == vni).and_then(|network| network.mac)
    };
    let previous = preflight.previous.as_ref().map(|state| &state.underlay);
    let previous = previous.filter(|previous| previous.interface == preflight.underlay.name);
    let hook = attach_modes::tc_hook(config);
    let made_before = previous.and_then(|previous| previous.tc).is_some_and(|tc| tc.made_clsact);
    let makes_now = hook == TcHook::Netlink && !host.has_clsact(preflight.facts.ifindex).await?;
    let tc = state::TcRecord { hook, made_clsact: made_before || makes_now };
    let encap_before = recorded.map(HostState::encap_hooks).unwrap_or_default();
    let members = config.networks.iter().enumerate().flat_map(|(index, network)| {
        network.members.iter().map(move |member| state::MemberRecord {
            peer: member.peer,
            network: index,
            allowed_ips: member.allowed_ips.iter().map(|at| at.value).collect(),
        })
    });
    Ok(HostState {
        node: config.node.name.clone(),
        secret: secret.unwrap_or_else(|| directories.run_dir.host_secret(rand::random())),
        underlay: state::UnderlayRecord {
            interface: preflight.underlay.name.clone(),
            address: preflight.address,
            addresses: preflight.facts.addresses().collect(),
            home: preflight.facts.addresses().collect(),
            // Attached as before, until the program is replaced.
            xdp: previous.and_then(|previous| previous.xdp.clone()),
            tc: Some(tc),
            lost: None,
            hooks: state::HooksRecord {
                restored: previous.map_or(0, |previous| previous.hooks.restored),
                ..state::HooksRecord::default()
            },
        },
        peers: config
            .peers
            .iter()
            .enumerate()
            .map(|(index, peer)| peer_record(peer, endpoints.of(index)).into())
            .collect(),
        networks: config
            .networks
            .iter()
            .map(|network| state::NetworkRecord {
                vni: network.vni.value.get(),
                interface: network.interface.value.clone(),
                hidden: hidden_name(network.vni.value.get()),
                ifindex: 0,
                mac: mac_before(network.vni.value.get()),
                mtu: preflight.overlay_mtu(network),
                addresses: network.addresses.iter().map(|at| at.value).collect(),
                routes: routed_prefixes(network),
                blackholes: network.blackhole,
                proxy_arp: routes_beyond_link(network),
                tc: Some(attach_modes::encap_hook(
                    config,
                    encap_before.get(&network.vni.value.get()).copied(),
                )),
                lost: None,
            })
            .collect(),
        members: members.collect::<Vec<_>>().into(),
        narrow_paths: preflight
            .previous
            .iter()
            .flat_map(|previous| previous.narrow_paths.clone())
            .collect(),
        generations: preflight
            .previous
            .iter()
            .flat_map(|previous| previous.generations.clone())
            .collect(),
        entries: Vec::new(),
    })
}

fn peer_record(peer: &config::Peer, learned: Option<LearnedEndpoint>) -> state::PeerRecord {
    let endpoint = plan::known_endpoint(peer, learned.as_ref());
    let mut record = state::PeerRecord {
        name: peer.name.value.clone(),
        endpoint,
        private_address: None,
        endpoints: peer.endpoints.iter().map(|at| at.value).collect(),
        private_addresses: peer.private_addresses.addresses().collect(),
        learned,
    };
    record.use_endpoint(endpoint);
    record
}

/// Merges the record of the previous run with the networks that are planned: `show` can still name
/// what is counted, and `down` removes both.
pub(in crate::daemon) fn merged(planned: &HostState, previous: Option<&HostState>) -> HostState {
    let Some(previous) = previous else { return planned.clone() };
    let mut state = previous.clone();
    if previous.underlay.interface == planned.underlay.interface {
        state.underlay.tc = planned.underlay.tc;
    }
    for new in &planned.networks {
        let Some(old) = state.networks.iter_mut().find(|old| old.is_same(new)) else {
            state.networks.push(new.clone());
            continue;
        };
        add_missing(&mut old.addresses, &new.addresses);
        add_missing(&mut old.routes, &new.routes);
        old.blackholes |= new.blackholes;
        old.proxy_arp |= new.proxy_arp;
    }
    state
}

fn add_missing(to: &mut Vec<IpNet>, from: &[IpNet]) {
    for net in from {
        if !to.contains(net) {
            to.push(*net);
        }
    }
}

/// Lists the networks of a previous run that are not planned. They stay on record until they are
/// removed; one whose interface's name another network has by now, under the name that it has
/// instead.
pub(in crate::daemon) fn leftover_networks(
    planned: &HostState,
    previous: Option<&HostState>,
) -> Vec<state::NetworkRecord> {
    let has = |what: &dyn Fn(&state::NetworkRecord) -> bool| planned.networks.iter().any(what);
    let previous = previous.into_iter().flat_map(|previous| &previous.networks);
    let unplanned = previous.filter(|old| !has(&|new| new.vni == old.vni));
    let renamed = |old: &state::NetworkRecord| match has(&|new| new.interface == old.interface) {
        true => state::NetworkRecord { interface: set_aside_name(old.vni), ..old.clone() },
        false => old.clone(),
    };
    unplanned.map(renamed).collect()
}

/// Lists the entries and the capacity of the maps that the configuration fills. Both are constant
/// until the next takeover.
pub(in crate::daemon) fn map_usage(plan: &Plan, plane: &DataPlane) -> Vec<state::MapEntries> {
    let usage = |map: &str, entries: usize| state::MapEntries {
        map: map.to_owned(),
        entries: entries as u64,
        capacity: plane.map_capacity(&map.to_uppercase()),
    };
    // `PEERS` has two copies of each peer; the capacity in peers is that of `VERSIONS`.
    let peers = state::MapEntries {
        capacity: plane.map_capacity("VERSIONS"),
        ..usage("peers", plan.peers.len())
    };
    vec![
        usage("sources", plan.senders.sources.len()),
        usage("peer_by_address", plan.senders.peer_addresses.len()),
        usage("probers", plan.probers.len()),
        usage("routes", plan.routes.len()),
        usage("networks", plan.networks.len()),
        peers,
        usage("members", plan.members.len()),
        usage("tags", plan.tags.len()),
        usage("counters", plan.names.owners().count()),
    ]
}
