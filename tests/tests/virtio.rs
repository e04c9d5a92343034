//! Native XDP where a driver for virtual machines has it: two virtio network cards of this machine,
//! with nothing but a wire between them, each in a namespace of its own. `cargo xtask vm` makes such
//! a machine and names the cards; without it there is nothing to test here.

use std::{
    env, fs,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Netns, Ns, Run,
    daemon::Daemon,
    kernel::left_out,
    kernel_vxlan::KernelVxlan,
    traffic::{ping, tcp_transfer},
};
use vxlan_user::host::VirtioFeatures;

/// MAC addresses of the two cards, with a comma between them.
const CARDS: &str = "VXLAN_TEST_CARDS";
const PATIENCE: Duration = Duration::from_secs(20);
const BYTES: u64 = 2_000_000;

const A: &str = r#"
[node]
name = "a"
[underlay]
interface = "eth0"
address = "203.0.113.1"
xdp = "native"
[[peer]]
name = "b"
endpoint = "203.0.113.2"
[[network]]
vni = 43
interface = "vxlan43"
addresses = ["192.168.43.1/24"]
[[network.member]]
peer = "b"
allowed_ips = ["192.168.44.0/24"]
"#;

/// The same as the other end sees it.
fn b() -> String {
    A.replace("\"a\"", "\"?\"")
        .replace("\"b\"", "\"a\"")
        .replace("\"?\"", "\"b\"")
        .replace("endpoint = \"203.0.113.2\"", "endpoint = \"203.0.113.?\"")
        .replace("address = \"203.0.113.1\"", "address = \"203.0.113.2\"")
        .replace("203.0.113.?", "203.0.113.1")
        .replace("192.168.43.1/24", "192.168.44.1/24")
        .replace("192.168.44.0/24", "192.168.43.0/24")
}

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

    fn ns(&self) -> [&Ns; 2] {
        [&self.a, &self.b]
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
    let deadline = Instant::now() + PATIENCE;
    loop {
        for entry in fs::read_dir("/sys/class/net")?.filter_map(Result::ok) {
            let address = fs::read_to_string(entry.path().join("address")).unwrap_or_default();
            if address.trim() == mac {
                return Ok(entry.file_name().to_string_lossy().into_owned());
            }
        }
        ensure!(Instant::now() < deadline, "no network card has the MAC address {mac}");
        thread::sleep(Duration::from_millis(10));
    }
}

const OVERLAY: [[u8; 4]; 2] = [[192, 168, 43, 1], [192, 168, 44, 1]];

/// Pings and a stream each way, through the tunnel.
fn assert_carries(cards: &Cards) -> Result<()> {
    for (from, to) in [(0, 1), (1, 0)] {
        let (source, target): (IpAddr, IpAddr) = (OVERLAY[from].into(), OVERLAY[to].into());
        let ns = cards.ns();
        let answers = ping(ns[from], Some(source), target, 10)?;
        ensure!(answers.all_answered(), "{}", answers.output);
        let sent = tcp_transfer(ns[from], ns[to], target, BYTES)?;
        ensure!(sent.intact() && sent.bytes == BYTES, "{sent:?}");
    }
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
    let a = Daemon::start(&cards.a, &cards.run, "a", A)?;
    let b = Daemon::start(&cards.b, &cards.run, "b", &b())?;
    assert_carries(&cards)?;
    assert_native(&a, &cards.a)?;
    assert_native(&b, &cards.b)?;
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
    let config = A.replace("name = \"b\"\n", "name = \"b\"\nsource_port = \"any\"\n");
    let a = Daemon::start(&cards.a, &cards.run, "a", &config)?;
    KernelVxlan::new("vx0", 43, [203, 0, 113, 2].into(), [203, 0, 113, 1].into())
        .address("192.168.44.1/24")
        .route("192.168.43.0/24")
        .create(&cards.b)?;
    assert_carries(&cards)?;
    assert_native(&a, &cards.a)?;
    a.stop()
}
