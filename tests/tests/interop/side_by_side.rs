//! A host of ours and a host with a kernel vxlan device beside each other, alike to the last byte:
//! the same addresses and MAC addresses, each on a cable of its own to one tester, which puts the
//! same frames on both.
//!
//! ```text
//!  ours ── tester ── kernel
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Netns, Ns, Run, Wire,
    daemon::Daemon,
    inject::inject,
    kernel_vxlan::KernelVxlan,
    link::{End, connect, mac_text},
    packet::{Eth, Ipv4, Mac, Packet, Udp, Vxlan},
    sniff::{Captured, Sniffer},
};

pub(crate) const VNI: u32 = 43;
/// Name of the overlay interface on both hosts, and where the tester sees what they send.
pub(crate) const OVERLAY: &str = "vxlan43";
pub(crate) const TESTER: [u8; 4] = [203, 0, 113, 1];
pub(crate) const HOST: [u8; 4] = [203, 0, 113, 2];
pub(crate) const INNER_HOST: [u8; 4] = [192, 168, 43, 1];
pub(crate) const INNER_STATION: [u8; 4] = [192, 168, 44, 7];
pub(crate) const INNER_HOST_V6: [u16; 8] = [0x2001, 0xdb8, 0x43, 0, 0, 0, 0, 1];
pub(crate) const INNER_STATION_V6: [u16; 8] = [0x2001, 0xdb8, 0x44, 0, 0, 0, 0, 7];
/// A station behind the tester.
pub(crate) const STATION: Mac = [2, 0, 0, 0, 0x44, 7];
const TESTER_MAC: Mac = [2, 0, 0, 0, 0, 1];
const HOST_MAC: Mac = [2, 0, 0, 0, 0, 2];
const OVERLAY_MAC: Mac = [2, 0, 0, 0, 0x43, 1];
const PATIENCE: Duration = Duration::from_secs(10);

/// Which of the two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Ours,
    Kernel,
}

impl Host {
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Kernel];

    /// The tester's end of its cable.
    pub(crate) fn cable(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Kernel => "kernel",
        }
    }
}

pub(crate) struct Beside {
    pub(crate) daemon: Daemon,
    pub(crate) tester: Netns,
    ours: Netns,
    kernel: Netns,
    /// Last: it must outlive the others.
    _run: Run,
}

impl Beside {
    pub(crate) fn new() -> Result<Self> {
        Self::with("", "")
    }

    /// `underlay` are more lines for that section of our configuration, `options` more words for
    /// the kernel's device.
    pub(crate) fn with(underlay: &str, options: &str) -> Result<Self> {
        let run = Run::new()?;
        let (tester, ours, kernel) =
            (run.netns("tester")?, run.netns("ours")?, run.netns("kernel")?);
        for (host, ns) in Host::BOTH.into_iter().zip([&ours, &kernel]) {
            ns.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
            connect(
                End { ns: &tester, interface: host.cable(), address: "203.0.113.1/24" },
                End { ns, interface: "eth0", address: "203.0.113.2/24" },
                1500,
                Wire::Real,
            )?;
            tester.run(&format!(
                "ip link set {} address {}",
                host.cable(),
                mac_text(TESTER_MAC)
            ))?;
            ns.run(&format!("ip link set eth0 address {}", mac_text(HOST_MAC)))?;
            ns.run(&format!("ip neigh add 203.0.113.1 dev eth0 lladdr {}", mac_text(TESTER_MAC)))?;
        }
        let mut daemon = Daemon::start(&ours, &run, "ours", &configuration(underlay))?;
        KernelVxlan::new(OVERLAY, VNI, HOST.into(), TESTER.into())
            .address("192.168.43.1/24")
            .address("2001:db8:43::1/64")
            .route("192.168.44.0/24")
            .route("2001:db8:44::/64")
            .options(options)
            .create(&kernel)?;
        kernel.run(&format!("ip link set {OVERLAY} address {}", mac_text(OVERLAY_MAC)))?;
        daemon.restart_with_mac(OVERLAY, OVERLAY_MAC)?;
        for ns in [&ours, &kernel] {
            for address in ["192.168.44.7", "2001:db8:44::7"] {
                ns.run(&format!(
                    "ip neigh add {address} dev {OVERLAY} lladdr {}",
                    mac_text(STATION)
                ))?;
            }
        }
        Ok(Self { daemon, tester, ours, kernel, _run: run })
    }

    pub(crate) fn ns(&self, host: Host) -> &Ns {
        match host {
            Host::Ours => &self.ours,
            Host::Kernel => &self.kernel,
        }
    }

    /// Puts these frames, once each, on both cables.
    pub(crate) fn send(&self, frames: &[Vec<u8>]) -> Result<()> {
        for host in Host::BOTH {
            let injected = inject(&self.tester, host.cable(), frames, frames.len() as u64)?;
            ensure!(injected.accepted == frames.len() as u64, "{host:?}: {injected:?}");
        }
        Ok(())
    }

    /// A capture of what the station sends, on the overlay interface of each host.
    pub(crate) fn watch(&self) -> Result<Watch> {
        let start = |host| {
            Sniffer::start(self.ns(host), OVERLAY, |frame| frame.get(6..12) == Some(&STATION))
        };
        Ok(Watch { sniffers: [start(Host::Ours)?, start(Host::Kernel)?] })
    }

    /// One counter of the daemon: packets dropped on receive for this reason, whoever sent them.
    pub(crate) fn dropped(&self, reason: &str) -> Result<u64> {
        let labels = [("direction", "rx"), ("reason", reason)];
        Ok(self.daemon.metrics()?.total("vxlan_drops_total", &labels) as u64)
    }

    /// All that the daemon has received: accepted, and dropped for any reason.
    pub(crate) fn received(&self) -> Result<[u64; 2]> {
        let metrics = self.daemon.metrics()?;
        let total = |name| metrics.total(name, &[("direction", "rx")]) as u64;
        Ok([total("vxlan_packets_total"), total("vxlan_drops_total")])
    }
}

/// Captures on both hosts.
pub(crate) struct Watch {
    sniffers: [Sniffer; 2],
}

impl Watch {
    /// What has arrived on each, once `last` has: the wire keeps the order, so all before it was
    /// looked at by then.
    pub(crate) fn until(&self, last: &[u8]) -> Result<[Vec<Captured>; 2]> {
        for (host, sniffer) in Host::BOTH.into_iter().zip(&self.sniffers) {
            let arrived = sniffer.wait_until(PATIENCE, |frames| {
                frames.last().is_some_and(|captured| captured.frame == last)
            });
            ensure!(arrived, "{host:?}: the last frame has not arrived");
        }
        Ok(self.sniffers.each_ref().map(|sniffer| sniffer.wait_for(0, Duration::ZERO)))
    }
}

/// Outer headers from the tester to the host; a VXLAN header goes inside.
pub(crate) fn outer(tos: u8) -> Packet {
    let ip = Ipv4::new(TESTER, HOST).tos(tos);
    Packet::new().with(Eth::new(HOST_MAC, TESTER_MAC)).with(ip).with(Udp::vxlan(50_000))
}

/// The whole packet that carries `inner`.
pub(crate) fn tunnelled(tos: u8, vxlan: Vxlan, inner: Packet) -> Vec<u8> {
    outer(tos).with(vxlan).carrying(inner).build().to_vec()
}

/// Ethernet header from the station to the overlay interface.
pub(crate) fn inner() -> Packet {
    Packet::new().with(Eth::new(OVERLAY_MAC, STATION))
}

fn configuration(underlay: &str) -> Config {
    Config::new("ours")
        .lines(underlay)
        .peer("tester", "203.0.113.1")
        .set("source_port", "any")
        .network(VNI, OVERLAY, &["192.168.43.1/24", "2001:db8:43::1/64"])
        .member("tester", &["192.168.44.0/24", "2001:db8:44::/64"])
}
