//! One wire, the daemon on its near end `a`, and a stock kernel vxlan device on its far end `b`.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use vxlan_tests::{
    Ns, Pair, Wire,
    daemon::Daemon,
    kernel_vxlan::KernelVxlan,
    link::set_queue,
    traffic::{ping, tcp_transfer},
};

use crate::{
    far_end::FarEnd,
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

pub(crate) const VNI: u32 = 43;
pub(crate) const OURS: &str = "vxlan43";
pub(crate) const KERNELS: &str = "vx0";

/// What the tunnel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inner {
    Ipv4,
    /// IPv6 beside IPv4, with all that it says by itself.
    Ipv6,
}

pub(crate) struct World {
    meter: Meter,
    pub(crate) daemon: Daemon,
    pub(crate) wire: Wire,
    pub(crate) inner: Inner,
    /// Last: it must outlive the others.
    pub(crate) pair: Pair,
}

/// Both ends at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) ours: Reading,
    far: FarEnd,
}

/// The two ends by their role in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Ours,
    Kernel,
}

impl World {
    /// Ready on our side; the far end has no tunnel yet.
    pub(crate) fn half(wire: Wire, inner: Inner) -> Result<Self> {
        Self::half_with(wire, inner, "")
    }

    fn half_with(wire: Wire, inner: Inner, underlay: &str) -> Result<Self> {
        let pair = Pair::new(wire)?;
        pair.static_neighbours()?;
        set_queue(&pair.a, "eth0")?;
        set_queue(&pair.b, "eth0")?;
        for ns in [&pair.a, &pair.b] {
            // A host with IPv6 looks for duplicates and routers; one without stays silent.
            let (chatter, addresses) = if inner == Inner::Ipv6 { ("1", "0") } else { ("0", "1") };
            ns.sysctl("net.ipv6.conf.default.accept_dad", chatter)?;
            ns.sysctl("net.ipv6.conf.default.accept_ra", chatter)?;
            ns.sysctl("net.ipv6.conf.default.addr_gen_mode", addresses)?;
        }
        // On a wire of that kind nobody computes them.
        let ignore = if wire == Wire::Default { "udp_checksum = \"ignore\"\n" } else { "" };
        let config = configuration(inner, &format!("{ignore}{underlay}"));
        let daemon = Daemon::start(&pair.a, &pair.run, "ours", &config)?;
        let meter = Meter::new(&pair.a, &[(OURS, VNI)])?;
        Ok(Self { meter, daemon, wire, inner, pair })
    }

    pub(crate) fn new(wire: Wire, inner: Inner) -> Result<Self> {
        Self::with(wire, inner, "")
    }

    /// `underlay` are more lines for that section of the configuration.
    pub(crate) fn with(wire: Wire, inner: Inner, underlay: &str) -> Result<Self> {
        let world = Self::half_with(wire, inner, underlay)?;
        world.add_kernel()?;
        Ok(world)
    }

    /// Makes the kernel's device.
    pub(crate) fn add_kernel(&self) -> Result<()> {
        let Pair { a_address, b_address, .. } = self.pair;
        let mut device = KernelVxlan::new(KERNELS, VNI, b_address, a_address)
            .address("192.168.44.1/24")
            .route("192.168.43.0/24");
        if self.inner == Inner::Ipv6 {
            device = device.address("2001:db8:44::1/64").route("2001:db8:43::/64");
        }
        device.create(&self.pair.b).map(drop)
    }

    pub(crate) fn ns(&self, end: End) -> &Ns {
        match end {
            End::Ours => &self.pair.a,
            End::Kernel => &self.pair.b,
        }
    }

    pub(crate) fn address(&self, end: End) -> IpAddr {
        match (end, self.inner) {
            (End::Ours, Inner::Ipv4) => [192, 168, 43, 1].into(),
            (End::Kernel, Inner::Ipv4) => [192, 168, 44, 1].into(),
            (End::Ours, Inner::Ipv6) => [0x2001, 0xdb8, 0x43, 0, 0, 0, 0, 1].into(),
            (End::Kernel, Inner::Ipv6) => [0x2001, 0xdb8, 0x44, 0, 0, 0, 0, 1].into(),
        }
    }

    pub(crate) fn read(&self) -> Result<Moment> {
        Ok(Moment {
            ours: self.meter.read(&self.daemon)?,
            far: FarEnd::read(&self.pair.b, KERNELS)?,
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

    /// `count` pings from one end to the other, all answered.
    pub(crate) fn ping(&self, from: End, count: u32) -> Result<()> {
        let result =
            ping(self.ns(from), Some(self.address(from)), self.address(from.other()), count)?;
        let output = result.output;
        let drops: Vec<_> = self
            .daemon
            .metrics()?
            .named("vxlan_drops_total")
            .filter(|sample| sample.value > 0.0)
            .cloned()
            .collect();
        ensure!(result.received == count, "{:?}, from {from:?}, {drops:?}: {output}", self.wire);
        Ok(())
    }

    /// A TCP transfer from one end to the other, intact.
    pub(crate) fn transfer(&self, from: End, bytes: u64) -> Result<()> {
        let to = from.other();
        let transfer = tcp_transfer(self.ns(from), self.ns(to), self.address(to), bytes)?;
        ensure!(transfer.intact(), "{:?}, from {from:?}: digests differ", self.wire);
        ensure!(transfer.bytes == bytes, "{bytes} bytes sent, {} arrived", transfer.bytes);
        let rate = transfer.mbit_per_second();
        println!("{:?}, {:?}, from {from:?}: {rate:.0} Mbit/s", self.wire, self.inner);
        Ok(())
    }
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Kernel];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Ours => Self::Kernel,
            Self::Kernel => Self::Ours,
        }
    }
}

fn configuration(inner: Inner, underlay: &str) -> String {
    let (address, allowed) = match inner {
        Inner::Ipv4 => ("", ""),
        Inner::Ipv6 => (r#", "2001:db8:43::1/64""#, r#", "2001:db8:44::/64""#),
    };
    format!(
        r#"[node]
name = "ours"

[underlay]
interface = "eth0"
address = "203.0.113.1"
{underlay}

[[peer]]
name = "kernel"
endpoint = "203.0.113.2:4789"
source_port = "any"

[[network]]
vni = {VNI}
interface = "{OURS}"
addresses = ["192.168.43.1/24"{address}]

[[network.member]]
peer = "kernel"
allowed_ips = ["192.168.44.0/24"{allowed}]
"#
    )
}
