//! The lab: two clouds with the real daemon on both sides and one VNI between them. Owns what is in
//! it and the checks of what it carries; what a person sees of it is `cargo xtask run`.

mod counters;
mod side;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use self::side::KEY_FILE;
pub use self::{
    counters::Counters,
    side::{Side, VNI},
};
use crate::{
    Netns, Run,
    daemon::Daemon,
    proxy::Proxy,
    topology::{TwoClouds, Wire},
    traffic::{PingResult, Transfer, ping, tcp_transfer},
};

/// How long probes may take to find out what NAT there is: three of their intervals.
const PATIENCE: Duration = Duration::from_secs(15);

/// What one side reports of the path to the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NatVerdict {
    /// As in the metric's label.
    pub nat: String,
    /// Sentences.
    pub evidence: Vec<String>,
}

/// Up from [`Lab::up`] until it is dropped.
#[derive(Debug)]
pub struct Lab {
    // In the order of taking it down.
    proxies: Vec<Proxy>,
    daemons: Vec<Daemon>,
    clouds: TwoClouds,
}

impl Lab {
    /// The networks and the configuration files, but no daemon yet. Sweeps an earlier lab.
    pub fn up(binary: &Path) -> Result<Self> {
        let clouds = TwoClouds::in_run(Run::lab()?, Wire::Real)?;
        clouds.run.write_key(KEY_FILE)?;
        let mut lab = Self { proxies: Vec::new(), daemons: Vec::new(), clouds };
        for side in Side::BOTH {
            let (ns, run) = (lab.ns(side), &lab.clouds.run);
            let config = side.configuration_with_key();
            let daemon = Daemon::prepare_with(binary.to_owned(), ns, run, side.name(), &config)?;
            lab.daemons.push(daemon);
        }
        Ok(lab)
    }

    /// Starts one side's daemon and opens its metrics to the host.
    pub fn start(&mut self, side: Side) -> Result<()> {
        let daemon = &mut self.daemons[side as usize];
        daemon.launch()?;
        let proxy =
            Proxy::start(self.ns(side), side.metrics_port(), self.daemon(side).metrics_address())?;
        self.proxies.push(proxy);
        Ok(())
    }

    pub fn ns(&self, side: Side) -> &Netns {
        match side {
            Side::Gcp => &self.clouds.gcp,
            Side::Aws => &self.clouds.aws,
        }
    }

    pub fn daemon(&self, side: Side) -> &Daemon {
        &self.daemons[side as usize]
    }

    pub fn config(&self, side: Side) -> PathBuf {
        self.daemon(side).config().to_owned()
    }

    /// Where the host finds a started side's metrics, and whether that is the usual port.
    pub fn metrics_url(&self, side: Side) -> Option<(String, bool)> {
        let address = self.proxies.get(side as usize)?.address();
        Some((format!("http://{address}/metrics"), address.port() == side.metrics_port()))
    }

    /// From overlay address to overlay address.
    pub fn ping(&self, from: Side, count: u32) -> Result<PingResult> {
        let source = from.overlay().into();
        let result = ping(self.ns(from), Some(source), from.other().overlay().into(), count)?;
        ensure!(
            result.all_answered(),
            "{} pings from {} to {} were not answered:\n{}",
            result.sent - result.received,
            from.name(),
            from.other().name(),
            result.output
        );
        Ok(result)
    }

    pub fn transfer(&self, from: Side, bytes: u64) -> Result<Transfer> {
        let to = from.other();
        let transfer = tcp_transfer(self.ns(from), self.ns(to), to.overlay().into(), bytes)?;
        ensure!(
            transfer.intact(),
            "{} bytes sent by {} and {} that arrived at {} have different SHA-256 sums",
            bytes,
            from.name(),
            transfer.bytes,
            to.name()
        );
        Ok(transfer)
    }

    pub fn counters(&self, side: Side) -> Result<Counters> {
        Ok(Counters::from_metrics(&self.daemon(side).metrics()?))
    }

    /// After traffic both ways: holds the counters against what every packet here must have met.
    pub fn check_counters(&self, side: Side) -> Result<Counters> {
        let counters = self.counters(side)?;
        let name = side.name();
        ensure!(counters.rx_packets > 0.0, "{name} counts no packet received: {counters:?}");
        ensure!(counters.tx_packets > 0.0, "{name} counts no packet sent: {counters:?}");
        ensure!(
            counters.nat_source > 0.0 && counters.nat_destination > 0.0,
            "both addresses of every packet are rewritten on the way to {name}, and it has not \
             noticed: {counters:?}"
        );
        Ok(counters)
    }

    /// What NAT a side has found on the way to the other, and how it knows.
    pub fn verdict(&self, side: Side) -> Result<NatVerdict> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.daemon(side).vxlan(&["show", "nat", "--json"])?;
            let json: serde_json::Value = serde_json::from_str(&output.stdout)
                .with_context(|| format!("vxlan show nat: {output:?}"))?;
            let report = &json["peers"][0];
            let evidence = report["evidence"].as_array().into_iter().flatten();
            let verdict = NatVerdict {
                nat: report["nat"].as_str().unwrap_or_default().to_owned(),
                evidence: evidence.filter_map(|why| why.as_str().map(str::to_owned)).collect(),
            };
            if !verdict.nat.is_empty() && verdict.nat != "unknown" {
                return Ok(verdict);
            }
            let name = side.name();
            ensure!(Instant::now() < deadline, "{name} does not find out about NAT: {verdict:?}");
            // A report cannot be waited for otherwise.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Fails when a daemon has ended by itself.
    pub fn check_daemons(&mut self) -> Result<()> {
        for (daemon, side) in self.daemons.iter_mut().zip(Side::BOTH) {
            if let Some(status) = daemon.exited()? {
                bail!(
                    "the daemon in {} ended with {status}. All it logged:\n{}",
                    side.name(),
                    daemon.log()
                );
            }
        }
        Ok(())
    }

    /// Stops both daemons in good order, then removes everything. Dropping the lab also removes
    /// everything, but does not tell whether a daemon failed at its end.
    pub fn down(mut self) -> Result<()> {
        self.proxies.clear();
        let stopped: Vec<Result<()>> = self.daemons.drain(..).map(Daemon::stop).collect();
        drop(self);
        stopped.into_iter().collect()
    }
}
