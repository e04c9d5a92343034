//! The set-up of the origin notes: 192.168.43.0/24 in one cloud and 192.168.44.0/24 in another,
//! joined by one VNI, ours on both sides, each behind a 1:1 NAT.

use anyhow::{Result, ensure};
use vxlan_tests::{
    Ns, TwoClouds, Wire,
    daemon::Daemon,
    lab::{Side, VNI},
    link::mac_text,
    traffic::{ping, tcp_transfer},
};

use crate::{
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

/// Two clouds with the configuration of the lab.
pub(crate) struct Clouds {
    meters: [Meter; 2],
    daemons: [Daemon; 2],
    /// Last: it must outlive the others.
    pub(crate) clouds: TwoClouds,
}

impl Clouds {
    pub(crate) fn new(wire: Wire) -> Result<Self> {
        let clouds = TwoClouds::new(wire)?;
        // No ARP on the hosts' underlay, so that all that arrives there is the tunnel's.
        know(&clouds.gcp, &clouds.gcp_router, Side::Gcp)?;
        know(&clouds.aws, &clouds.aws_router, Side::Aws)?;
        let start = |ns: &Ns, side: Side| {
            Daemon::start(ns, &clouds.run, side.name(), &side.configuration())
        };
        let daemons = [start(&clouds.gcp, Side::Gcp)?, start(&clouds.aws, Side::Aws)?];
        let meters = [
            Meter::new(&clouds.gcp, &[(&Side::Gcp.interface(), VNI)])?,
            Meter::new(&clouds.aws, &[(&Side::Aws.interface(), VNI)])?,
        ];
        Ok(Self { meters, daemons, clouds })
    }

    pub(crate) fn ns(&self, side: Side) -> &Ns {
        match side {
            Side::Gcp => &self.clouds.gcp,
            Side::Aws => &self.clouds.aws,
        }
    }

    /// What each side has counted, when all is at rest.
    pub(crate) fn read(&self) -> Result<[Reading; 2]> {
        quiet(|| {
            let read = |side: usize| self.meters[side].read(&self.daemons[side]);
            Ok([read(0)?, read(1)?])
        })
    }

    /// Is all that happened since `before` conserved on both sides and between them, with exactly
    /// these drops on the receiving side `to`? Returns both accounts.
    pub(crate) fn settle(
        &self,
        before: &[Reading; 2],
        to: Side,
        drops: &[(&str, u64)],
        how: Merging,
    ) -> Result<[Reading; 2]> {
        let now = self.read()?;
        let change = [now[0].since(&before[0]), now[1].since(&before[1])];
        let mut ledger = Ledger::default();
        for side in Side::BOTH {
            let (mine, theirs) = (&change[side as usize], &change[side.other() as usize]);
            let name = side.name();
            ledger.host(name, mine, if side == to { drops } else { &[] }, how);
            let what = format!("{name} sent against what arrived at the other side");
            ledger.equal(&what, mine.tx(), theirs.arrived);
            if drops.is_empty() {
                let bytes = |of: &Reading| of.networks.get(&VNI).copied().unwrap_or_default();
                let what = format!("{name}: bytes sent against received by the other side");
                ledger.equal(&what, bytes(mine).tx_bytes, bytes(theirs).rx_bytes);
            }
            // Both routers rewrite every packet, and ours notices on each that it accepts.
            for (field, count) in
                [("source", mine.rewritten_source), ("destination", mine.rewritten_destination)]
            {
                let what = format!("{name}: received against a rewritten {field}");
                ledger.equal(&what, mine.rx(), count);
            }
        }
        ledger.close(&format!("{change:?}"))?;
        Ok(change)
    }

    pub(crate) fn ping(&self, from: Side, count: u32) -> Result<()> {
        let to = from.other().overlay().into();
        let result = ping(self.ns(from), Some(from.overlay().into()), to, count)?;
        ensure!(result.all_answered(), "from {}: {}", from.name(), result.output);
        Ok(())
    }
}

/// Host and router know each other's MAC address for good.
fn know(host: &Ns, router: &Ns, side: Side) -> Result<()> {
    let (router_mac, host_mac) = (mac_text(router.mac("lan")?), mac_text(host.mac("eth0")?));
    host.run(&format!("ip neigh replace 10.0.0.1 dev eth0 lladdr {router_mac}"))?;
    let host_address = side.private();
    router.run(&format!("ip neigh replace {host_address} dev lan lladdr {host_mac}")).map(drop)
}

#[test]
fn two_subnets_are_one_network_through_nat_on_both_sides() -> Result<()> {
    const BYTES: u64 = 50 << 20;
    for wire in [Wire::Default, Wire::Real] {
        let clouds = Clouds::new(wire)?;
        let before = clouds.read()?;
        for from in Side::BOTH {
            clouds.ping(from, 20)?;
        }
        let change = clouds.settle(&before, Side::Aws, &[], Merging::None)?;
        ensure!(change.iter().all(|side| side.rx() > 40), "{change:?}");
        for from in Side::BOTH {
            let before = clouds.read()?;
            let to = from.other();
            let address = to.overlay().into();
            let transfer = tcp_transfer(clouds.ns(from), clouds.ns(to), address, BYTES)?;
            ensure!(transfer.intact() && transfer.bytes == BYTES, "{transfer:?}");
            println!("{wire:?}, from {from:?}: {:.0} Mbit/s", transfer.mbit_per_second());
            clouds.settle(&before, to, &[], Merging::TCP4)?;
        }
    }
    Ok(())
}
