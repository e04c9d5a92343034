//! Two daemons with a tunnel between them that is full of traffic both ways, and what must be true
//! of it at the end of whatever was done meanwhile.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use vxlan_tests::{
    Ns,
    conserve::{NftCounter, driver_stats, link_stats, quiet, softnet_dropped},
    daemon::Daemon,
    link::set_queue,
    numbered::{Stream, Tally},
};

use crate::host::{CONFIG, Host};

const A: Ipv4Addr = Ipv4Addr::new(192, 168, 43, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 168, 44, 1);
/// Datagrams each way: 10,000 a second.
const PER_MILLISECOND: u32 = 10;

/// Both ends of the tunnel of [`CONFIG`]. `b` is the one that things are done to.
pub(crate) struct Tunnel {
    pub(crate) other: Daemon,
    pub(crate) host: Host,
}

/// Packets that both daemons have counted: received and sent by `a`, received and sent by `b`; then
/// ARP requests that `a` and `b` have answered themselves.
type Counted = [u64; 6];

impl Tunnel {
    pub(crate) fn up() -> Result<Self> {
        Self::with(&CONFIG)
    }

    pub(crate) fn with(config: &str) -> Result<Self> {
        let mut host = Host::new(config)?;
        // What the cable's ring has no room for waits, as at a network card.
        for ns in [&host.pair.a, &host.pair.b] {
            set_queue(ns, "eth0")?;
        }
        let other = host.start_peer()?;
        host.daemon.launch()?;
        host.assert_ping("at the beginning")?;
        Ok(Self { other, host })
    }

    fn ends(&self) -> [(&Ns, Ipv4Addr); 2] {
        [(&self.host.pair.a, A), (&self.host.pair.b, B)]
    }

    fn counted(&self) -> Result<Counted> {
        quiet(|| {
            let mut counted = [0; 6];
            let pairs = [(&self.other, "b"), (&self.host.daemon, "a")];
            let (packets, replies) = counted.split_at_mut(4);
            for ((both, (daemon, peer)), replies) in
                packets.chunks_exact_mut(2).zip(pairs).zip(replies)
            {
                let metrics = daemon.metrics()?;
                for (count, direction) in both.iter_mut().zip(["rx", "tx"]) {
                    let labels = [("peer", peer), ("vni", "43"), ("direction", direction)];
                    *count = metrics.get("vxlan_packets_total", &labels) as u64;
                }
                *replies = metrics.total("vxlan_neighbour_replies_total", &[]) as u64;
            }
            Ok(counted)
        })
    }

    /// Does something while traffic goes both ways: every datagram arrives once, both daemons have
    /// counted each of them, and nothing but them. Both must run at the end.
    pub(crate) fn carries_all(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Self, &Stream) -> Result<()>,
    ) -> Result<()> {
        let others = Others::count(self.ends())?;
        let before = self.counted()?;
        let softnet = softnet_dropped()?;
        let [a, b] = self.ends();
        let (to_b, to_a) =
            (Stream::start(a, b, PER_MILLISECOND)?, Stream::start(b, a, PER_MILLISECOND)?);
        to_b.wait_for(200)?;
        let done = work(self, &to_b);
        let elsewhere = softnet_dropped()? - softnet;
        let (to_b, to_a) = (to_b.finish()?, to_a.finish()?);
        done?;
        if !(to_b.is_whole() && to_a.is_whole()) {
            let kernel = self.kernel_counters()?;
            let drops =
                [&self.other, &self.host.daemon].map(|daemon| Ok(daemon.metrics()?.drops()));
            let drops: Result<Vec<_>> = drops.into_iter().collect();
            anyhow::bail!(
                "{what}: to b {to_b:?}, to a {to_a:?}; {elsewhere} dropped by some backlog of the \
                 machine; counted by a and b: {drops:?}; {kernel}\n{}",
                self.host.daemon.log()
            );
        }
        self.assert_counted(what, before, &to_b, &to_a, &others)?;
        eprintln!("{what}: {} datagrams to b, {} to a, none lost", to_b.sent, to_a.sent);
        Ok(())
    }

    fn assert_counted(
        &self,
        what: &str,
        before: Counted,
        to_b: &Tally,
        to_a: &Tally,
        others: &Others,
    ) -> Result<()> {
        let after = self.counted()?;
        let added: Vec<u64> = after.iter().zip(before).map(|(now, then)| now - then).collect();
        let (added, replies) = added.split_at(4);
        let [others_to_a, others_to_b] = others.packets()?;
        // A reply enters the overlay interface, and never was in the tunnel.
        let [others_to_a, others_to_b] = [others_to_a - replies[0], others_to_b - replies[1]];
        let (at_a, at_b) = (to_a.sent + others_to_a, to_b.sent + others_to_b);
        ensure!(
            added == [at_a, at_b, at_b, at_a],
            "{what}: {} datagrams and {others_to_b} others went to b, {} and {others_to_a} to a, \
            and \
             [rx a, tx a, rx b, tx b] are {added:?}",
            to_b.sent,
            to_a.sent
        );
        for daemon in [&self.other, &self.host.daemon] {
            let metrics = daemon.metrics()?;
            let drops = metrics.drops();
            ensure!(drops.is_empty(), "{what}: {drops:?}");
            let accepted = metrics.total("vxlan_accepted_packets_total", &[]);
            let delivered = metrics.total("vxlan_packets_total", &[("direction", "rx")]);
            ensure!(accepted == delivered, "{what}: {accepted} accepted, {delivered} delivered");
        }
        Ok(())
    }

    /// Where else packets can get lost.
    fn kernel_counters(&self) -> Result<String> {
        let mut found = String::new();
        for (ns, _) in self.ends() {
            let driver = driver_stats(ns, "eth0")?;
            let drops = driver.iter().filter(|(name, n)| name.contains("drop") && **n > 0);
            for (name, count) in drops {
                found += &format!("{} eth0 {name} {count}; ", ns.name());
            }
            for interface in ["eth0", "vxlan43", "vxport43"] {
                found += &format!("{} {interface} {:?}; ", ns.name(), link_stats(ns, interface)?);
            }
            found += &ns.run("tc -s qdisc show dev eth0")?;
        }
        Ok(found)
    }

    pub(crate) fn down(self) -> Result<()> {
        self.host.daemon.stop()?;
        self.other.stop()
    }
}

/// What is not the stream's: a daemon that starts asks its peer for a sign of life, and hosts ask
/// for each other's MAC address. Counted where it arrives, outside of the product.
struct Others([[NftCounter; 2]; 2]);

impl Others {
    fn count(ends: [(&Ns, Ipv4Addr); 2]) -> Result<Self> {
        let count = |ns: &Ns, what| NftCounter::ingress(ns, "vxlan43", what);
        let [a, b] = ends.map(|(ns, _)| -> Result<_> {
            Ok([count(ns, "ether type arp")?, count(ns, "ip protocol != udp")?])
        });
        Ok(Self([a?, b?]))
    }

    /// To `a` and to `b`.
    fn packets(&self) -> Result<[u64; 2]> {
        let [a, b] = self
            .0
            .each_ref()
            .map(|[arp, ip]| -> Result<u64> { Ok(arp.packets()? + ip.packets()?) });
        Ok([a?, b?])
    }
}
