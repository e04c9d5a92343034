//! What differs between an overlay interface as it shall be and the host as it is. Pure: reads and
//! changes nothing.
//!
//! What others have put on the interface stays: addresses and settings that are neither wanted nor
//! on record as made.

use std::collections::HashSet;

use ipnet::IpNet;

use super::{
    address::is_link_local,
    error::HostError,
    hidden_port::BLACKHOLE,
    host_view::{HostView, PairView},
    link::Link,
    main_table::default_metric,
    overlay_owner::{End, foreign, marked},
    overlay_spec::{OverlaySpec, RouteSpec},
    overlay_step::{LinkChange, Step},
    route::Route,
};

/// What must change, and what stands in the way.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// In the order in which they are to be made. After some the host must be looked at again,
    /// since they change more than they name.
    pub(super) steps: Vec<Step>,
    /// What is somebody else's, so that a part of the spec cannot be had.
    pub(super) conflicts: Vec<HostError>,
    /// Somebody else's interface has the name of an end of a pair that is there all the same.
    pub(super) name_taken: Option<HostError>,
}

/// Compares a spec with the host.
pub(super) fn difference(spec: &OverlaySpec, view: &HostView) -> Difference {
    let mut difference = Difference::default();
    let pair = view.pair(spec.vni, &spec.made);
    for name in [&spec.name, &spec.hidden_name] {
        if let Some(link) = view.named(name)
            && !is_end_of(pair, link)
        {
            match pair.is_whole() {
                true => difference.name_taken = Some(foreign(link)),
                false => difference.conflicts.push(foreign(link)),
            }
        }
    }
    if !difference.conflicts.is_empty() {
        return difference;
    }
    let (Some(overlay), Some(hidden), true) = (pair.overlay, pair.hidden, pair.is_whole()) else {
        let remains = [pair.overlay, pair.hidden].into_iter().flatten();
        let delete = |link: &Link| Step::Delete { ifindex: link.ifindex, name: link.name.clone() };
        difference.steps.extend(remains.map(delete));
        difference.steps.push(Step::Make);
        return difference;
    };
    let steps = &mut difference.steps;
    links(spec, overlay, hidden, view, steps);
    addresses(spec, overlay, view, steps);
    routes(spec, overlay, view, &mut difference);
    difference
}

fn is_end_of(pair: PairView<'_>, link: &Link) -> bool {
    [pair.overlay, pair.hidden].into_iter().flatten().any(|end| end.ifindex == link.ifindex)
}

/// Compares both ends, less addresses.
fn links(
    spec: &OverlaySpec,
    overlay: &Link,
    hidden: &Link,
    view: &HostView,
    steps: &mut Vec<Step>,
) {
    let step =
        |link: &Link, change| Step::Link { ifindex: link.ifindex, name: link.name.clone(), change };
    for (link, name, end) in
        [(overlay, &spec.name, End::Overlay), (hidden, &spec.hidden_name, End::Hidden)]
    {
        if link.name != *name && view.named(name).is_none() {
            steps.push(step(link, LinkChange::Name(name.clone())));
        }
        // Who has put the interface into another group may: the other end has our mark.
        let unmarked = marked(link) != Some((end, spec.vni));
        if unmarked && (link.group == 0 || end == End::Hidden) {
            steps.push(step(link, LinkChange::Group(end.group(spec.vni))));
        }
        if link.alias.is_none() {
            steps.push(step(link, LinkChange::Alias(end.alias(spec.vni))));
        }
    }
    if let Some(mac) = spec.made.mac.filter(|mac| overlay.mac != Some(*mac)) {
        steps.push(step(overlay, LinkChange::Mac(mac)));
    }
    // An end that is to send less does so before the other one takes less.
    let shrinks = spec.mtu < overlay.mtu;
    let ends = if shrinks { [overlay, hidden] } else { [hidden, overlay] };
    for link in ends.into_iter().filter(|link| link.mtu != spec.mtu) {
        steps.push(step(link, LinkChange::Mtu(spec.mtu)));
    }
    let proxy_arp = match (spec.proxy_arp, spec.made.proxy_arp) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    if !overlay.accept_local || proxy_arp.is_some_and(|wanted| overlay.proxy_arp != wanted) {
        steps.push(step(overlay, LinkChange::Ipv4 { proxy_arp }));
    }
    if spec.proxy_arp && view.proxy_delay(overlay.ifindex).is_some_and(|delay| delay != 0) {
        steps.push(step(overlay, LinkChange::ReplyAtOnce));
    }
    if spec.ipv6 && overlay.ipv6_disabled {
        steps.push(step(overlay, LinkChange::EnableIpv6));
    }
    if overlay.generates_ipv6.is_some_and(|generates| generates != spec.ipv6) {
        if spec.ipv6 && overlay.up {
            // The kernel makes a link-local address only when an interface comes up.
            steps.push(step(overlay, LinkChange::Down));
        }
        steps.push(step(overlay, LinkChange::GenerateIpv6(spec.ipv6)));
    }
    if hidden.generates_ipv6 == Some(true) {
        steps.push(step(hidden, LinkChange::GenerateIpv6(false)));
    }
    // While the interface is down this takes no time of waiting for CPUs.
    if hidden.qdisc.as_deref() != Some(BLACKHOLE) {
        steps.push(step(hidden, LinkChange::BlockTransmit));
    }
    let goes_down =
        steps.iter().any(|step| matches!(step, Step::Link { change: LinkChange::Down, .. }));
    if spec.clsact && !overlay.up {
        steps.push(step(overlay, LinkChange::AddClsact));
    }
    for link in [hidden, overlay] {
        if !link.up || goes_down && link.ifindex == overlay.ifindex {
            steps.push(step(link, LinkChange::Up));
        }
    }
}

/// Compares the addresses, each family by itself.
fn addresses(spec: &OverlaySpec, overlay: &Link, view: &HostView, steps: &mut Vec<Step>) {
    let ifindex = overlay.ifindex;
    let present = view.addresses(ifindex);
    for v4 in [true, false] {
        let of_family = |net: &&IpNet| net.addr().is_ipv4() == v4;
        let wanted: Vec<IpNet> = spec.addresses.iter().filter(of_family).copied().collect();
        let present: Vec<IpNet> =
            present.iter().map(|at| at.address).filter(|net| net.addr().is_ipv4() == v4).collect();
        let kept: Vec<IpNet> = present.iter().filter(|net| wanted.contains(net)).copied().collect();
        // The first IPv4 address is the one that the kernel sends from, so order counts; it does
        // not keep IPv6 ones in the order in which they were given. An address of somebody else of
        // the same prefix may be the primary one.
        let foreign = |net: &&IpNet| !wanted.contains(net) && !spec.made.addresses.contains(net);
        let shared = present
            .iter()
            .filter(foreign)
            .any(|theirs| wanted.iter().any(|ours| ours.trunc() == theirs.trunc()));
        let in_order = !v4 || shared || kernel_order(&wanted).starts_with(&kept);
        let generates = overlay.generates_ipv6 == Some(true);
        let generated = |net: &IpNet| !spec.ipv6 && generates && is_link_local(net);
        let stale = |net: &IpNet| match wanted.contains(net) {
            true => !in_order,
            false => spec.made.addresses.contains(net) || generated(net),
        };
        let (removed, left): (Vec<IpNet>, Vec<IpNet>) = present.iter().partition(|net| stale(net));
        let missing = wanted.iter().filter(|net| !left.contains(net));
        let remove = |address: &IpNet| Step::RemoveAddress { ifindex, address: *address };
        let add = |address: &IpNet| Step::AddAddress { ifindex, address: *address };
        steps.extend(removed.iter().map(remove));
        steps.extend(missing.map(add));
        // With a primary address the kernel removes its secondary ones, whosever they are.
        let secondary = left
            .iter()
            .filter(|net| v4 && removed.iter().any(|primary| primary.trunc() == net.trunc()));
        steps.extend(secondary.map(add));
    }
}

/// Returns addresses as the kernel lists them: the first of each prefix, which is primary, before
/// all secondary ones.
fn kernel_order(added: &[IpNet]) -> Vec<IpNet> {
    let mut prefixes = HashSet::new();
    let (mut primary, secondary): (Vec<IpNet>, Vec<IpNet>) =
        added.iter().partition(|net| prefixes.insert(net.trunc()));
    primary.extend(secondary);
    primary
}

/// Compares the routes, and the blackholes beside them.
fn routes(spec: &OverlaySpec, overlay: &Link, view: &HostView, difference: &mut Difference) {
    let ifindex = overlay.ifindex;
    for route in &spec.routes {
        let route = RouteSpec { prefix: route.prefix.trunc(), ..*route };
        let table = view.routes();
        let mut there = false;
        let mut replaces = false;
        let mut barred = None;
        for present in table.before_ours(route.prefix) {
            if present.leads_to(ifindex) {
                let as_wanted = is_as_wanted(present, &route, spec.any_route_mtu);
                there |= as_wanted;
                replaces |= !as_wanted;
            } else if spec.made.routes.contains(&route.prefix)
                && present.metric == default_metric(route.prefix)
            {
                // It has taken the place of ours.
                replaces = true;
            } else {
                barred = Some(present);
            }
        }
        // Ours is there, and another one comes before it.
        let first = table.before_ours(route.prefix).min_by_key(|present| present.metric);
        if there {
            barred = barred.or(first.filter(|first| !first.leads_to(ifindex)));
        }
        if let Some(present) = barred {
            difference.conflicts.push(view.foreign_route(present));
        } else if !there {
            difference.steps.push(Step::AddRoute { ifindex, route, replaces });
        }
        let mut all = table.of(route.prefix);
        if spec.blackholes && !all.any(Route::is_our_blackhole) {
            difference.steps.push(Step::AddBlackhole(route.prefix));
        }
    }
}

/// Returns whether a route through the interface needs no change. One that came with the
/// interface's own address is ours only once a narrow path has made it so.
fn is_as_wanted(present: &Route, wanted: &RouteSpec, any_mtu: bool) -> bool {
    let mtu_fits = any_mtu || present.mtu == wanted.mtu;
    match present.is_ours() {
        true => present.preferred_source == wanted.source && mtu_fits,
        false => wanted.mtu.is_none() || mtu_fits,
    }
}

#[cfg(test)]
mod tests;
