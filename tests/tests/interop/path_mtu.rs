//! A smaller MTU between the two hosts, found out on the way (RFC 1191, RFC 8201), as in the
//! kernel's `pmtu.sh`: whoever sends into the overlay gets to know the path's exact value less the
//! tunnel's overhead, the host itself and one behind it.
//!
//! ```text
//!  lan ── near ── first ──(1400)── second ── far
//! ```

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Netns, Ns, Run, Wire,
    daemon::Daemon,
    link::{End, connect, set_queue},
    traffic::{ping, ping_with, tcp_transfer},
    two_hosts::{Family, OVERLAY, Side as Host, VNI},
};

use crate::{
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

const NARROW: u32 = 1400;
const BYTES: u64 = 20 << 20;
const PATIENCE: Duration = Duration::from_secs(15);

/// Host `host` on the link of this number.
fn address(outer: Family, link: u8, host: u8) -> String {
    match outer {
        Family::V4 => format!("10.0.{link}.{host}"),
        Family::V6 => format!("2001:db8:1:{link}::{host}"),
    }
}

fn prefix(outer: Family, link: u8, host: u8) -> String {
    let length = if outer == Family::V4 { 24 } else { 64 };
    format!("{}/{length}", address(outer, link, host))
}

fn endpoint(outer: Family, link: u8, host: u8) -> String {
    let address = address(outer, link, host);
    if outer == Family::V4 { address } else { format!("[{address}]") }
}

struct Path {
    daemons: [(Daemon, Meter); 2],
    lan: Netns,
    near: Netns,
    far: Netns,
    _routers: [Netns; 2],
    outer: Family,
    /// Last: it must outlive the others.
    _run: Run,
}

impl Path {
    fn new(outer: Family) -> Result<Self> {
        let run = Run::new()?;
        let hosts = ["lan", "near", "first", "second", "far"];
        let all = hosts.iter().map(|role| run.netns(role)).collect::<Result<Vec<_>>>()?;
        for ns in &all {
            ns.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
        }
        for ns in &all[1..4] {
            ns.sysctl("net.ipv4.ip_forward", "1")?;
            ns.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        }
        let [lan, near, first, second, far]: [Netns; 5] =
            all.try_into().map_err(|_| anyhow::anyhow!("five namespaces"))?;
        let link = |number: u8, left: (&Ns, &str), right: (&Ns, &str), mtu| -> Result<()> {
            let (one, two) = (prefix(outer, number, 1), prefix(outer, number, 2));
            connect(
                End { ns: left.0, interface: left.1, address: &one },
                End { ns: right.0, interface: right.1, address: &two },
                mtu,
                Wire::Real,
            )?;
            for (host, (ns, interface)) in [(1, left), (2, right)] {
                set_queue(ns, interface)?;
                if outer == Family::V6 {
                    // Neighbours are asked for from it.
                    ns.run(&format!("ip addr add fe80::{number}:{host}/64 dev {interface}"))?;
                }
            }
            Ok(())
        };
        link(1, (&near, "eth0"), (&first, "near"), 1500)?;
        link(2, (&first, "far"), (&second, "near"), NARROW)?;
        link(3, (&second, "far"), (&far, "eth0"), 1500)?;
        near.run(&format!("ip route add default via {}", address(outer, 1, 2)))?;
        far.run(&format!("ip route add default via {}", address(outer, 3, 1)))?;
        first.run(&format!("ip route add {} via {}", prefix(outer, 3, 0), address(outer, 2, 2)))?;
        second.run(&format!(
            "ip route add {} via {}",
            prefix(outer, 1, 0),
            address(outer, 2, 1)
        ))?;

        connect(
            End { ns: &lan, interface: "eth0", address: "192.168.143.7/24" },
            End { ns: &near, interface: "lan", address: "192.168.143.1/24" },
            1500,
            Wire::Real,
        )?;
        for (ns, interface, host) in [(&lan, "eth0", 7), (&near, "lan", 1)] {
            ns.run(&format!("ip addr add 2001:db8:143::{host}/64 dev {interface}"))?;
            set_queue(ns, interface)?;
        }
        lan.run("ip route add 192.168.44.0/24 via 192.168.143.1")?;
        lan.run("ip route add 2001:db8:44::/64 via 2001:db8:143::1")?;

        let start = |ns: &Ns, name, config: Config| -> Result<(Daemon, Meter)> {
            let daemon = Daemon::start(ns, &run, name, &config)?;
            Ok((daemon, Meter::new(ns, &[(OVERLAY, VNI)])?))
        };
        let (near_at, far_at) = (endpoint(outer, 1, 1), endpoint(outer, 3, 2));
        let daemons = [
            start(&near, "near", configuration("near", &far_at, &NEAR, &FAR))?,
            start(&far, "far", configuration("far", &near_at, &FAR, &NEAR))?,
        ];
        // For a host behind it, near answers by ARP; over IPv6 nobody does, so it is named as
        // gateway.
        far.run("ip route add 2001:db8:143::7/128 via 2001:db8:43::1 dev vxlan43")?;
        let path = Self { daemons, lan, near, far, _routers: [first, second], outer, _run: run };
        for to in FAR_ADDRESSES {
            let result = ping(&path.near, None, to.parse()?, 3)?;
            let log = path.daemons[0].0.log();
            ensure!(result.all_answered(), "{outer:?}: {}\n{log}", result.output);
        }
        Ok(path)
    }

    fn inner_mtu(&self) -> u32 {
        NARROW - self.outer.overhead()
    }

    /// What the routing of a sender says of the path to `to`, once it knows.
    fn wait_for_mtu(&self, ns: &Ns, to: &str) -> Result<()> {
        let wanted = format!(" mtu {} ", self.inner_mtu());
        let deadline = Instant::now() + PATIENCE;
        let full = 1500 - self.outer.overhead() - if to.contains(':') { 48 } else { 28 };
        let mut pings = 0;
        loop {
            let route = format!("{} ", ns.run(&format!("ip route get {to}"))?.replace('\n', " "));
            if route.contains(&wanted) {
                println!("{:?}, {} to {to}: {pings} pings", self.outer, ns.name());
                return Ok(());
            }
            let known = route.contains(" mtu ");
            ensure!(!known, "{:?}, {}: not{wanted}but {route}", self.outer, ns.name());
            ensure!(
                Instant::now() < deadline,
                "{:?}, {}: no path MTU: {route}\n{}",
                self.outer,
                ns.name(),
                self.daemons[0].0.log()
            );
            // Too long for the path; the first one finds that out for the tunnel, a later one for
            // its sender.
            ns.output(&format!("ping -n -c 1 -W 0.2 -M do -s {full} {to}"))?;
            pings += 1;
        }
    }

    /// Nothing was lost but what was too long for the path, or said by IPv6 about its own link.
    /// `forwarded`: it came from behind `near`, whose own TCP has not counted it.
    fn settle(&self, before: &[Reading; 2], how: Merging, forwarded: bool) -> Result<()> {
        let now = self.read()?;
        let changes = [now[0].since(&before[0]), now[1].since(&before[1])];
        let mut ledger = Ledger::default();
        for (name, change) in ["near", "far"].into_iter().zip(&changes) {
            let expected = ["tx mtu_exceeded", "tx no_route"];
            let drops = expected
                .map(|reason| (reason, change.drops.get(reason).copied().unwrap_or_default()));
            let all = change.dropped("tx") + change.dropped("rx");
            ledger.equal(&format!("{name}: dropped"), all, drops.iter().map(|drop| drop.1).sum());
            if name == "far" {
                ledger.stack(name, change, &drops, how);
            } else if !forwarded {
                // Its stack gets more than was received: what the program says of too long packets.
                ledger.equal("near: sent and dropped", change.tx() + all, change.offered);
            }
        }
        ledger.close(&format!("{changes:?}"))
    }

    fn read(&self) -> Result<[Reading; 2]> {
        let [near, far] = &self.daemons;
        quiet(|| Ok([near.1.read(&near.0)?, far.1.read(&far.0)?]))
    }
}

const FAR_ADDRESSES: [&str; 2] = ["192.168.44.1", "2001:db8:44::1"];

/// A host's prefixes on the overlay, one for each family, and those of what is behind it.
struct Site {
    end: Host,
    behind: &'static [&'static str],
}

const NEAR: Site = Site { end: Host::A, behind: &["192.168.143.0/24", "2001:db8:143::/64"] };
const FAR: Site = Site { end: Host::B, behind: &[] };

impl Site {
    fn prefixes(&self) -> Vec<String> {
        let own = Family::BOTH.map(|family| self.end.prefix(family));
        own.into_iter().chain(self.behind.iter().map(|&net| net.to_owned())).collect()
    }
}

fn configuration(name: &str, peer: &str, own: &Site, other: &Site) -> Config {
    Config::new(name)
        .peer("peer", peer)
        .network(VNI, OVERLAY, &Family::BOTH.map(|family| own.end.address(family)))
        .list("local_ips", &own.prefixes())
        .member("peer", &other.prefixes())
}

/// Bulk TCP first, when nobody knows yet; then the exact values.
fn path_is_found(outer: Family) -> Result<()> {
    for to in FAR_ADDRESSES {
        let how = if to.contains(':') { Merging::TCP6 } else { Merging::TCP4 };
        let path = Path::new(outer)?;
        let address: IpAddr = to.parse()?;
        for (from, forwarded) in [(&path.near, false), (&path.lan, true)] {
            let before = path.read()?;
            let transfer = tcp_transfer(from, &path.far, address, BYTES)?;
            ensure!(transfer.intact() && transfer.bytes == BYTES, "{outer:?}: {transfer:?}");
            println!("{outer:?}, to {to}: {:.0} Mbit/s", transfer.mbit_per_second());
            path.settle(&before, how, forwarded)?;
            path.wait_for_mtu(from, to)?;
            // What fits exactly passes, and does so at once.
            let headers = if to.contains(':') { 48 } else { 28 };
            let options = format!("-i 0.02 -W 2 -M do -s {}", path.inner_mtu() - headers);
            let full = ping_with(from, None, address, 3, &options)?;
            ensure!(full.all_answered(), "{outer:?}: {}", full.output);
        }
    }
    Ok(())
}

#[test]
fn over_ipv4() -> Result<()> {
    path_is_found(Family::V4)
}

#[test]
fn over_ipv6() -> Result<()> {
    path_is_found(Family::V6)
}

/// The other way round from the start: a sender that is behind the host, and never spoke TCP.
#[test]
fn a_host_behind_ours_is_told_first() -> Result<()> {
    for outer in [Family::V4, Family::V6] {
        let path = Path::new(outer)?;
        for to in FAR_ADDRESSES {
            path.wait_for_mtu(&path.lan, to)?;
        }
    }
    Ok(())
}

/// Its packets come with a transport checksum that is still to be computed, and what it is told has
/// such a packet in it: on the way to it that checksum is put in, and the message's own must fit.
#[test]
fn a_host_behind_ours_leaves_checksums_to_its_card() -> Result<()> {
    for to in FAR_ADDRESSES {
        let path = Path::new(Family::V4)?;
        path.lan.run("ethtool -K eth0 tx on")?;
        let transfer = tcp_transfer(&path.lan, &path.far, to.parse()?, 1 << 20)?;
        ensure!(transfer.intact() && transfer.bytes == 1 << 20, "to {to}: {transfer:?}");
        let route = path.lan.run(&format!("ip route get {to}"))?;
        ensure!(route.contains(&format!(" mtu {} ", path.inner_mtu())), "nobody told: {route}");
    }
    Ok(())
}
