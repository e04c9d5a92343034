//! The metric families: names, types, help texts and labels. Their values are rendered in `render`
//! and `peers`.

/// One metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub labels: Labels,
    pub kind: MetricKind,
    /// The family has no sample for a peer of which no value is known: one without a key, or one
    /// that has not answered yet.
    pub only_where_known: bool,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    /// Returns the word of the text format and of the documents.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

type Labels = &'static [&'static str];

const fn family(
    name: &'static str,
    help: &'static str,
    labels: Labels,
    kind: MetricKind,
) -> Family {
    Family { name, help, labels, kind, only_where_known: false }
}

const fn counter(name: &'static str, help: &'static str, labels: Labels) -> Family {
    family(name, help, labels, MetricKind::Counter)
}

const fn gauge(name: &'static str, help: &'static str, labels: Labels) -> Family {
    family(name, help, labels, MetricKind::Gauge)
}

const fn where_known(family: Family) -> Family {
    Family { only_where_known: true, ..family }
}

pub(super) const BUILD_INFO: Family =
    gauge("vxlan_build_info", "Version and commit of this program; 1.", &["version", "commit"]);
pub(super) const XDP_INFO: Family = gauge(
    "vxlan_xdp_info",
    "The receive program on the underlay interface, its mode, and why it is no better one; 1.",
    &["interface", "mode", "program_id", "reason"],
);
pub(super) const HOOKS_UP: Family = gauge(
    "vxlan_hooks_up",
    "1 if every program is attached before all others and pinned, 0 if not.",
    &[],
);
pub(super) const HOOKS_RESTORED: Family = counter(
    "vxlan_hooks_restored_total",
    "Programs and pins that were found missing or out of place, and put back.",
    &[],
);
pub(super) const ACCEPTED: Family = counter(
    "vxlan_accepted_packets_total",
    "Tunnel packets that passed every rule of receive, delivered or not.",
    &["peer", "vni"],
);
pub(super) const UNDERLAY_UP: Family = gauge(
    "vxlan_underlay_up",
    "1 if the underlay interface is there with its addresses and the programs, 0 if not.",
    &["interface"],
);
pub(super) const NETWORK_UP: Family = gauge(
    "vxlan_network_up",
    "1 if a network's interface is there with its addresses, routes and programs, 0 if not.",
    &["vni"],
);
pub(super) const PACKETS: Family = counter(
    "vxlan_packets_total",
    "Tunnel packets on the wire that were delivered (rx) or sent (tx).",
    &["peer", "vni", "direction"],
);
pub(super) const BYTES: Family = counter(
    "vxlan_bytes_total",
    "Bytes of the inner frames in these packets.",
    &["peer", "vni", "direction"],
);
pub(super) const DROPS: Family = counter(
    "vxlan_drops_total",
    "Packets dropped, by reason; peer and vni are empty where not attributable.",
    &["direction", "reason", "peer", "vni"],
);
pub(super) const NAT_REWRITTEN: Family = counter(
    "vxlan_nat_rewritten_packets_total",
    "Packets with an outer header field that a NAT on the way had rewritten.",
    &["peer", "field"],
);
pub(super) const NEIGHBOUR_REPLIES: Family = counter(
    "vxlan_neighbour_replies_total",
    "ARP requests and neighbour solicitations for a peer's address that this host answered.",
    &["peer", "vni"],
);
pub(super) const TOO_BIG_SENT: Family = counter(
    "vxlan_too_big_sent_total",
    "ICMP messages that told a sender its packet is too big for the path to a peer.",
    &["peer", "vni"],
);
pub(super) const PATH_MTU: Family = gauge(
    "vxlan_path_mtu_bytes",
    "Largest outer packet that passes to a peer (tx) and from it (rx), from its IP header on.",
    &["peer", "direction"],
);
pub(super) const PEER_INFO: Family = gauge(
    "vxlan_peer_info",
    "What is declared and observed of a peer; 1.",
    &["peer", "endpoint", "private_address", "observed_address", "nat"],
);
pub(super) const PEER_UP: Family = where_known(gauge(
    "vxlan_peer_up",
    "1 if data, a fresh probe or (without a key) an echo reply of a peer came lately, 0 if not.",
    &["peer"],
));
pub(super) const PROBES_OK: Family = where_known(gauge(
    "vxlan_probes_ok",
    "1 if a probe of a peer that is proven to be fresh came lately, 0 if not.",
    &["peer"],
));
pub(super) const OVERLAY_ANSWERS: Family = where_known(gauge(
    "vxlan_peer_overlay_answers",
    "1 if the overlay of a peer answers echo requests through the tunnel, 0 if not.",
    &["peer"],
));
pub(super) const PEER_RECEIVED: Family = where_known(counter(
    "vxlan_peer_received_packets_total",
    "Data packets of this host that a peer has delivered, by its own count.",
    &["peer"],
));
pub(super) const PEER_SENT: Family = where_known(counter(
    "vxlan_peer_sent_packets_total",
    "Data packets that a peer has sent to this host, by its own count.",
    &["peer"],
));
pub(super) const DATA_LOST: Family = where_known(gauge(
    "vxlan_data_lost",
    "1 if data to a peer (tx) or from it (rx) does not arrive while probes do, 0 if not.",
    &["peer", "direction"],
));
pub(super) const LAST_SEEN: Family = where_known(gauge(
    "vxlan_peer_last_seen_timestamp_seconds",
    "When a data packet, an accepted probe or an echo reply last came from a peer; Unix time.",
    &["peer", "kind"],
));
pub(super) const PROBE_RTT: Family = where_known(family(
    "vxlan_probe_rtt_seconds",
    "Time from a probe to its answer, without what the peer took to answer.",
    &["peer"],
    MetricKind::Histogram,
));
pub(super) const PROBES_SENT: Family = where_known(counter(
    "vxlan_probes_sent_total",
    "Probes sent to a peer, without those that may be lost.",
    &["peer"],
));
pub(super) const PROBES_LOST: Family = where_known(counter(
    "vxlan_probes_lost_total",
    "Probes sent to a peer that were not answered in time.",
    &["peer"],
));
pub(super) const PROBES_RECEIVED: Family = where_known(counter(
    "vxlan_probes_received_total",
    "Probes of a peer that were accepted.",
    &["peer"],
));
pub(super) const PROBES_REFUSED: Family = where_known(counter(
    "vxlan_probes_refused_total",
    "Probes with a peer's tag that were refused, by reason.",
    &["peer", "reason"],
));
pub(super) const PROBE_LOSS: Family = where_known(gauge(
    "vxlan_probe_loss_ratio",
    "Share of the latest probes to a peer (tx) and from it (rx) that did not arrive; 0 to 1.",
    &["peer", "direction"],
));
pub(super) const PATH_HOPS: Family = where_known(gauge(
    "vxlan_path_hops",
    "Routers on the way to a peer (tx) and from it (rx).",
    &["peer", "direction"],
));
pub(super) const MAPPING_CHANGES: Family = where_known(counter(
    "vxlan_nat_mapping_changes_total",
    "Times that the learned endpoint of a peer has moved to another address or port.",
    &["peer"],
));
pub(super) const MAPPINGS: Family = gauge(
    "vxlan_nat_mappings",
    "Different outer sources that a peer's data packets had; an estimate where there are many.",
    &["peer"],
);
pub(super) const MAPPING_CHANGED: Family = where_known(gauge(
    "vxlan_nat_mapping_changed_timestamp_seconds",
    "When the outer source of a peer's data packets last changed, or first appeared; Unix time.",
    &["peer"],
));
pub(super) const MAP_ENTRIES: Family =
    gauge("vxlan_map_entries", "Entries in a table of the data plane.", &["map"]);
pub(super) const MAP_CAPACITY: Family =
    gauge("vxlan_map_capacity", "Entries that a table of the data plane can hold.", &["map"]);
pub(super) const RELOAD: Family = gauge(
    "vxlan_config_last_reload_successful",
    "1 if the configuration was applied when it was last read, else 0.",
    &[],
);
pub(super) const RELOAD_SUCCESS: Family = gauge(
    "vxlan_config_last_reload_success_timestamp_seconds",
    "Unix time at which the configuration was last applied.",
    &[],
);
pub(super) const LOG_LINES_DROPPED: Family = counter(
    "vxlan_log_lines_dropped_total",
    "Lines of the daemon's log that were lost because nobody took them in time.",
    &[],
);
pub(super) const LONGEST_TURN: Family = gauge(
    "vxlan_event_loop_longest_turn_seconds",
    "The longest time for which the daemon was busy with one event, in the latest minutes.",
    &[],
);

impl Family {
    /// Every family, in the order of docs/metrics.md.
    pub const ALL: &[Self] = &[
        BUILD_INFO,
        XDP_INFO,
        UNDERLAY_UP,
        NETWORK_UP,
        HOOKS_UP,
        HOOKS_RESTORED,
        ACCEPTED,
        PACKETS,
        BYTES,
        DROPS,
        NAT_REWRITTEN,
        NEIGHBOUR_REPLIES,
        TOO_BIG_SENT,
        PATH_MTU,
        PEER_INFO,
        PEER_UP,
        PROBES_OK,
        OVERLAY_ANSWERS,
        PEER_RECEIVED,
        PEER_SENT,
        DATA_LOST,
        LAST_SEEN,
        PROBE_RTT,
        PROBES_SENT,
        PROBES_LOST,
        PROBES_RECEIVED,
        PROBES_REFUSED,
        PROBE_LOSS,
        PATH_HOPS,
        MAPPING_CHANGES,
        MAPPINGS,
        MAPPING_CHANGED,
        MAP_ENTRIES,
        MAP_CAPACITY,
        RELOAD,
        RELOAD_SUCCESS,
        LONGEST_TURN,
        LOG_LINES_DROPPED,
    ];
}
