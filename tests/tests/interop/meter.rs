//! What one daemon counts, and beside it what the kernel counts of the same host: the two accounts
//! that conservation compares.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, ensure};
pub(crate) use vxlan_tests::conserve::quiet;
use vxlan_tests::{
    Ns,
    conserve::{NftCounter, added, link_stats},
    daemon::Daemon,
};

/// Watches a host with a daemon from its start on.
pub(crate) struct Meter {
    ns: Ns,
    overlays: Vec<Overlay>,
}

struct Overlay {
    vni: u32,
    sent: NftCounter,
    sent_tcp: NftCounter,
    delivered: NftCounter,
}

/// One look at everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// By VNI: the daemon's own counts.
    pub(crate) networks: BTreeMap<u32, Network>,
    /// As in `rx unknown_source`; only those that have occurred.
    pub(crate) drops: BTreeMap<String, u64>,
    pub(crate) rewritten_source: u64,
    pub(crate) rewritten_destination: u64,
    /// What the host's stack handed to the overlay interfaces, in packets on the wire.
    pub(crate) offered: u64,
    /// What came up from the underlay, in packets on the wire.
    pub(crate) arrived: u64,
}

/// One network of a [`Reading`]. Packets on the wire and inner bytes, but for `delivered`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) tx: u64,
    pub(crate) tx_bytes: u64,
    pub(crate) rx: u64,
    pub(crate) rx_bytes: u64,
    /// Passed every rule of receive.
    pub(crate) accepted: u64,
    /// What the host's stack got from the overlay interface: frames as GRO left them, and their
    /// bytes with Ethernet headers.
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
}

impl Meter {
    /// `overlays` are interfaces and their VNIs.
    pub(crate) fn new(ns: &Ns, overlays: &[(&str, u32)]) -> Result<Self> {
        let overlay = |&(interface, vni): &(&str, u32)| -> Result<Overlay> {
            Ok(Overlay {
                vni,
                sent: NftCounter::egress(ns, interface, "")?,
                sent_tcp: NftCounter::egress(ns, interface, "meta l4proto tcp")?,
                delivered: NftCounter::ingress(ns, interface, "")?,
            })
        };
        let overlays = overlays.iter().map(overlay).collect::<Result<_>>()?;
        Ok(Self { ns: ns.clone(), overlays })
    }

    pub(crate) fn read(&self, daemon: &Daemon) -> Result<Reading> {
        let metrics = daemon.metrics()?;
        let mut reading = Reading::default();
        for overlay in &self.overlays {
            let vni = overlay.vni.to_string();
            let count = |name, direction| {
                metrics.total(name, &[("vni", vni.as_str()), ("direction", direction)]) as u64
            };
            let delivered = overlay.delivered.packets()?;
            let network = Network {
                tx: count("vxlan_packets_total", "tx"),
                tx_bytes: count("vxlan_bytes_total", "tx"),
                rx: count("vxlan_packets_total", "rx"),
                rx_bytes: count("vxlan_bytes_total", "rx"),
                accepted: metrics.total("vxlan_accepted_packets_total", &[("vni", vni.as_str())])
                    as u64,
                delivered,
                // At ingress the kernel has taken the Ethernet header off.
                delivered_bytes: overlay.delivered.bytes()? + 14 * delivered,
            };
            reading.networks.insert(overlay.vni, network);
            // GSO frames of TCP count one each here, so TCP itself is asked below.
            reading.offered += overlay.sent.packets()? - overlay.sent_tcp.packets()?;
        }
        reading.drops = metrics.drops();
        let rewritten =
            |field| metrics.total("vxlan_nat_rewritten_packets_total", &[("field", field)]) as u64;
        reading.rewritten_source = rewritten("src_address");
        reading.rewritten_destination = rewritten("dst_address");
        // Scrapes are TCP too, but on the loopback interface, where nothing is segmented.
        let segments = tcp_segments(&self.ns)?;
        let scrapes = link_stats(&self.ns, "lo")?.tx_packets;
        reading.offered += segments.checked_sub(scrapes).context("fewer segments than scrapes")?;
        reading.arrived = link_stats(&self.ns, "eth0")?.rx_packets;
        Ok(reading)
    }
}

impl Reading {
    /// What has been added since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut change = self.clone();
        for (vni, now) in &mut change.networks {
            let old = before.networks.get(vni).copied().unwrap_or_default();
            now.tx -= old.tx;
            now.tx_bytes -= old.tx_bytes;
            now.rx -= old.rx;
            now.rx_bytes -= old.rx_bytes;
            now.accepted -= old.accepted;
            now.delivered -= old.delivered;
            now.delivered_bytes -= old.delivered_bytes;
        }
        change.drops = added(&self.drops, &before.drops);
        change.rewritten_source -= before.rewritten_source;
        change.rewritten_destination -= before.rewritten_destination;
        change.offered -= before.offered;
        change.arrived -= before.arrived;
        change
    }

    pub(crate) fn tx(&self) -> u64 {
        self.networks.values().map(|network| network.tx).sum()
    }

    pub(crate) fn rx(&self) -> u64 {
        self.networks.values().map(|network| network.rx).sum()
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.networks.values().map(|network| network.accepted).sum()
    }

    /// Drops of one direction.
    pub(crate) fn dropped(&self, direction: &str) -> u64 {
        let of = self.drops.iter().filter(|(reason, _)| reason.starts_with(direction));
        of.map(|(_, count)| count).sum()
    }
}

/// Segments that TCP of this namespace has sent, retransmitted ones too.
fn tcp_segments(ns: &Ns) -> Result<u64> {
    let text = ns.exec(|| fs::read_to_string("/proc/thread-self/net/snmp"))??;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = lines.next().zip(lines.next()).context("no Tcp lines in snmp")?;
    let mut total = 0;
    let mut found = 0;
    for (name, value) in names.split(' ').zip(values.split(' ')) {
        if name == "OutSegs" || name == "RetransSegs" {
            total += value.parse::<u64>()?;
            found += 1;
        }
    }
    ensure!(found == 2, "no OutSegs and RetransSegs among {names}");
    Ok(total)
}
