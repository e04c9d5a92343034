//! The metrics themselves: names, types, help texts, labels, and their rendering as text.

use prometheus::{Encoder as _, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use vxlan_common::counters::NatField;

use super::Snapshot;

/// One metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub labels: &'static [&'static str],
    pub is_counter: bool,
}

const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
) -> Family {
    Family { name, help, labels, is_counter: true }
}

const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family { name, help, labels, is_counter: false }
}

const BUILD_INFO: Family =
    gauge("vxlan_build_info", "Version and commit of this program; 1.", &["version", "commit"]);
const XDP_INFO: Family = gauge(
    "vxlan_xdp_info",
    "The XDP program on the underlay interface and the mode it runs in; 1.",
    &["interface", "mode", "program_id"],
);
const PACKETS: Family = counter(
    "vxlan_packets_total",
    "Tunnel packets on the wire that were delivered (rx) or sent (tx).",
    &["peer", "vni", "direction"],
);
const BYTES: Family = counter(
    "vxlan_bytes_total",
    "Bytes of the inner frames in these packets.",
    &["peer", "vni", "direction"],
);
const DROPS: Family = counter(
    "vxlan_drops_total",
    "Packets dropped, by reason; peer and vni are empty where not attributable.",
    &["direction", "reason", "peer", "vni"],
);
const NAT_REWRITTEN: Family = counter(
    "vxlan_nat_rewritten_packets_total",
    "Accepted packets with an outer header field that a NAT on the way had rewritten.",
    &["peer", "field"],
);
const NEIGHBOUR_REPLIES: Family = counter(
    "vxlan_neighbour_replies_total",
    "ARP requests and neighbour solicitations for a peer's address that this host answered.",
    &["peer", "vni"],
);
const TOO_BIG_SENT: Family = counter(
    "vxlan_too_big_sent_total",
    "ICMP messages that told a sender its packet is too big for the path to a peer.",
    &["peer", "vni"],
);
const PATH_MTU: Family = gauge(
    "vxlan_path_mtu_bytes",
    "Largest outer packet that is sent to a peer, from its IP header on.",
    &["peer", "direction"],
);
const PEER_INFO: Family = gauge(
    "vxlan_peer_info",
    "What is declared and observed of a peer; 1.",
    &["peer", "endpoint", "private_address", "observed_address", "nat"],
);
const MAP_ENTRIES: Family =
    gauge("vxlan_map_entries", "Entries in a table of the data plane.", &["map"]);
const MAP_CAPACITY: Family =
    gauge("vxlan_map_capacity", "Entries that a table of the data plane can hold.", &["map"]);
const RELOAD: Family = gauge(
    "vxlan_config_last_reload_successful",
    "1 if the configuration was applied when it was last read, else 0.",
    &[],
);

impl Family {
    /// Every family, in the order of docs/metrics.md.
    pub const ALL: &[Self] = &[
        BUILD_INFO,
        XDP_INFO,
        PACKETS,
        BYTES,
        DROPS,
        NAT_REWRITTEN,
        NEIGHBOUR_REPLIES,
        TOO_BIG_SENT,
        PATH_MTU,
        PEER_INFO,
        MAP_ENTRIES,
        MAP_CAPACITY,
        RELOAD,
    ];
}

/// A registry of one scrape.
struct Scrape(Registry);

impl Scrape {
    fn counter(&self, family: &Family) -> prometheus::Result<IntCounterVec> {
        let vec = IntCounterVec::new(Opts::new(family.name, family.help), family.labels)?;
        self.0.register(Box::new(vec.clone()))?;
        Ok(vec)
    }

    fn gauge(&self, family: &Family) -> prometheus::Result<IntGaugeVec> {
        let vec = IntGaugeVec::new(Opts::new(family.name, family.help), family.labels)?;
        self.0.register(Box::new(vec.clone()))?;
        Ok(vec)
    }
}

/// The text exposition of a snapshot.
pub fn render(snapshot: &Snapshot) -> prometheus::Result<String> {
    let scrape = Scrape(Registry::new());
    info(&scrape, snapshot)?;
    traffic(&scrape, snapshot)?;
    drops(&scrape, snapshot)?;
    maps(&scrape, snapshot)?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&scrape.0.gather(), &mut text)?;
    String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

fn info(scrape: &Scrape, snapshot: &Snapshot) -> prometheus::Result<()> {
    let build = [env!("CARGO_PKG_VERSION"), env!("VXLAN_COMMIT")];
    scrape.gauge(&BUILD_INFO)?.with_label_values(&build).set(1);
    scrape.gauge(&RELOAD)?.with_label_values::<&str>(&[]).set(1);
    let underlay = &snapshot.state.underlay;
    let attached = scrape.gauge(&XDP_INFO)?;
    if let Some(xdp) = &underlay.xdp {
        let id = xdp.program_id.to_string();
        attached.with_label_values(&[&underlay.interface, xdp.mode.label(), &id]).set(1);
    }
    let peers = scrape.gauge(&PEER_INFO)?;
    for peer in &snapshot.state.peers {
        let endpoint = peer.endpoint.map_or_else(String::new, |at| at.to_string());
        let private = peer.private_address.map_or_else(String::new, |at| at.to_string());
        peers.with_label_values(&[&peer.name, &endpoint, &private, "", "unknown"]).set(1);
    }
    Ok(())
}

fn traffic(scrape: &Scrape, snapshot: &Snapshot) -> prometheus::Result<()> {
    let packets = scrape.counter(&PACKETS)?;
    let bytes = scrape.counter(&BYTES)?;
    let rewritten = scrape.counter(&NAT_REWRITTEN)?;
    let replies = scrape.counter(&NEIGHBOUR_REPLIES)?;
    let too_big = scrape.counter(&TOO_BIG_SENT)?;
    for link in &snapshot.links {
        let (vni, c) = (link.vni.to_string(), &link.counters);
        for (direction, n, size) in
            [("rx", c.rx_packets, c.rx_bytes), ("tx", c.tx_packets, c.tx_bytes)]
        {
            let labels = [link.peer.as_str(), &vni, direction];
            packets.with_label_values(&labels).inc_by(n);
            bytes.with_label_values(&labels).inc_by(size);
        }
        for field in NatField::ALL {
            let labels = [link.peer.as_str(), field.label()];
            rewritten.with_label_values(&labels).inc_by(c.nat[field as usize]);
        }
        let labels = [link.peer.as_str(), &vni];
        replies.with_label_values(&labels).inc_by(c.neighbour_replies);
        too_big.with_label_values(&labels).inc_by(c.too_big_sent);
    }
    let mtus = scrape.gauge(&PATH_MTU)?;
    for (peer, mtu) in snapshot.state.peers.iter().zip(&snapshot.path_mtus) {
        mtus.with_label_values(&[peer.name.as_str(), "tx"]).set(i64::from(*mtu));
    }
    Ok(())
}

fn drops(scrape: &Scrape, snapshot: &Snapshot) -> prometheus::Result<()> {
    let drops = scrape.counter(&DROPS)?;
    for drop in &snapshot.drops {
        let vni = drop.vni.map_or_else(String::new, |vni| vni.to_string());
        let peer = drop.peer.as_deref().unwrap_or_default();
        let labels = [drop.reason.direction(), drop.reason.label(), peer, &vni];
        drops.with_label_values(&labels).inc_by(drop.packets);
    }
    Ok(())
}

fn maps(scrape: &Scrape, snapshot: &Snapshot) -> prometheus::Result<()> {
    let entries = scrape.gauge(&MAP_ENTRIES)?;
    let capacity = scrape.gauge(&MAP_CAPACITY)?;
    let configured =
        snapshot.state.entries.iter().map(|at| (at.map.as_str(), at.entries, at.capacity));
    let learned = snapshot.usage.iter().map(|at| (at.map, at.entries, at.capacity));
    for (map, used, room) in configured.chain(learned) {
        entries.with_label_values(&[map]).set(i64::try_from(used).unwrap_or(i64::MAX));
        capacity.with_label_values(&[map]).set(i64::try_from(room).unwrap_or(i64::MAX));
    }
    Ok(())
}
