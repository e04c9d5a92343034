//! Counters that lie outside the product: what the kernel says of its backlog and its devices, and
//! what nftables counts. Conservation checks hold the product's own counters against these.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::netns::Ns;

/// Packets that overflowed a per-CPU backlog, on all CPUs and in all namespaces since boot. It is
/// one count for the whole machine: other work on it can move it.
pub fn softnet_dropped() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/softnet_stat").context("/proc/net/softnet_stat")?;
    parse_softnet(&text)
}

fn parse_softnet(text: &str) -> Result<u64> {
    let mut total = 0;
    for line in text.lines() {
        let word = line.split_whitespace().nth(1).context("a softnet line of one column")?;
        total += u64::from_str_radix(word, 16).with_context(|| format!("softnet line {line}"))?;
    }
    Ok(total)
}

/// Counters of one interface, as `ip -s link` shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

pub fn link_stats(ns: &Ns, interface: &str) -> Result<LinkStats> {
    let link = ns.link_json(interface)?;
    let counter = |direction: &str, name: &str| {
        link["stats64"][direction][name]
            .as_u64()
            .with_context(|| format!("no {direction} {name} in `ip -s -j link show {interface}`"))
    };
    Ok(LinkStats {
        rx_packets: counter("rx", "packets")?,
        rx_bytes: counter("rx", "bytes")?,
        rx_errors: counter("rx", "errors")?,
        rx_dropped: counter("rx", "dropped")?,
        tx_packets: counter("tx", "packets")?,
        tx_bytes: counter("tx", "bytes")?,
        tx_errors: counter("tx", "errors")?,
        tx_dropped: counter("tx", "dropped")?,
    })
}

/// What the driver itself counts (`ethtool -S`): on a veth, the only place where frames show that
/// its receive ring had no room for.
pub fn driver_stats(ns: &Ns, interface: &str) -> Result<BTreeMap<String, u64>> {
    let text = ns.run(&format!("ethtool -S {interface}"))?;
    let pairs = text.lines().filter_map(|line| line.trim().split_once(": "));
    Ok(pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
}

/// What has been added to counters by name since they were `before`; only what has.
pub fn added(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let old = |name| before.get(name).copied().unwrap_or_default();
    let added = now.iter().map(|(name, count)| (name.clone(), count - old(name)));
    added.filter(|(_, count)| *count > 0).collect()
}

/// Reads until nothing moves between two readings, so that no packet is on its way.
pub fn quiet<T: PartialEq + Debug>(read: impl Fn() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut last = read()?;
    loop {
        thread::sleep(Duration::from_millis(60));
        let now = read()?;
        if now == last {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "the counters do not come to rest: {now:?}");
        last = now;
    }
}

/// Counts the frames that an interface takes in, in a table of its own. Removed on drop.
#[derive(Debug)]
pub struct NftCounter {
    ns: Ns,
    family: &'static str,
    table: String,
}

impl NftCounter {
    /// At the interface's ingress hook, where every frame passes, ARP included. `matching` narrows
    /// it down in nft's words, as in `ip protocol udp`; the empty string counts all.
    pub fn ingress(ns: &Ns, interface: &str, matching: &str) -> Result<Self> {
        let hook = format!("type filter hook ingress device \"{interface}\" priority 0;");
        Self::create(ns, "netdev", interface, &hook, matching)
    }

    /// At the interface's egress hook: what the host sends out of it, ahead of every program in TC.
    pub fn egress(ns: &Ns, interface: &str, matching: &str) -> Result<Self> {
        let hook = format!("type filter hook egress device \"{interface}\" priority 0;");
        Self::create(ns, "netdev", interface, &hook, matching)
    }

    /// What the host itself sends through IP out of an interface, which need not exist yet.
    pub fn output(ns: &Ns, interface: &str, matching: &str) -> Result<Self> {
        let hook = "type filter hook output priority 300;";
        Self::create(ns, "inet", interface, hook, &format!("oifname \"{interface}\" {matching}"))
    }

    /// At IP prerouting: what the host's IP layer gets from the interface.
    pub fn prerouting(ns: &Ns, interface: &str, matching: &str) -> Result<Self> {
        let hook = "type filter hook prerouting priority -300;";
        Self::create(ns, "inet", interface, hook, &format!("iifname \"{interface}\" {matching}"))
    }

    /// What a router does not pass on from one interface to another: it drops and counts it.
    pub fn lost_in_transit(ns: &Ns, from: &str, to: &str, matching: &str) -> Result<Self> {
        let hook = "type filter hook forward priority 0;";
        let rule = format!("iifname \"{from}\" oifname \"{to}\" {matching}");
        Self::create_with(ns, "inet", from, hook, &rule, "drop")
    }

    fn create(
        ns: &Ns,
        family: &'static str,
        interface: &str,
        hook: &str,
        matching: &str,
    ) -> Result<Self> {
        Self::create_with(ns, family, interface, hook, matching, "")
    }

    fn create_with(
        ns: &Ns,
        family: &'static str,
        interface: &str,
        hook: &str,
        matching: &str,
        verdict: &str,
    ) -> Result<Self> {
        // Several counters may sit on one interface, so the table's name must be new.
        let table = (0..)
            .map(|number| format!("count_{interface}_{number}"))
            .find(|table| {
                !ns.output(&format!("nft list table {family} {table}")).is_ok_and(|o| o.success())
            })
            .context("no free table name")?;
        let rules = format!(
            "table {family} {table} {{\n chain frames {{\n {hook}\n {matching} counter {verdict}\n \
             }}\n }}"
        );
        ns.run_with_input("nft -f -", &rules)?;
        Ok(Self { ns: ns.clone(), family, table })
    }

    pub fn packets(&self) -> Result<u64> {
        Ok(self.read()?.0)
    }

    pub fn bytes(&self) -> Result<u64> {
        Ok(self.read()?.1)
    }

    fn read(&self) -> Result<(u64, u64)> {
        let text = self.ns.run(&format!("nft -j list table {} {}", self.family, self.table))?;
        let listing: serde_json::Value = serde_json::from_str(&text)?;
        let items = listing["nftables"].as_array().context("nft -j without a listing")?;
        for item in items {
            let Some(parts) = item["rule"]["expr"].as_array() else { continue };
            for part in parts {
                let counter = &part["counter"];
                if let (Some(packets), Some(bytes)) =
                    (counter["packets"].as_u64(), counter["bytes"].as_u64())
                {
                    return Ok((packets, bytes));
                }
            }
        }
        bail!("no counter in table {}: {text}", self.table)
    }
}

impl Drop for NftCounter {
    fn drop(&mut self) {
        // The namespace, and with it the table, may be gone already.
        let _ = self.ns.run(&format!("nft delete table {} {}", self.family, self.table));
    }
}

#[cfg(test)]
mod tests {
    use super::parse_softnet;

    #[test]
    fn softnet_columns_are_hexadecimal_and_added_over_cpus() -> anyhow::Result<()> {
        let text = "0000ffff 00000010 00000001 0\n0001 0000000a 0 0\n";
        assert_eq!(parse_softnet(text)?, 26);
        assert!(parse_softnet("00ff zz 0\n").is_err());
        Ok(())
    }
}
