//! The lab: two clouds with the real daemon on both sides and one VNI between them. Owns what is in
//! it and the checks of what it carries; what a person sees of it is `cargo xtask run`.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    Netns, Run,
    daemon::Daemon,
    metrics::Metrics,
    proxy::Proxy,
    topology::{TwoClouds, Wire},
    traffic::{PingResult, Transfer, ping, tcp_transfer},
};

/// Where each side serves its metrics, inside its namespace.
const METRICS_PORT: u16 = 9839;
/// The key that both sides probe each other with; beside their configurations.
const KEY_FILE: &str = "lab.key";
/// How long probes may take to find out what NAT there is: three of their intervals.
const PATIENCE: Duration = Duration::from_secs(15);
/// GCP's MTU less the outer headers; on both sides, as neither knows the other's.
const OVERLAY_MTU: u32 = TwoClouds::GCP_MTU - 50;
pub const VNI: u32 = 43;

/// One of the two clouds' hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Gcp,
    Aws,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Gcp, Self::Aws];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gcp => "gcp",
            Self::Aws => "aws",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Gcp => Self::Aws,
            Self::Aws => Self::Gcp,
        }
    }

    pub fn private(self) -> Ipv4Addr {
        match self {
            Self::Gcp => TwoClouds::GCP_PRIVATE,
            Self::Aws => TwoClouds::AWS_PRIVATE,
        }
    }

    pub fn public(self) -> Ipv4Addr {
        match self {
            Self::Gcp => TwoClouds::GCP_PUBLIC,
            Self::Aws => TwoClouds::AWS_PUBLIC,
        }
    }

    /// Third byte of its overlay network, and number in its interface's name.
    fn number(self) -> u8 {
        match self {
            Self::Gcp => 43,
            Self::Aws => 44,
        }
    }

    pub fn interface(self) -> String {
        format!("vxlan{}", self.number())
    }

    pub fn overlay(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, self.number(), 1)
    }

    /// Port of the host at which its metrics are offered.
    fn metrics_port(self) -> u16 {
        match self {
            Self::Gcp => 9841,
            Self::Aws => 9842,
        }
    }

    /// What a person would write for this host, without a key.
    pub fn configuration(self) -> String {
        self.configuration_for("")
    }

    /// The same, with a key for probes, beside the file.
    pub fn configuration_with_key(self) -> String {
        self.configuration_for(&format!("key_file = \"{KEY_FILE}\"\n"))
    }

    fn configuration_for(self, key: &str) -> String {
        let peer = self.other();
        format!(
            r#"# {name}'s side of the lab, as it would be on a virtual machine in that cloud.
[node]
name = "{name}"

[underlay]
interface = "eth0"
address = "{private}"
public_address = "{public}"

[metrics]
listen = "0.0.0.0:{METRICS_PORT}"

[[peer]]
name = "{peer_name}"
endpoint = "{peer_public}:4789"
private_address = "{peer_private}"
{key}
[[network]]
vni = {VNI}
interface = "{interface}"
addresses = ["{overlay}/24"]
mtu = {OVERLAY_MTU}

[[network.member]]
peer = "{peer_name}"
allowed_ips = ["192.168.{peer_number}.0/24"]
"#,
            name = self.name(),
            private = self.private(),
            public = self.public(),
            peer_name = peer.name(),
            peer_public = peer.public(),
            peer_private = peer.private(),
            interface = self.interface(),
            overlay = self.overlay(),
            peer_number = peer.number(),
        )
    }
}

/// What one side's daemon has counted, over all peers and networks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    pub rx_packets: f64,
    pub rx_bytes: f64,
    pub tx_packets: f64,
    pub tx_bytes: f64,
    /// Received packets whose outer source, or destination, is not the one their sender wrote.
    pub nat_source: f64,
    pub nat_destination: f64,
    /// As in `rx unknown_source`; only reasons that have occurred.
    pub drops: Vec<(String, f64)>,
}

impl Counters {
    pub fn of(metrics: &Metrics) -> Self {
        let sum = |name, label, value| metrics.total(name, &[(label, value)]);
        Self {
            rx_packets: sum("vxlan_packets_total", "direction", "rx"),
            rx_bytes: sum("vxlan_bytes_total", "direction", "rx"),
            tx_packets: sum("vxlan_packets_total", "direction", "tx"),
            tx_bytes: sum("vxlan_bytes_total", "direction", "tx"),
            nat_source: sum("vxlan_nat_rewritten_packets_total", "field", "src_address"),
            nat_destination: sum("vxlan_nat_rewritten_packets_total", "field", "dst_address"),
            drops: metrics.drops().into_iter().map(|(why, count)| (why, count as f64)).collect(),
        }
    }

    pub fn dropped(&self) -> f64 {
        self.drops.iter().fold(0.0, |sum, (_, count)| sum + count)
    }
}

/// What one side says of the way to the other.
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
    /// The networks and the configuration files, but no daemon yet. Sweeps a former lab.
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
        Ok(Counters::of(&self.daemon(side).metrics()?))
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
            let shown = self.daemon(side).vxlan(&["show", "nat", "--json"])?;
            let json: serde_json::Value = serde_json::from_str(&shown.stdout)
                .with_context(|| format!("vxlan show nat: {shown:?}"))?;
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
                    "the daemon in {} ended with {status}. All it said:\n{}",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_mirror_each_other() -> Result<()> {
        let tables: Vec<toml::Table> = Side::BOTH
            .iter()
            .map(|s| s.configuration_with_key().parse())
            .collect::<Result<_, _>>()?;
        for (mine, theirs) in [(&tables[0], &tables[1]), (&tables[1], &tables[0])] {
            let peer = &mine["peer"][0];
            assert_eq!(peer["key_file"].as_str(), Some(KEY_FILE));
            assert_eq!(peer["name"], theirs["node"]["name"]);
            let public = theirs["underlay"]["public_address"].as_str().unwrap_or_default();
            assert_eq!(peer["endpoint"].as_str(), Some(format!("{public}:4789").as_str()));
            assert_eq!(peer["private_address"], theirs["underlay"]["address"]);
            let (network, far) = (&mine["network"][0], &theirs["network"][0]);
            assert_eq!((&network["vni"], &network["mtu"]), (&far["vni"], &far["mtu"]));
            assert_eq!(network["mtu"].as_integer(), Some(1410));
            let allowed = network["member"][0]["allowed_ips"][0].as_str().unwrap_or_default();
            let address = far["addresses"][0].as_str().unwrap_or_default();
            assert_eq!(allowed.replace(".0/24", ".1/24"), address);
        }
        Ok(())
    }

    #[test]
    fn counters_add_up_peers_and_keep_reasons_apart() -> Result<()> {
        let metrics = Metrics::parse(
            r#"vxlan_packets_total{peer="a",vni="43",direction="rx"} 3
vxlan_packets_total{peer="b",vni="43",direction="rx"} 4
vxlan_packets_total{peer="b",vni="43",direction="tx"} 9
vxlan_nat_rewritten_packets_total{peer="a",field="src_address"} 2
vxlan_drops_total{direction="rx",reason="unknown_vni",peer="",vni=""} 0
vxlan_drops_total{direction="rx",reason="not_a_member",peer="a",vni="43"} 1
vxlan_drops_total{direction="rx",reason="not_a_member",peer="b",vni="43"} 5
"#,
        )?;
        let counters = Counters::of(&metrics);
        assert_eq!((counters.rx_packets, counters.tx_packets), (7.0, 9.0));
        assert_eq!((counters.nat_source, counters.nat_destination), (2.0, 0.0));
        assert_eq!(counters.drops, [("rx not_a_member".to_owned(), 6.0)]);
        Ok(())
    }
}
