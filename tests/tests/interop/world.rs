//! One wire, the daemon on its near end `a`, and a stock kernel vxlan device on its far end `b`.

use anyhow::{Context as _, Result};
use vxlan_tests::{
    Pair, Wire,
    daemon::Daemon,
    two_hosts::{Family, OVERLAY, Side, Tunnel, TwoHosts as _, VNI},
};

use crate::{
    far_end::FarEnd,
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

/// The daemon's end, and the kernel's with its device.
pub(crate) const OURS: Side = Side::A;
pub(crate) const KERNEL: Side = Side::B;
pub(crate) const DEVICE: &str = "vx0";

pub(crate) struct World {
    meter: Meter,
    pub(crate) daemon: Daemon,
    pub(crate) wire: Wire,
    /// What carries the traffic; IPv6 is beside IPv4, with all that it says by itself.
    pub(crate) inner: Family,
    /// Last: it must outlive the others.
    pub(crate) pair: Pair,
}

/// Both ends at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) ours: Reading,
    far: FarEnd,
}

impl World {
    /// Ready on our side; the far end has no tunnel yet.
    pub(crate) fn half(wire: Wire, inner: Family) -> Result<Self> {
        Self::half_with(wire, inner, "")
    }

    fn half_with(wire: Wire, inner: Family, underlay: &str) -> Result<Self> {
        let pair = Pair::counted(Family::V4, wire)?;
        for ns in [&pair.a, &pair.b] {
            // A host with IPv6 looks for duplicates and routers; one without stays silent.
            let (chatter, addresses) = if inner == Family::V6 { ("1", "0") } else { ("0", "1") };
            ns.sysctl("net.ipv6.conf.default.accept_dad", chatter)?;
            ns.sysctl("net.ipv6.conf.default.accept_ra", chatter)?;
            ns.sysctl("net.ipv6.conf.default.addr_gen_mode", addresses)?;
        }
        // On a wire of that kind nobody computes them.
        let ignore = if wire == Wire::Default { "udp_checksum = \"ignore\"\n" } else { "" };
        let underlay = format!("address = \"{}\"\n{ignore}{underlay}", pair.a_address);
        let config = Tunnel { underlay: &underlay, ..tunnel(inner) }.config(OURS);
        let daemon = Daemon::start(&pair.a, &pair.run, "ours", &config)?;
        let meter = Meter::new(&pair.a, &[(OVERLAY, VNI)])?;
        Ok(Self { meter, daemon, wire, inner, pair })
    }

    pub(crate) fn new(wire: Wire, inner: Family) -> Result<Self> {
        Self::with(wire, inner, "")
    }

    /// `underlay` are more lines for that section of the configuration.
    pub(crate) fn with(wire: Wire, inner: Family, underlay: &str) -> Result<Self> {
        let world = Self::half_with(wire, inner, underlay)?;
        world.add_kernel()?;
        Ok(world)
    }

    /// Makes the kernel's device.
    pub(crate) fn add_kernel(&self) -> Result<()> {
        tunnel(self.inner).kernel(KERNEL, DEVICE).create(&self.pair.b).map(drop)
    }

    pub(crate) fn read(&self) -> Result<Moment> {
        Ok(Moment {
            ours: self.meter.read(&self.daemon)?,
            far: FarEnd::read(&self.pair.b, DEVICE)?,
        })
    }

    /// Both ends at a moment when nothing is on its way.
    pub(crate) fn rest(&self) -> Result<Moment> {
        quiet(|| self.read())
    }

    /// After everything has come to rest: is what happened since `before` conserved, with exactly
    /// these drops on our side? Returns our side's account of it.
    pub(crate) fn settle(
        &self,
        before: &Moment,
        drops: &[(&str, u64)],
        how: Merging,
    ) -> Result<Reading> {
        self.settle_with(before, how, |_| Ok(drops.to_vec()))
    }

    /// Like [`World::settle`], with drops that are only known at rest.
    pub(crate) fn settle_with<'n>(
        &self,
        before: &Moment,
        how: Merging,
        drops: impl Fn(&Self) -> Result<Vec<(&'n str, u64)>>,
    ) -> Result<Reading> {
        let (now, drops) = quiet(|| Ok((self.read()?, drops(self)?)))?;
        let ours = now.ours.since(&before.ours);
        let mut ledger = Ledger::default();
        ledger.host("ours", &ours, &drops, how);
        let network = ours.networks.get(&VNI).copied().unwrap_or_default();
        let far = now.far.since(&before.far);
        far.check(&mut ledger, &network, ours.dropped("rx"), self.wire, how);
        ledger.close(&format!("{:?}, {:?}: {ours:?}, {far:?}", self.wire, self.inner))?;
        Ok(ours)
    }

    /// So many pings from one end to the other, all answered.
    pub(crate) fn ping(&self, from: Side, count: u32) -> Result<()> {
        let pings = self.pair.ping(from, self.inner, count);
        pings.with_context(|| {
            format!("{:?}, {:?}", self.wire, self.daemon.metrics().map(|page| page.drops()))
        })
    }

    /// A TCP transfer from one end to the other, intact.
    pub(crate) fn transfer(&self, from: Side, bytes: u64) -> Result<()> {
        let transfer = self.pair.transfer(from, self.inner, bytes);
        transfer.with_context(|| format!("{:?}", self.wire)).map(drop)
    }
}

fn tunnel(inner: Family) -> Tunnel<'static> {
    let inner: &[Family] = if inner == Family::V4 { &[Family::V4] } else { &Family::BOTH };
    Tunnel { inner, peer: Tunnel::TO_KERNEL, ..Tunnel::default() }
}
