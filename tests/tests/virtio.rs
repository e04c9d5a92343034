//! Native XDP where a driver for virtual machines has it: two virtio network cards of this machine,
//! with nothing but a wire between them, each in a namespace of its own. `cargo xtask vm` makes
//! such a machine and names the cards; without it there is nothing to test here.

use std::{
    env, fs,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Netns, Ns, Run,
    conserve::driver_stats,
    daemon::Daemon,
    kernel::left_out,
    traffic::udp_exchange,
    two_hosts::{Family, OVERLAY, Side, Tunnel, TwoHosts},
    wait::wait_until,
};
use vxlan_user::host::VirtioFeatures;

/// MAC addresses of the two cards, with a comma between them.
const CARDS: &str = "VXLAN_TEST_CARDS";
const PATIENCE: Duration = Duration::from_secs(20);
const BYTES: u64 = 2_000_000;
const DATAGRAMS: u64 = 500;

/// `xdp = "native"`, or no start.
const TUNNEL: Tunnel<'_> =
    Tunnel { outer: Family::V4, inner: &[Family::V4], underlay: "xdp = \"native\"", peer: "" };

/// The two cards, at the two ends of a wire. There is one pair for all tests.
struct Cards {
    a: Netns,
    b: Netns,
    run: Run,
    _only: MutexGuard<'static, ()>,
}

impl Cards {
    /// Nothing where there are none.
    fn take() -> Result<Option<Self>> {
        static ONLY: Mutex<()> = Mutex::new(());
        let only = ONLY.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(macs) = env::var(CARDS) else {
            left_out("needs two virtio network cards, which `cargo xtask vm` has");
            return Ok(None);
        };
        let run = Run::new()?;
        let cards = Self { a: run.netns("a")?, b: run.netns("b")?, run, _only: only };
        for (mac, ns, address) in macs
            .split(',')
            .zip([&cards.a, &cards.b])
            .zip(["203.0.113.1/24", "203.0.113.2/24"])
            .map(|((mac, ns), address)| (mac, ns, address))
        {
            let name = card(mac)?;
            // As the pre-flight reads it; qemu's cards can be told everything.
            let features =
                VirtioFeatures::read(&name, bytes(mac)?).context("no virtio features")?;
            ensure!(!features.leaves_checksums(), "{features:?}");
            for line in [
                format!("ip link set {name} down"),
                format!("ip link set {name} netns {} name eth0", ns.name()),
            ] {
                let mut words = line.split(' ');
                let mut command = std::process::Command::new(words.next().context("a word")?);
                vxlan_tests::cmd::run(command.args(words))?;
            }
            ns.run(&format!("ip addr add {address} dev eth0"))?;
            ns.run("ip link set eth0 up")?;
        }
        Ok(Some(cards))
    }
}

impl TwoHosts for Cards {
    fn ns(&self, end: Side) -> &Ns {
        match end {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// A MAC address, as `ip link` writes it.
fn bytes(mac: &str) -> Result<[u8; 6]> {
    let bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().with_context(|| mac.to_owned())?;
    bytes.try_into().ok().with_context(|| mac.to_owned())
}

/// The interface with that MAC address. A card comes back here some time after its namespace went.
fn card(mac: &str) -> Result<String> {
    let mut found = None;
    wait_until(&format!("a network card with the MAC address {mac}"), PATIENCE, || {
        found = fs::read_dir("/sys/class/net")?.filter_map(Result::ok).find(|entry| {
            let address = fs::read_to_string(entry.path().join("address")).unwrap_or_default();
            address.trim() == mac
        });
        Ok(found.is_some())
    })?;
    Ok(found.context("no card")?.file_name().to_string_lossy().into_owned())
}

/// Pings, a stream and datagrams each way, through the tunnel.
fn assert_carries(cards: &Cards) -> Result<()> {
    for from in Side::BOTH {
        cards.ping(from, Family::V4, 10)?;
        cards.transfer(from, Family::V4, BYTES)?;
        let (near, far) = (cards.ns(from), cards.ns(from.other()));
        for size in [18, 1_400] {
            let to = from.other().overlay(Family::V4);
            let udp = udp_exchange(near, far, to, DATAGRAMS, size, 2_000)?;
            ensure!((udp.received, udp.damaged) == (DATAGRAMS, 0), "{from:?}, {size} B: {udp:?}");
        }
    }
    Ok(())
}

/// A card's datagrams are redirected by default.
fn assert_redirects(ns: &Ns) -> Result<()> {
    let stats = driver_stats(ns, OVERLAY)?;
    let queues = stats.iter().filter(|(name, _)| name.ends_with("_xdp_packets"));
    let frames: u64 = queues.map(|(_, count)| count).sum();
    ensure!(frames >= 2 * DATAGRAMS, "{frames} frames were redirected: {stats:?}");
    Ok(())
}

/// It is native by the kernel's word and by the metric's; and packets came that way.
fn assert_native(daemon: &Daemon, ns: &Ns) -> Result<()> {
    let links: serde_json::Value = serde_json::from_str(&ns.run("ip -d -j link show eth0")?)?;
    ensure!(links[0]["xdp"]["mode"] == 1, "XDP of the card: {}", links[0]["xdp"]);
    let metrics = daemon.metrics()?;
    let labels = [("interface", "eth0"), ("mode", "native")];
    ensure!(metrics.total("vxlan_xdp_info", &labels) == 1.0, "vxlan_xdp_info is not native");
    let received = metrics.total("vxlan_packets_total", &[("direction", "rx")]);
    // Ten answers, ten requests, and a segment at a time.
    ensure!(received > 20.0 + BYTES as f64 / 1500.0, "{received} packets received");
    Ok(())
}

#[test]
fn two_cards_with_native_xdp() -> Result<()> {
    let Some(cards) = Cards::take()? else { return Ok(()) };
    let a = Daemon::start(&cards.a, &cards.run, "a", &TUNNEL.config(Side::A))?;
    let b = Daemon::start(&cards.b, &cards.run, "b", &TUNNEL.config(Side::B))?;
    assert_carries(&cards)?;
    assert_native(&a, &cards.a)?;
    assert_native(&b, &cards.b)?;
    assert_redirects(&cards.a)?;
    assert_redirects(&cards.b)?;
    // A restart finds its program on the card.
    let mut a = a;
    a.terminate()?;
    a.launch()?;
    assert_carries(&cards)?;
    assert_native(&a, &cards.a)?;
    a.stop()?;
    b.stop()
}

#[test]
fn one_card_with_native_xdp_and_the_kernels_tunnel() -> Result<()> {
    let Some(cards) = Cards::take()? else { return Ok(()) };
    // The kernel's device does not know our inner checks of source ports.
    let tunnel = Tunnel { peer: Tunnel::TO_KERNEL, ..TUNNEL };
    let a = Daemon::start(&cards.a, &cards.run, "a", &tunnel.config(Side::A))?;
    tunnel.kernel(Side::B, "vx0").create(&cards.b)?;
    assert_carries(&cards)?;
    assert_native(&a, &cards.a)?;
    a.stop()
}
