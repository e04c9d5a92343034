//! Reads the counters of a daemon all the time, by its metrics page and where there is none by
//! `vxlan show`: no counter of the data plane may ever be less than it was.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::{Ns, cmd, daemon::Daemon, metrics::Metrics};

/// What the programs count. Probes are the daemon's own, and begin anew with it.
const DATA_PLANE: [&str; 6] = [
    "vxlan_packets_total",
    "vxlan_bytes_total",
    "vxlan_drops_total",
    "vxlan_nat_rewritten_packets_total",
    "vxlan_neighbour_replies_total",
    "vxlan_too_big_sent_total",
];

/// How often it has looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    pub(crate) scrapes: u32,
    pub(crate) shows: u32,
}

pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Looked>>>,
}

/// A counter by its name and labels.
type Counts = BTreeMap<String, u64>;

impl Watch {
    /// `peer` is configured all the time: counters of others may come and go.
    pub(crate) fn start(ns: &Ns, daemon: &Daemon, peer: &str) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (ns, address, peer) = (ns.clone(), daemon.metrics_address(), peer.to_owned());
        let show = [["show", "peers", "--json"], ["show", "drops", "--json"]];
        let mut show = show.map(|arguments| daemon.command(&arguments));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let (mut most, mut looked) = (Counts::new(), Looked::default());
                while !stop.load(Ordering::Acquire) {
                    let (found, how) = match Metrics::fetch(&ns, address) {
                        Ok(metrics) => {
                            looked.scrapes += 1;
                            (scraped(&metrics, &peer), "metrics")
                        }
                        Err(_) => {
                            looked.shows += 1;
                            (shown(&mut show, &peer)?, "show")
                        }
                    };
                    not_less(&mut most, found, how)?;
                    // Others want to work, too.
                    thread::sleep(Duration::from_millis(10));
                }
                Ok(looked)
            }
        });
        Self { stop, thread: Some(thread) }
    }

    pub(crate) fn finish(mut self) -> Result<Looked> {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.take().context("ended before")?;
        vxlan_tests::wait::joined(thread.join())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _said_elsewhere = thread.join();
        }
    }
}

fn not_less(most: &mut Counts, found: Counts, how: &str) -> Result<()> {
    for (name, count) in found {
        let before = most.entry(name.clone()).or_default();
        ensure!(count >= *before, "{name} was {before} and is {count}, by {how}");
        *before = count;
    }
    Ok(())
}

fn scraped(metrics: &Metrics, peer: &str) -> Counts {
    let ours = metrics.samples.iter().filter(|sample| DATA_PLANE.contains(&sample.name.as_str()));
    let ours = ours
        .filter(|sample| sample.labels.get("peer").is_some_and(|of| of == peer || of.is_empty()));
    ours.map(|sample| {
        let labels = sample.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let labels: Vec<_> = labels.collect();
        (format!("{}{{{}}}", sample.name, labels.join(",")), sample.value as u64)
    })
    .collect()
}

/// The same names from `vxlan show peers` and `vxlan show drops`.
fn shown([peers, drops]: &mut [Command; 2], peer: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    let listed = json(peers)?;
    let listed = listed["peers"].as_array().context("no peers")?;
    let found = listed.iter().find(|found| found["peer"] == peer).context("no such peer")?;
    for network in found["networks"].as_array().into_iter().flatten() {
        for direction in ["rx", "tx"] {
            for what in ["packets", "bytes"] {
                let labels = format!("direction={direction},peer={peer},vni={}", network["vni"]);
                let count = network[direction][what].as_u64().context("no number")?;
                counts.insert(format!("vxlan_{what}_total{{{labels}}}"), count);
            }
        }
    }
    ensure!(!counts.is_empty(), "`show peers` says nothing of {peer}: {listed:?}");
    for drop in json(drops)?["drops"].as_array().context("no drops")? {
        let text = |key: &str| drop[key].as_str().unwrap_or_default().to_owned();
        let vni = drop["vni"].as_u64().map(|vni| vni.to_string()).unwrap_or_default();
        let (direction, of, reason) = (text("direction"), text("peer"), text("reason"));
        if of == peer || of.is_empty() {
            let labels = format!("direction={direction},peer={of},reason={reason},vni={vni}");
            let count = drop["packets"].as_u64().context("no number")?;
            counts.insert(format!("vxlan_drops_total{{{labels}}}"), count);
        }
    }
    Ok(counts)
}

fn json(show: &mut Command) -> Result<Value> {
    let out = cmd::output(show)?;
    ensure!(out.success(), "`vxlan show` ended with {}: {}", out.status, out.stderr);
    Ok(serde_json::from_str(&out.stdout)?)
}
