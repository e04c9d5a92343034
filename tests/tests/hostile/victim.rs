//! The host under attack: `b` of a pair, with two networks and a peer in each. `a` is whoever
//! sends. Owns the configuration, the counting and the frames that all scenarios start from.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use vxlan_tests::{
    Pair, Wire,
    conserve::{NftCounter, link_stats},
    daemon::Daemon,
    inject::inject,
    metrics::Metrics,
    packet::{Eth, Icmp, Ipv4, Mac, Packet, Udp, Vxlan},
};

/// Where frames are counted that a row of a table repeats.
pub(crate) const MANY: u64 = 20_000;
/// The one member of network 43.
pub(crate) const FRIEND: [u8; 4] = [203, 0, 113, 1];
pub(crate) const VICTIM: [u8; 4] = [203, 0, 113, 2];
/// The one member of network 44.
pub(crate) const OTHER: [u8; 4] = [203, 0, 113, 3];
/// What the friend's own card carries, behind its NAT; and what another host near the victim may
/// have.
pub(crate) const FRIEND_PRIVATE: [u8; 4] = [10, 0, 0, 119];
/// On the underlay, and in no configuration.
pub(crate) const UNLISTED: [u8; 4] = [203, 0, 113, 66];
/// Inner addresses: the friend's, and our own in network 43.
pub(crate) const INNER_FRIEND: [u8; 4] = [192, 168, 44, 7];
pub(crate) const INNER_VICTIM: [u8; 4] = [192, 168, 43, 1];
/// A station behind the friend.
pub(crate) const INNER_FRIEND_MAC: Mac = [2, 0, 0, 0, 0x44, 7];
/// Source of every frame that the scenarios put on the wire.
pub(crate) const ATTACKER: Mac = [2, 0, 0, 0, 0x66, 1];

const PATIENCE: Duration = Duration::from_secs(30);

/// Where the victim's programs are attached, and how they tag accepted frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) xdp: &'static str,
    pub(crate) tag: &'static str,
}

pub(crate) const NATIVE: Mode = Mode { xdp: "native", tag: "metadata" };
pub(crate) const NATIVE_MAC: Mode = Mode { xdp: "native", tag: "mac" };
pub(crate) const GENERIC: Mode = Mode { xdp: "generic", tag: "metadata" };
pub(crate) const GENERIC_MAC: Mode = Mode { xdp: "generic", tag: "mac" };

/// In TC alone.
pub(crate) const OFF: Mode = Mode { xdp: "off", tag: "auto" };

/// Makes a test of a scenario in each of these receive modes, so that a failure says which it was.
macro_rules! in_modes {
    ($scenario:ident: $($test:ident = $mode:ident),+ $(,)?) => {
        mod $scenario {
            $(#[test]
            fn $test() -> anyhow::Result<()> {
                super::$scenario($crate::victim::$mode)
            })+
        }
    };
}
pub(crate) use in_modes;

/// Reason, peer and VNI, as the metric's labels.
pub(crate) type DropLabels = (String, String, String);

/// What was counted, or by how much it grew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Frames that the underlay interface took in.
    pub(crate) arrived: u64,
    /// Every receive drop of the daemon that is not zero.
    pub(crate) dropped: BTreeMap<DropLabels, u64>,
    /// The daemon's receive counters, added up.
    pub(crate) delivered: u64,
    /// What nftables saw enter the overlay interfaces.
    pub(crate) entered: u64,
}

impl Count {
    /// Frames that the daemon counted at all.
    pub(crate) fn ours(&self) -> u64 {
        self.delivered + self.dropped.values().sum::<u64>()
    }

    fn since(&self, before: &Self) -> Self {
        let grown = self.dropped.iter().filter_map(|(labels, now)| {
            let growth = now - before.dropped.get(labels).unwrap_or(&0);
            (growth != 0).then(|| (labels.clone(), growth))
        });
        Self {
            arrived: self.arrived - before.arrived,
            dropped: grown.collect(),
            delivered: self.delivered - before.delivered,
            entered: self.entered - before.entered,
        }
    }
}

pub(crate) struct Victim {
    pub(crate) daemon: Daemon,
    counters: Vec<NftCounter>,
    /// MAC address of the underlay interface.
    pub(crate) mac: Mac,
    /// MAC address of the overlay interface of network 43.
    pub(crate) overlay_mac: Mac,
    /// Last: it must outlive the rest.
    pub(crate) pair: Pair,
}

impl Victim {
    /// On a wire with NAPI at the receiving end in either XDP mode, so that a frame that was taken
    /// is a frame that is looked at.
    pub(crate) fn new(mode: Mode) -> Result<Self> {
        let pair = Pair::new(Wire::Real)?;
        // Else an answer would have to be asked for first, and that is a frame as well.
        pair.static_neighbours()?;
        let daemon = Daemon::start(&pair.b, &pair.run, "victim", &config(mode))?;
        // Fails unless there is such a sample: it runs in the mode that was asked for.
        daemon.metrics()?.get("vxlan_xdp_info", &[("interface", "eth0"), ("mode", mode.xdp)]);
        let counters = vec![
            NftCounter::ingress(&pair.b, "vxlan43", "")?,
            NftCounter::ingress(&pair.b, "vxlan44", "")?,
        ];
        let (mac, overlay_mac) = (pair.b.mac("eth0")?, pair.b.mac("vxlan43")?);
        Ok(Self { daemon, counters, mac, overlay_mac, pair })
    }

    pub(crate) fn count(&self) -> Result<Count> {
        let metrics = self.daemon.metrics()?;
        let mut entered = 0;
        for counter in &self.counters {
            entered += counter.packets()?;
        }
        Ok(Count {
            arrived: link_stats(&self.pair.b, "eth0")?.rx_packets,
            dropped: dropped(&metrics)?,
            delivered: metrics.total("vxlan_packets_total", &[("direction", "rx")]) as u64,
            entered,
        })
    }

    /// Sends `total` frames, going round `frames`, and waits until all of them have arrived and
    /// `ours` of them are counted. What is missing then shows in the answer.
    pub(crate) fn attack<F: AsRef<[u8]>>(
        &self,
        frames: &[F],
        total: u64,
        ours: u64,
    ) -> Result<Count> {
        let before = self.count()?;
        let injected = inject(&self.pair.a, "eth0", frames, total)?;
        anyhow::ensure!(injected.accepted == total, "{injected:?}");
        self.settle(&before, total, ours)
    }

    /// How the counts have grown, once `arrived` frames are in and `ours` of them counted.
    pub(crate) fn settle(&self, before: &Count, arrived: u64, ours: u64) -> Result<Count> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let grown = self.count()?.since(before);
            let done = grown.arrived >= arrived && grown.ours() >= ours;
            if done || Instant::now() > deadline {
                return Ok(grown);
            }
            // Counters cannot be waited for otherwise.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Outer headers from `source` to the victim's VXLAN port; a VXLAN header goes inside.
    pub(crate) fn outer(&self, source: [u8; 4]) -> Packet {
        Self::outer_to(self.mac, source)
    }

    /// The same, to a MAC address of the caller's choice.
    pub(crate) fn outer_to(mac: Mac, source: [u8; 4]) -> Packet {
        Packet::new()
            .with(Eth::new(mac, ATTACKER))
            .with(Ipv4::new(source, VICTIM))
            .with(Udp::vxlan(50_000))
    }

    /// A frame that nobody answers: an echo reply that nobody asked for.
    pub(crate) fn inner(&self, source: [u8; 4], destination: [u8; 4]) -> Packet {
        Packet::new()
            .with(Eth::new(self.overlay_mac, INNER_FRIEND_MAC))
            .with(Ipv4::new(source, destination))
            .with(Icmp::echo_reply(1, 1))
            .payload(&[0x5a; 40])
    }

    /// `inner` in network `vni` from `source`.
    pub(crate) fn tunnelled(&self, source: [u8; 4], vni: u32, inner: Packet) -> Vec<u8> {
        self.outer(source).with(Vxlan::new(vni)).carrying(inner).build().to_vec()
    }

    /// What the friend may send.
    pub(crate) fn good(&self) -> Vec<u8> {
        self.tunnelled(FRIEND, 43, self.inner(INNER_FRIEND, INNER_VICTIM))
    }

    /// SIGTERM and `down`, both without complaint.
    pub(crate) fn stop(self) -> Result<()> {
        drop(self.counters);
        self.daemon.stop()
    }
}

pub(crate) fn labels(reason: &str, peer: &str, vni: &str) -> DropLabels {
    (reason.to_owned(), peer.to_owned(), vni.to_owned())
}

fn dropped(metrics: &Metrics) -> Result<BTreeMap<DropLabels, u64>> {
    let mut dropped = BTreeMap::new();
    for sample in metrics.named("vxlan_drops_total").filter(|s| s.matches(&[("direction", "rx")])) {
        let label = |name: &str| {
            let value = sample.labels.get(name).cloned();
            value.with_context(|| format!("a drop without the label {name}"))
        };
        let labels = (label("reason")?, label("peer")?, label("vni")?);
        let packets = sample.value as u64;
        if packets != 0 {
            anyhow::ensure!(dropped.insert(labels, packets).is_none(), "twice: {sample:?}");
        }
    }
    Ok(dropped)
}

fn config(mode: Mode) -> String {
    let Mode { xdp, tag } = mode;
    format!(
        r#"
        [node]
        name = "victim"
        [underlay]
        interface = "eth0"
        xdp = "{xdp}"
        tag = "{tag}"
        [[peer]]
        name = "friend"
        endpoint = "203.0.113.1"
        private_address = ["10.0.0.119", "2001:db8:a::119"]
        [[peer]]
        name = "other"
        endpoint = "203.0.113.3"
        [[network]]
        vni = 43
        interface = "vxlan43"
        addresses = ["192.168.43.1/24"]
        [[network.member]]
        peer = "friend"
        allowed_ips = ["192.168.44.0/24"]
        [[network]]
        vni = 44
        interface = "vxlan44"
        addresses = ["192.168.53.1/24"]
        [[network.member]]
        peer = "other"
        allowed_ips = ["192.168.54.0/24"]
        "#
    )
}
