//! Daemons on the hosts of the lab, and what they tell. Who is whose peer is in `setup.rs`, traffic
//! and its account in `exchange.rs`.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use vxlan_tests::{
    Ns,
    conserve::NftCounter,
    daemon::Daemon,
    metrics::Metrics,
    nat_lab::{Nat, NatLab, PORT},
};

pub(crate) use crate::setup::{Node, Setup, is_napt};

pub(crate) const VNI: u32 = 43;
pub(crate) const OVERLAY: &str = "vxlan43";
/// Between two probes to a peer: what `[probe] interval` says, unless a test says otherwise.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// For what takes some dozen probes, or a minute's wait, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// A host with its daemon.
pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) peers: Vec<Node>,
    pub(crate) ns: Ns,
    /// What the host handed to the overlay interface, and what it got from there.
    pub(crate) sent: NftCounter,
    pub(crate) delivered: NftCounter,
    pub(crate) daemon: Daemon,
}

impl Host {
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        self.daemon.metrics()
    }

    /// What `vxlan show nat --json` says of a peer; null where it has not got so far yet.
    pub(crate) fn report(&self, peer: Node) -> Result<Value> {
        let out = self.daemon.vxlan(&["show", "nat", "--json"])?;
        ensure!(out.success(), "show nat at {}: {}{}", self.node.name(), out.stdout, out.stderr);
        let all: Value = serde_json::from_str(&out.stdout)
            .with_context(|| format!("`show nat --json` said {}", out.stdout))?;
        ensure!(all["node"] == self.node.name(), "the report is of {}", all["node"]);
        let peers = all["peers"].as_array().context("no peers in the report")?;
        let found = peers.iter().find(|report| report["peer"] == peer.name());
        ensure!(found.is_some() || peers.is_empty(), "no {} in {all:#}", peer.name());
        Ok(found.cloned().unwrap_or_default())
    }

    /// Asks until `enough` says so of the report on `peer`.
    pub(crate) fn wait(
        &self,
        peer: Node,
        what: &str,
        mut enough: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.report(peer)?;
            if enough(&report) {
                return Ok(report);
            }
            if Instant::now() > deadline {
                let log = self.daemon.log();
                bail!("{} about {}: not {what}: {report:#}\n{log}", self.node.name(), peer.name());
            }
            // A report cannot be waited for otherwise.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for a verdict; its evidence must have all of these texts. The metric must say the
    /// same.
    pub(crate) fn verdict(&self, peer: Node, kind: &str, evidence: &[&str]) -> Result<Value> {
        let report = self.wait(peer, &format!("{kind} with {evidence:?}"), |report| {
            report["nat"] == kind && evidence.iter().all(|text| says(report, text))
        })?;
        let labels = [("peer", peer.name()), ("nat", kind)];
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.metrics()?.total("vxlan_peer_info", &labels) != 1.0 {
            let metrics = self.metrics()?.text;
            ensure!(Instant::now() < deadline, "{kind} is shown and not in the metrics: {metrics}");
        }
        Ok(report)
    }
}

/// Some sentence of the evidence has this text.
pub(crate) fn says(report: &Value, text: &str) -> bool {
    let sentences = report["evidence"].as_array().into_iter().flatten();
    sentences.filter_map(Value::as_str).any(|sentence| sentence.contains(text))
}

/// What a host had counted of a peer's probes that went wrong, once the two had found each other:
/// those that were sent before the other was there, or before it was known to be the one that runs
/// now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) lost: f64,
    pub(crate) refused: f64,
}

impl Wrong {
    pub(crate) fn read(host: &Host, peer: Node) -> Result<Self> {
        let (metrics, labels) = (host.metrics()?, [("peer", peer.name())]);
        Ok(Self {
            lost: metrics.get("vxlan_probes_lost_total", &labels),
            refused: metrics.total("vxlan_probes_refused_total", &labels),
        })
    }
}

/// Everything, up and running.
pub(crate) struct World {
    pub(crate) hosts: Vec<Host>,
    /// As of the latest [`World::all_up`].
    pub(crate) wrong: RefCell<BTreeMap<(Node, Node), Wrong>>,
    /// Last: it must outlive the daemons.
    pub(crate) lab: NatLab,
}

impl World {
    pub(crate) fn new(a: Nat, b: Nat) -> Result<Self> {
        let world = Setup::new(a, b)?.start()?;
        world.all_up()?;
        Ok(world)
    }

    pub(crate) fn host(&self, node: Node) -> Result<&Host> {
        let found = self.hosts.iter().find(|host| host.node == node);
        found.with_context(|| format!("no daemon on {}", node.name()))
    }

    pub(crate) fn host_mut(&mut self, node: Node) -> Result<&mut Host> {
        let found = self.hosts.iter_mut().find(|host| host.node == node);
        found.with_context(|| format!("no daemon on {}", node.name()))
    }

    /// `a` and `b`.
    pub(crate) fn ends(&self) -> Result<[&Host; 2]> {
        Ok([self.host(Node::A)?, self.host(Node::B)?])
    }

    /// Waits until every host has an answer of each of its peers, and knows where to send to.
    pub(crate) fn each_answers(&self) -> Result<()> {
        self.wait_for_all("up", |report| {
            report["liveness"]["up"] == true && report["endpoint"].is_string()
        })
    }

    /// The same; besides no request is left from before that, and it is known what share is lost,
    /// which takes two probes.
    pub(crate) fn all_up(&self) -> Result<()> {
        self.each_answers()?;
        self.wait_for_all("without requests of before", |report| {
            let count = |field: &str| report["probes"][field].as_u64().unwrap_or(0);
            count("sent") == count("answered") + count("lost")
                && report["loss"]["tx"].is_number()
                && report["loss"]["rx"].is_number()
        })?;
        for host in &self.hosts {
            for &peer in &host.peers {
                self.wrong.borrow_mut().insert((host.node, peer), Wrong::read(host, peer)?);
            }
        }
        Ok(())
    }

    fn wait_for_all(&self, what: &str, enough: impl Fn(&Value) -> bool) -> Result<()> {
        for host in &self.hosts {
            for &peer in &host.peers {
                host.wait(peer, what, &enough)?;
            }
        }
        Ok(())
    }

    /// Since the latest [`World::all_up`] no probe between the two was lost or refused.
    pub(crate) fn no_probe_went_wrong(&self) -> Result<()> {
        for host in &self.hosts {
            for &peer in &host.peers {
                let now = Wrong::read(host, peer)?;
                let before = self.wrong.borrow().get(&(host.node, peer)).copied();
                ensure!(
                    before == Some(now),
                    "{} of {}: {before:?} and now {now:?}",
                    peer.name(),
                    host.node.name()
                );
            }
        }
        Ok(())
    }

    /// The port that packets of `node` to `to` arrive from, where it is one.
    pub(crate) fn port_of(&self, node: Node, to: Node) -> Result<u16> {
        if !is_napt(node.nat(&self.lab)) {
            return Ok(PORT);
        }
        let (own, public) = (node.own(&self.lab), to.public(&self.lab));
        let port = self.lab.a.mapped_port(own, public)?;
        port.with_context(|| format!("the box knows nothing of {own} and {public}"))
    }

    /// Where packets to `node` must go, as seen from `from`.
    pub(crate) fn endpoint_of(&self, node: Node, from: Node) -> Result<String> {
        Ok(format!("{}:{}", node.public(&self.lab), self.port_of(node, from)?))
    }

    /// Every daemon ends in good order.
    pub(crate) fn stop(self) -> Result<()> {
        for host in self.hosts {
            drop((host.sent, host.delivered));
            host.daemon.stop()?;
        }
        Ok(())
    }
}
