//! Traffic between two hosts through the tunnel, and its account: what one daemon sent the other
//! has received, to the packet, and each that a NAT has rewritten is counted as such.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use vxlan_tests::{
    conserve::{added, quiet},
    nat_lab::{Nat, PORT},
    traffic::{ping, tcp_transfer, udp_exchange},
};

use crate::world::{Host, Node, VNI, World};

const DATAGRAMS: u64 = 300;
const BYTES: u64 = 2 << 20;

/// What a daemon has counted of data, and what its kernel has beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Frames that the host gave to the overlay interface, and got from it.
    pub(crate) offered: u64,
    pub(crate) delivered: u64,
    /// Of the offered ones, those that the program answered itself.
    pub(crate) replies: u64,
    pub(crate) peers: BTreeMap<&'static str, OfPeer>,
    /// As in `rx unknown_source`; only those that have occurred.
    pub(crate) drops: BTreeMap<String, u64>,
}

/// Data packets of one peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OfPeer {
    pub(crate) tx: u64,
    pub(crate) rx: u64,
    pub(crate) src_address: u64,
    pub(crate) dst_address: u64,
    pub(crate) src_port: u64,
    pub(crate) checksum: u64,
}

impl Host {
    pub(crate) fn read(&self) -> Result<Reading> {
        let metrics = self.metrics()?;
        let mut reading = Reading {
            offered: self.sent.packets()?,
            delivered: self.delivered.packets()?,
            replies: metrics.total("vxlan_neighbour_replies_total", &[]) as u64,
            ..Reading::default()
        };
        let vni = VNI.to_string();
        for peer in self.peers.iter().map(|peer| peer.name()) {
            let count = |direction| {
                let labels = [("peer", peer), ("vni", vni.as_str()), ("direction", direction)];
                metrics.get("vxlan_packets_total", &labels) as u64
            };
            let rewritten = |field| {
                let labels = [("peer", peer), ("field", field)];
                metrics.get("vxlan_nat_rewritten_packets_total", &labels) as u64
            };
            let of_peer = OfPeer {
                tx: count("tx"),
                rx: count("rx"),
                src_address: rewritten("src_address"),
                dst_address: rewritten("dst_address"),
                src_port: rewritten("src_port"),
                checksum: rewritten("checksum"),
            };
            reading.peers.insert(peer, of_peer);
        }
        reading.drops = metrics.drops();
        Ok(reading)
    }
}

impl Reading {
    /// What has been added since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut change = self.clone();
        change.offered -= before.offered;
        change.delivered -= before.delivered;
        change.replies -= before.replies;
        for (peer, now) in &mut change.peers {
            let old = before.peers.get(peer).copied().unwrap_or_default();
            now.tx -= old.tx;
            now.rx -= old.rx;
            now.src_address -= old.src_address;
            now.dst_address -= old.dst_address;
            now.src_port -= old.src_port;
            now.checksum -= old.checksum;
        }
        change.drops = added(&self.drops, &before.drops);
        change
    }

    pub(crate) fn of(&self, peer: Node) -> OfPeer {
        self.peers.get(peer.name()).copied().unwrap_or_default()
    }

    pub(crate) fn dropped(&self, reason: &str) -> u64 {
        self.drops.get(reason).copied().unwrap_or_default()
    }
}

impl World {
    /// All hosts at once, when nothing is on its way.
    pub(crate) fn read(&self) -> Result<Vec<Reading>> {
        quiet(|| self.hosts.iter().map(Host::read).collect())
    }

    /// What has been added on two hosts since `before`.
    pub(crate) fn added(&self, before: &[Reading], nodes: [Node; 2]) -> Result<[Reading; 2]> {
        let now = self.read()?;
        let of = |node: Node| {
            let all = self.hosts.iter().zip(&now).zip(before);
            let found = all.filter(|((host, _), _)| host.node == node);
            found.map(|((_, now), before)| now.since(before)).next().unwrap_or_default()
        };
        Ok(nodes.map(of))
    }

    /// Pings, datagrams and TCP pass both ways between two hosts, and all of it is accounted for.
    pub(crate) fn traffic_passes(&self, left: Node, right: Node) -> Result<()> {
        let (one, other) = (self.host(left)?, self.host(right)?);
        let before = self.read()?;
        for (from, to) in [(one, right), (other, left)] {
            let result = ping(&from.ns, None, to.inner().into(), 5)?;
            ensure!(
                result.all_answered(),
                "{} to {}: {}",
                from.node.name(),
                to.name(),
                result.output
            );
        }
        for (from, to) in [(one, other), (other, one)] {
            let at = to.node.inner().into();
            let udp = udp_exchange(&from.ns, &to.ns, at, DATAGRAMS, 1_000, 3_000)?;
            let all = (udp.sent, udp.received, udp.duplicates, udp.damaged);
            ensure!(all == (DATAGRAMS, DATAGRAMS, 0, 0), "{udp:?}");
        }
        let changes = self.added(&before, [left, right])?;
        for change in &changes {
            // A daemon's echo requests to other peers are among them.
            let tx: u64 = change.peers.values().map(|peer| peer.tx).sum();
            let rx: u64 = change.peers.values().map(|peer| peer.rx).sum();
            ensure!(tx >= DATAGRAMS && rx >= DATAGRAMS, "{change:?}");
            ensure!(change.offered == tx + change.replies, "offered, but not sent: {change:?}");
            ensure!(change.delivered == rx + change.replies, "not delivered: {change:?}");
        }
        self.conserved(&changes, left, right)?;

        // GSO and GRO make other frames of TCP's packets, so only those on the wire are compared.
        let before = self.read()?;
        for (from, to) in [(one, other), (other, one)] {
            let transfer = tcp_transfer(&from.ns, &to.ns, to.node.inner().into(), BYTES)?;
            ensure!(transfer.intact() && transfer.bytes == BYTES, "{transfer:?}");
        }
        self.conserved(&self.added(&before, [left, right])?, left, right)
    }

    /// Every packet of one is received by the other, shows what the boxes do to it, and none is
    /// dropped.
    fn conserved(&self, changes: &[Reading; 2], left: Node, right: Node) -> Result<()> {
        for (sender, receiver, from, to) in
            [(&changes[0], &changes[1], left, right), (&changes[1], &changes[0], right, left)]
        {
            ensure!(sender.drops.is_empty(), "{} dropped: {sender:?}", from.name());
            let OfPeer { rx, src_address, dst_address, src_port, checksum, .. } = receiver.of(from);
            let tx = sender.of(to).tx;
            ensure!(tx == rx && rx > 0, "{} sent {tx}, {} got {rx}", from.name(), to.name());
            let expected = [
                from.nat(&self.lab) != Nat::None,
                to.nat(&self.lab) == Nat::OneToOne,
                self.port_of(from, to)? != PORT,
                false,
            ];
            let counts = [src_address, dst_address, src_port, checksum];
            for (field, (count, rewritten)) in
                ["src_address", "dst_address", "src_port", "checksum"]
                    .iter()
                    .zip(counts.into_iter().zip(expected))
            {
                let wanted = if rewritten { rx } else { 0 };
                ensure!(
                    count == wanted,
                    "of {rx} packets from {} to {}, {count} show a rewritten {field}, not {wanted}",
                    from.name(),
                    to.name()
                );
            }
        }
        Ok(())
    }
}
