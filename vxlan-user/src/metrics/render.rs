//! Renders a snapshot as text: decides which value is a sample of which family. The families of
//! peers and of the paths to them are in `peers`.

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use prometheus::Registry;
use vxlan_common::counters::NatField;

use super::{
    families::*,
    peers,
    process::process_metrics,
    rtt_histogram::RttHistogram,
    snapshot::Snapshot,
    text::{Page, Samples, encode},
};

/// Returns the metrics page of a snapshot.
pub fn render(snapshot: &Snapshot) -> prometheus::Result<String> {
    let mut page = Page::default();
    info(&mut page, snapshot);
    traffic(&mut page, snapshot);
    peers::render(&mut page, snapshot);
    drops(&mut page, snapshot);
    maps(&mut page, snapshot);
    if let Some(lost) = snapshot.lost_lines {
        let mut lines = Samples::new(&LOG_LINES_DROPPED);
        lines.add(&[], lost);
        page.add(lines);
    }
    if let Some(longest) = snapshot.longest_turn {
        let mut turn = Samples::new(&LONGEST_TURN);
        turn.add(&[], longest.as_secs_f64());
        page.add(turn);
    }
    if let Some(times) = &snapshot.round_trips {
        page.add_text(round_trips(times)?);
    }
    page.add_text(process_metrics()?);
    Ok(page.finish())
}

fn round_trips(times: &RttHistogram) -> prometheus::Result<String> {
    let registry = Registry::new();
    registry.register(Box::new(times.collector()))?;
    encode(&registry)
}

fn info(page: &mut Page, snapshot: &Snapshot) {
    let mut build = Samples::new(&BUILD_INFO);
    build.add(&[env!("CARGO_PKG_VERSION"), env!("VXLAN_COMMIT")], 1);
    page.add(build);
    let mut reload = Samples::new(&RELOAD);
    let mut success = Samples::new(&RELOAD_SUCCESS);
    if let Some(last) = snapshot.reload {
        let at = last.success_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        reload.add(&[], u8::from(last.successful));
        success.add(&[], at.as_secs_f64());
    }
    page.add(reload);
    page.add(success);
    let underlay = &snapshot.state.underlay;
    let mut up = Samples::new(&UNDERLAY_UP);
    up.add(&[&underlay.interface], u64::from(underlay.lost.is_none()));
    page.add(up);
    let mut hooks = Samples::new(&HOOKS_UP);
    hooks.add(&[], u64::from(underlay.hooks.faults.is_empty()));
    page.add(hooks);
    let mut restored = Samples::new(&HOOKS_RESTORED);
    restored.add(&[], underlay.hooks.restored);
    page.add(restored);
    let mut networks = Samples::new(&NETWORK_UP);
    for network in &snapshot.state.networks {
        networks.add(&[&network.vni.to_string()], u64::from(network.lost.is_none()));
    }
    page.add(networks);
    let mut attached = Samples::new(&XDP_INFO);
    if let Some(xdp) = &underlay.xdp {
        let id = xdp.program_id.to_string();
        attached.add(&[&underlay.interface, xdp.mode.label(), &id, &xdp.reason()], 1);
    }
    page.add(attached);
}

fn traffic(page: &mut Page, snapshot: &Snapshot) {
    let mut packets = Samples::new(&PACKETS);
    let mut bytes = Samples::new(&BYTES);
    let mut accepted = Samples::new(&ACCEPTED);
    let mut replies = Samples::new(&NEIGHBOUR_REPLIES);
    let mut too_big = Samples::new(&TOO_BIG_SENT);
    // By peer, summed over its networks.
    let mut rewritten: BTreeMap<&str, [u64; NatField::ALL.len()]> = BTreeMap::new();
    for member in &snapshot.traffic {
        let (vni, c) = (member.vni.to_string(), &member.counters);
        for (direction, n, size) in
            [("rx", c.rx_packets, c.rx_bytes), ("tx", c.tx_packets, c.tx_bytes)]
        {
            let labels = [member.peer.as_str(), &vni, direction];
            packets.add(&labels, n);
            bytes.add(&labels, size);
        }
        let sums = rewritten.entry(&member.peer).or_default();
        for (sum, field) in sums.iter_mut().zip(NatField::ALL) {
            *sum += c.nat[field as usize];
        }
        let labels = [member.peer.as_str(), &vni];
        accepted.add(&labels, c.accepted);
        replies.add(&labels, c.neighbour_replies);
        too_big.add(&labels, c.too_big_sent);
    }
    let mut nat = Samples::new(&NAT_REWRITTEN);
    for (peer, sums) in rewritten {
        for (sum, field) in sums.iter().zip(NatField::ALL) {
            nat.add(&[peer, field.label()], sum);
        }
    }
    [accepted, packets, bytes, nat, replies, too_big]
        .into_iter()
        .for_each(|family| page.add(family));
}

fn drops(page: &mut Page, snapshot: &Snapshot) {
    let mut drops = Samples::new(&DROPS);
    for drop in &snapshot.drops {
        let vni = drop.vni.map_or_else(String::new, |vni| vni.to_string());
        let peer = drop.peer.as_deref().unwrap_or_default();
        let labels = [drop.reason.direction(), drop.reason.label(), peer, &vni];
        drops.add(&labels, drop.packets);
    }
    page.add(drops);
}

fn maps(page: &mut Page, snapshot: &Snapshot) {
    let mut entries = Samples::new(&MAP_ENTRIES);
    let mut capacity = Samples::new(&MAP_CAPACITY);
    let configured =
        snapshot.state.entries.iter().map(|at| (at.map.as_str(), at.entries, at.capacity));
    let learned = snapshot.usage.iter().map(|at| (at.map, at.entries, at.capacity));
    for (map, used, room) in configured.chain(learned) {
        entries.add(&[map], used);
        capacity.add(&[map], room);
    }
    page.add(entries);
    page.add(capacity);
}
