//! The part of a start that changes the host: overlay interfaces, programs, routes. All or nothing.

use std::fs::File;

use anyhow::Context as _;

use super::{
    Places,
    checks::{self, Findings},
    keys, record, ways,
};
use crate::{
    config::{self, RouteTable},
    dataplane::{Attachment, DataPlane, Hooks, LoadOptions, TcHook, detach_deliver_filter},
    host::{Host, OverlaySpec, RouteChange},
    plan::{Endpoints, Learned, OverlayFacts, Plan, WayFacts},
    state::State,
};

/// A data plane that carries traffic.
#[derive(Debug)]
pub struct Started {
    pub findings: Findings,
    pub plane: DataPlane,
    pub attachment: Attachment,
    pub state: State,
    pub(super) plan: Plan,
    /// Where peers are whose endpoint is learned.
    pub(super) endpoints: Endpoints,
    /// The pins are this process's as long as it is open.
    _pins_lock: Option<File>,
}

impl Started {
    /// Is it worth asking for the next hops again?
    pub(super) fn may_improve(&self) -> bool {
        ways::may_improve(&self.findings.config, &self.endpoints, &self.plan.peers)
    }
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
    let former = findings.former.clone();
    match make(places, host, findings, options, &mut made).await {
        Ok(started) => Ok(started),
        Err(error) => {
            undo(places, host, former, made).await;
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
    // The verifier's word comes before the first change.
    let options = LoadOptions {
        slots: Plan::slots_for(&findings.config),
        stations: Plan::stations_for(&findings.config),
        neighbours: Plan::neighbours_for(&findings.config),
        ..options
    };
    let mut plane = DataPlane::load(options)?;
    let endpoints = Endpoints::new(&findings.config, |name| former_endpoint(&findings, name));
    let mut state = record::planned(&findings, &endpoints, host).await?;
    // Again before the change itself, so that `down` finds all of it even if this process is killed
    // half-way.
    places.run_dir.store(&record::merged(&state, findings.former.as_ref()))?;
    places.pins.prepare()?;
    made.pinned = findings.former.is_none();
    let pins_lock = places.pins.lock()?;
    remove_obsolete(host, &findings).await?;
    let overlays = make_overlays(host, &findings, &mut state, made).await?;
    make_routes(host, &findings, &mut state, made).await?;
    let ways = ways_at_start(&findings, &endpoints, host).await;
    let mut plan = Plan::new(
        &findings.config,
        &findings.facts,
        &overlays,
        &ways,
        endpoints.all(),
        &mut rand::rng(),
    );
    plan.probers = keys::probers(&findings.keys);
    keep_secret(&mut plan, &findings, places);
    plane.fill(&plan)?;
    // Last: until here the programs of a former run, if any, are untouched and at work.
    let attachment = attach(places, &findings, &mut plane, &state, made)?;
    plane.pin_maps(&places.pins)?;
    leave_clsact(host, &findings).await?;
    state.underlay.xdp = Some(attachment.clone());
    state.slots = plan.slots.clone();
    state.entries = record::entries(&plan, &plane);
    places.run_dir.store(&state)?;
    Ok(Started { findings, plane, attachment, state, plan, endpoints, _pins_lock: pins_lock })
}

/// Frames that the former `decap` tagged, while its successor is not attached yet, shall still be
/// delivered: with the same slots the same secret serves both.
fn keep_secret(plan: &mut Plan, findings: &Findings, places: &Places) {
    let same = findings.former.as_ref().is_some_and(|former| former.slots == plan.slots);
    if let Some(former) = places.pins.settings().filter(|_| same) {
        plan.settings.secret = former.secret;
    }
}

/// The clsact qdisc that a former run made on another underlay interface.
async fn leave_clsact(host: &Host, findings: &Findings) -> anyhow::Result<()> {
    let Some(former) = findings.former.as_ref().map(|state| &state.underlay) else { return Ok(()) };
    let made = former.tc.is_some_and(|tc| tc.made_clsact);
    if made
        && former.interface != findings.underlay.name
        && let Ok(link) = host.underlay(&former.interface).await
    {
        host.remove_clsact(link.ifindex).await?;
    }
    Ok(())
}

async fn make_routes(
    host: &Host,
    findings: &Findings,
    state: &mut State,
    made: &mut Made,
) -> anyhow::Result<()> {
    for (network, state) in findings.config.networks.iter().zip(&mut state.networks) {
        if network.route_table.value == RouteTable::Off {
            continue;
        }
        for prefix in network.members.iter().flat_map(|member| &member.allowed_ips) {
            let source = source_for(network, prefix.value);
            match host.add_route(prefix.value, state.ifindex, source).await? {
                RouteChange::Added => made.routes.push((prefix.value, state.ifindex)),
                RouteChange::AlreadyThere => {}
            }
            state.routes.push(prefix.value);
        }
    }
    Ok(())
}

/// Where a former run knew a peer to be.
fn former_endpoint(findings: &Findings, name: &str) -> Option<Learned> {
    let peers = findings.former.iter().flat_map(|former| &former.peers);
    peers.into_iter().find(|peer| peer.name == name)?.learned
}

/// A peer without a way is worth a warning, and no reason not to start.
async fn ways_at_start(
    findings: &Findings,
    endpoints: &Endpoints,
    host: &Host,
) -> Vec<Option<WayFacts>> {
    let ways = ways::all(findings, endpoints, host, None).await;
    let named = findings.config.peers.iter().zip(ways.to_peers).map(|(peer, way)| {
        way.map_err(|reason| tracing::warn!(peer = %peer.name, "not reachable: {reason}")).ok()
    });
    named.collect()
}

fn attach(
    places: &Places,
    findings: &Findings,
    plane: &mut DataPlane,
    state: &State,
    made: &mut Made,
) -> anyhow::Result<Attachment> {
    let (config, pins) = (&findings.config, &places.pins);
    let underlay = findings.underlay.name.as_str();
    let former = findings.former.as_ref().map(|state| &state.underlay);
    let former_hook = former.and_then(|former| former.tc).map(|tc| tc.hook);
    if let Some(former) = former.filter(|former| former.interface != underlay) {
        plane.leave(&former.interface, former_hook, pins)?;
    }
    let former = former.filter(|former| former.interface == underlay);
    // From the far end to the near one: a frame that is accepted can be delivered.
    let hooks = Hooks { now: checks::tc_hook(config), former: former_hook };
    let on_underlay = Hooks { former: former.and(former_hook), ..hooks };
    made.filter = state
        .underlay
        .tc
        .filter(|tc| tc.hook == TcHook::Netlink && findings.former.is_none())
        .map(|tc| (underlay.to_owned(), findings.facts.ifindex, tc.made_clsact));
    plane.attach_deliver(underlay, on_underlay, pins)?;
    let vnis: Vec<u32> = config.networks.iter().map(|network| network.vni.value.get()).collect();
    for (network, vni) in config.networks.iter().zip(&vnis) {
        plane.attach_encap(&network.interface.value, *vni, hooks, pins)?;
    }
    plane.forget_encap_except(&vnis, pins)?;
    let former_xdp = former.and_then(|former| former.xdp.as_ref());
    Ok(plane.attach_decap(underlay, checks::xdp_modes(config), former_xdp, pins)?)
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
            proxy_arp: speaks_for_others(network),
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

/// Are there hosts behind this one that peers ask for by ARP, as their route says that they are on the
/// link?
fn speaks_for_others(network: &config::Network) -> bool {
    let on_link = |prefix: &ipnet::IpNet| {
        network.addresses.iter().any(|own| own.value.trunc().contains(prefix))
    };
    let mut ipv4 = network.local_ips.iter().filter(|prefix| prefix.addr().is_ipv4());
    !network.addresses.is_empty() && ipv4.any(|prefix| !on_link(prefix))
}

pub(super) fn speaks_ipv6(network: &config::Network) -> bool {
    let own = network.addresses.iter().map(|at| at.value);
    let theirs = network.members.iter().flat_map(|member| &member.allowed_ips).map(|at| at.value);
    own.chain(theirs).any(|prefix| prefix.addr().is_ipv6())
}

/// The source address that peers let in: our own in that network, of the prefix's family.
fn source_for(network: &config::Network, prefix: ipnet::IpNet) -> Option<std::net::IpAddr> {
    let addresses = network.addresses.iter().map(|at| at.value.addr());
    addresses.into_iter().find(|address| address.is_ipv4() == prefix.addr().is_ipv4())
}

/// Takes away interfaces and routes of a former run that are asked for no more, and would be in the
/// way of new ones of the same name or prefix.
async fn remove_obsolete(host: &Host, findings: &Findings) -> anyhow::Result<()> {
    let Some(former) = &findings.former else { return Ok(()) };
    for old in &former.networks {
        let same = |new: &&config::Network| {
            new.interface.value == old.interface && new.vni.value.get() == old.vni
        };
        let Some(new) = findings.config.networks.iter().find(same) else {
            let removed = host.delete_overlay(&old.interface).await;
            removed.with_context(|| format!("the former network {} is in the way", old.vni))?;
            continue;
        };
        let routed = new.route_table.value == RouteTable::Main;
        for route in &old.routes {
            let mut wanted = new.members.iter().flat_map(|member| &member.allowed_ips);
            if !routed || !wanted.any(|at| at.value == *route) {
                host.remove_route(*route, old.ifindex).await?;
            }
        }
    }
    Ok(())
}

async fn undo(places: &Places, host: &Host, former: Option<State>, made: Made) {
    let mut problems = Vec::new();
    let mut note = |result: Result<(), String>| problems.extend(result.err());
    if made.pinned {
        note(places.pins.remove().map_err(|error| error.to_string()));
    }
    if let Some((interface, ifindex, made_clsact)) = made.filter {
        detach_deliver_filter(&interface);
        if made_clsact {
            note(host.remove_clsact(ifindex).await.map(drop).map_err(|error| error.to_string()));
        }
    }
    for (prefix, ifindex) in made.routes {
        let removed = host.remove_route(prefix, ifindex).await;
        note(removed.map(drop).map_err(|error| error.to_string()));
    }
    for name in made.overlays {
        note(host.delete_overlay(&name).await.map(drop).map_err(|error| error.to_string()));
    }
    if problems.is_empty() {
        let restored = match &former {
            Some(former) => places.run_dir.store(former),
            None => places.run_dir.clear(),
        };
        problems.extend(restored.err().map(|error| error.to_string()));
    }
    for problem in problems {
        tracing::error!("while undoing the failed start: {problem}; `vxlan down` tries again");
    }
}
