//! The part of a start that changes the host: overlay interfaces, programs, routes. All or nothing.

use anyhow::Context as _;

use super::{
    Places,
    checks::{self, Findings},
    ways,
};
use crate::{
    config::RouteTable,
    dataplane::{Attachment, DataPlane, LoadOptions, TcHook, detach_deliver_filter},
    host::{Host, OverlaySpec, RouteChange},
    plan::{OverlayFacts, Plan, WayFacts},
    state::{self, State},
};

/// A data plane that carries traffic.
#[derive(Debug)]
pub struct Started {
    pub findings: Findings,
    pub plane: DataPlane,
    pub attachment: Attachment,
    pub state: State,
    pub(super) plan: Plan,
}

/// What a failed start must take back.
#[derive(Default)]
struct Made {
    overlays: Vec<String>,
    routes: Vec<(ipnet::IpNet, u32)>,
    pinned: bool,
    /// Interface of a `deliver` filter, and whether its clsact qdisc is ours too.
    filter: Option<(String, u32, bool)>,
}

/// Makes everything that `findings` ask for.
pub(super) async fn bring_up(
    places: &Places,
    host: &Host,
    findings: Findings,
    options: LoadOptions,
) -> anyhow::Result<Started> {
    let mut made = Made::default();
    match make(places, host, findings, options, &mut made).await {
        Ok(started) => Ok(started),
        Err(error) => {
            undo(places, host, made).await;
            Err(error)
        }
    }
}

async fn make(
    places: &Places,
    host: &Host,
    findings: Findings,
    options: LoadOptions,
    made: &mut Made,
) -> anyhow::Result<Started> {
    let mut state = planned_state(&findings);
    // Before the first change, so that `down` finds it all even if this process is killed half-way.
    places.run_dir.store(&merged(&state, findings.former.as_ref()))?;
    let overlays = make_overlays(host, &findings, &mut state, made).await?;
    let ways = ways_at_start(&findings, host).await;
    let plan = Plan::new(&findings.config, &findings.facts, &overlays, &ways, &mut rand::rng());

    let options = LoadOptions { slots: plan.slot_count(), ..options };
    let mut plane = DataPlane::load(options)?;
    plane.fill(&plan)?;
    places.pins.prepare()?;
    made.pinned = findings.former.is_none();
    let (attachment, tc) = attach(places, &findings, &mut plane, made)?;

    for (index, network) in findings.config.networks.iter().enumerate() {
        if network.route_table.value == RouteTable::Off {
            continue;
        }
        for member in &network.members {
            for prefix in &member.allowed_ips {
                let ifindex = state.networks[index].ifindex;
                let source = source_for(network, prefix.value);
                match host.add_route(prefix.value, ifindex, source).await? {
                    RouteChange::Added => made.routes.push((prefix.value, ifindex)),
                    RouteChange::AlreadyThere => {}
                }
                state.networks[index].routes.push(prefix.value);
            }
        }
    }
    remove_former(host, &findings, &state).await?;
    state.underlay.xdp = Some(state::Xdp {
        mode: attachment.mode,
        program_id: attachment.program_id,
        native_refused: attachment.native_refused.clone(),
    });
    state.underlay.tc = Some(tc);
    state.slots = plan.slots.clone();
    state.entries = entries(&plan, &plane);
    places.run_dir.store(&state)?;
    Ok(Started { findings, plane, attachment, state, plan })
}

/// A peer without a way is worth a warning, and no reason not to start.
async fn ways_at_start(findings: &Findings, host: &Host) -> Vec<Option<WayFacts>> {
    let reachable = vec![true; findings.config.peers.len()];
    let ways = ways::all(findings, host, &reachable).await;
    let named = findings.config.peers.iter().zip(ways).map(|(peer, way)| {
        way.map_err(|reason| tracing::warn!(peer = %peer.name, "not reachable: {reason}")).ok()
    });
    named.collect()
}

fn attach(
    places: &Places,
    findings: &Findings,
    plane: &mut DataPlane,
    made: &mut Made,
) -> anyhow::Result<(Attachment, state::Tc)> {
    let (config, pins) = (&findings.config, &places.pins);
    let vnis: Vec<u32> = config.networks.iter().map(|network| network.vni.value.get()).collect();
    plane.pin_maps(pins)?;
    // Receive works from the far end to the near one: a frame that is accepted can be delivered.
    let hook = checks::tc_hook(config);
    let clsact = plane.attach_deliver(&findings.underlay.name, hook, pins)?;
    let former_tc = findings.former.as_ref().and_then(|state| state.underlay.tc);
    let made_clsact = clsact.0 || former_tc.is_some_and(|tc| tc.made_clsact);
    if hook == TcHook::Netlink && findings.former.is_none() {
        made.filter = Some((findings.underlay.name.clone(), findings.facts.ifindex, made_clsact));
    }
    for (network, vni) in config.networks.iter().zip(&vnis) {
        plane.attach_encap(&network.interface.value, *vni, hook, pins)?;
    }
    plane.forget_encap_except(&vnis, pins)?;
    let former = findings.former.as_ref().and_then(|state| state.underlay.xdp.as_ref());
    let same_interface =
        findings.former.as_ref().is_some_and(|s| s.underlay.interface == findings.underlay.name);
    let inherited = former.filter(|_| same_interface).map(|xdp| xdp.mode);
    let modes = checks::xdp_modes(config);
    let attachment = plane.attach_decap(&findings.underlay.name, modes, inherited, pins)?;
    Ok((attachment, state::Tc { hook, made_clsact }))
}

async fn make_overlays(
    host: &Host,
    findings: &Findings,
    state: &mut State,
    made: &mut Made,
) -> anyhow::Result<Vec<OverlayFacts>> {
    let mut overlays = Vec::new();
    for (index, network) in findings.config.networks.iter().enumerate() {
        let vni = network.vni.value.get();
        let spec = OverlaySpec {
            name: network.interface.value.clone(),
            hidden_name: hidden_name(vni),
            vni,
            mac: None,
            mtu: findings.overlay_mtu(network),
            addresses: network.addresses.iter().map(|at| at.value).collect(),
            ipv6: speaks_ipv6(network),
        };
        let overlay = host.create_overlay(&spec).await?;
        if !overlay.adopted {
            made.overlays.push(spec.name);
        }
        state.networks[index].ifindex = overlay.ifindex;
        overlays.push(OverlayFacts { ifindex: overlay.ifindex, mac: overlay.mac });
    }
    Ok(overlays)
}

/// The hidden port's name: found again by anyone who knows the VNI.
pub(super) fn hidden_name(vni: u32) -> String {
    format!("vxport{vni}")
}

fn speaks_ipv6(network: &crate::config::Network) -> bool {
    let own = network.addresses.iter().map(|at| at.value);
    let theirs = network.members.iter().flat_map(|member| &member.allowed_ips).map(|at| at.value);
    own.chain(theirs).any(|prefix| prefix.addr().is_ipv6())
}

/// The source address that peers let in: our own in that network, of the prefix's family.
fn source_for(network: &crate::config::Network, prefix: ipnet::IpNet) -> Option<std::net::IpAddr> {
    let addresses = network.addresses.iter().map(|at| at.value.addr());
    addresses.into_iter().find(|address| address.is_ipv4() == prefix.addr().is_ipv4())
}

fn planned_state(findings: &Findings) -> State {
    let config = &findings.config;
    let members = config.networks.iter().enumerate().flat_map(|(network, of)| {
        of.members.iter().map(move |member| state::Member {
            peer: member.peer,
            network,
            allowed_ips: member.allowed_ips.iter().map(|at| at.value).collect(),
        })
    });
    State {
        node: config.node.name.clone(),
        underlay: state::Underlay {
            interface: findings.underlay.name.clone(),
            address: findings.facts.address.into(),
            xdp: None,
            tc: None,
        },
        peers: config
            .peers
            .iter()
            .map(|peer| state::Peer {
                name: peer.name.value.clone(),
                endpoint: peer.endpoint.value,
                private_address: peer.private_address.map(|at| at.value),
            })
            .collect(),
        networks: config
            .networks
            .iter()
            .map(|network| state::Network {
                vni: network.vni.value.get(),
                interface: network.interface.value.clone(),
                hidden: hidden_name(network.vni.value.get()),
                ifindex: 0,
                mtu: findings.overlay_mtu(network),
                addresses: network.addresses.iter().map(|at| at.value).collect(),
                routes: Vec::new(),
            })
            .collect(),
        members: members.collect(),
        slots: Vec::new(),
        entries: Vec::new(),
    }
}

/// The planned state and what a former run left, so that `down` removes both.
fn merged(planned: &State, former: Option<&State>) -> State {
    let mut state = planned.clone();
    let Some(former) = former else { return state };
    state.underlay.xdp = former.underlay.xdp.clone();
    state.underlay.tc = former.underlay.tc;
    for old in &former.networks {
        match state.networks.iter_mut().find(|new| new.interface == old.interface) {
            Some(new) => {
                new.ifindex = old.ifindex;
                new.routes = old.routes.clone();
            }
            None => state.networks.push(old.clone()),
        }
    }
    state
}

/// Takes away interfaces and routes of a former run that are asked for no more.
async fn remove_former(host: &Host, findings: &Findings, state: &State) -> anyhow::Result<()> {
    let Some(former) = &findings.former else { return Ok(()) };
    for old in &former.networks {
        match state.networks.iter().find(|new| new.interface == old.interface) {
            Some(new) => {
                for route in old.routes.iter().filter(|route| !new.routes.contains(route)) {
                    host.remove_route(*route, new.ifindex).await?;
                }
            }
            None => {
                host.delete_overlay(&old.interface).await.with_context(|| {
                    format!("the former network {} could not be removed", old.vni)
                })?;
            }
        }
    }
    Ok(())
}

fn entries(plan: &Plan, plane: &DataPlane) -> Vec<state::Entries> {
    let of = |map: &str, entries: usize| state::Entries {
        map: map.to_owned(),
        entries: entries as u64,
        capacity: plane.map_capacity(&map.to_uppercase()),
    };
    vec![
        of("sources", plan.sources.len()),
        of("routes", plan.routes.len()),
        of("networks", plan.networks.len()),
        of("peers", plan.peers.len()),
        of("members", plan.members.len()),
        of("tags", plan.tags.len()),
        of("counters", plan.slots.len()),
    ]
}

async fn undo(places: &Places, host: &Host, made: Made) {
    let mut problems = Vec::new();
    if made.pinned
        && let Err(error) = places.pins.remove()
    {
        problems.push(error.to_string());
    }
    if let Some((interface, ifindex, made_clsact)) = made.filter {
        detach_deliver_filter(&interface);
        if made_clsact && let Err(error) = host.remove_clsact(ifindex).await {
            problems.push(error.to_string());
        }
    }
    for (prefix, ifindex) in made.routes {
        if let Err(error) = host.remove_route(prefix, ifindex).await {
            problems.push(error.to_string());
        }
    }
    for name in made.overlays {
        if let Err(error) = host.delete_overlay(&name).await {
            problems.push(error.to_string());
        }
    }
    if problems.is_empty() {
        // Nothing of this start is left; a former run's state, if any, was merged and still holds.
        if !places.pins.exist() {
            let _gone = places.run_dir.clear();
        }
        return;
    }
    for problem in problems {
        tracing::error!("while undoing the failed start: {problem}; `vxlan down` tries again");
    }
}
