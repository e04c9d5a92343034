//! The harness itself: does the network it builds behave as drawn, do its counts agree with the
//! kernel's, and does it leave nothing behind. The product has no part in these.

use std::{
    env,
    fs::{self, read_to_string},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Netns, Pair, Run, TwoClouds, Wire,
    conserve::{NftCounter, driver_stats, link_stats},
    daemon::Daemon,
    inject::inject,
    kernel_vxlan::KernelVxlan,
    packet::{Eth, Icmp, Ipv4, Packet, Udp, fields},
    proxy::Proxy,
    sniff::Sniffer,
    sweep,
    traffic::{ping, ping_with, tcp_transfer, udp_exchange},
};

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn nat_rewrites_addresses_on_the_way_between_the_clouds() -> Result<()> {
    for wire in [Wire::Default, Wire::Real] {
        let clouds = TwoClouds::new(wire)?;
        let arriving = Sniffer::start(&clouds.aws, "eth0", |frame| {
            is_field(frame, "ipv4 protocol", &[1]) && is_field(frame, "icmp type", &[8])
        })?;
        let result = ping(&clouds.gcp, None, TwoClouds::AWS_PUBLIC.into(), 3)?;
        ensure!(result.all_answered(), "{wire:?}: {}", result.output);
        assert!(result.average_ms.is_some());
        let seen = arriving.wait_for(3, PATIENCE);
        assert_eq!(seen.len(), 3);
        for captured in &seen {
            assert!(!captured.outgoing);
            let public = TwoClouds::GCP_PUBLIC.octets();
            assert!(is_field(&captured.frame, "ipv4 src", &public), "source is not rewritten");
            let private = TwoClouds::AWS_PRIVATE.octets();
            assert!(
                is_field(&captured.frame, "ipv4 dst", &private),
                "destination is not rewritten"
            );
        }
        let back = ping(&clouds.aws, None, TwoClouds::GCP_PUBLIC.into(), 3)?;
        ensure!(back.all_answered(), "{wire:?}: {}", back.output);
    }
    Ok(())
}

#[test]
fn gcp_has_the_smaller_mtu_and_says_so() -> Result<()> {
    let clouds = TwoClouds::new(Wire::Real)?;
    let to = TwoClouds::AWS_PUBLIC.into();
    // 28 bytes of headers.
    assert!(ping_with(&clouds.gcp, None, to, 1, "-s 1432 -M do")?.all_answered());
    assert_eq!(ping_with(&clouds.gcp, None, to, 1, "-s 1433 -M do -W 1")?.received, 0);
    Ok(())
}

#[test]
fn private_addresses_do_not_cross_the_internet() -> Result<()> {
    let clouds = TwoClouds::new(Wire::Default)?;
    let result = ping_with(&clouds.gcp, None, TwoClouds::AWS_PRIVATE.into(), 1, "-W 1")?;
    assert_eq!((result.sent, result.received), (1, 0));
    Ok(())
}

#[test]
fn kernel_vxlan_devices_talk_to_each_other() -> Result<()> {
    for wire in [Wire::Default, Wire::Real] {
        let pair = Pair::new(wire)?;
        let (a, b) = overlay(&pair)?;
        let result = ping(&pair.a, Some(a), b, 5)?;
        ensure!(result.all_answered(), "{wire:?}: {}", result.output);
        for (client, server, address) in [(&pair.a, &pair.b, b), (&pair.b, &pair.a, a)] {
            let transfer = tcp_transfer(client, server, address, 100_000_000)?;
            assert_eq!(transfer.bytes, 100_000_000);
            assert!(transfer.intact(), "{wire:?}: digests differ");
            println!("{wire:?}: {:.0} Mbit/s", transfer.mbit_per_second());
        }
        let udp = udp_exchange(&pair.a, &pair.b, b, 5_000, 1_000, 50_000)?;
        assert_eq!((udp.sent, udp.received), (5_000, 5_000), "{wire:?}");
        assert_eq!((udp.duplicates, udp.damaged), (0, 0), "{wire:?}");
    }
    Ok(())
}

#[test]
fn a_transfer_without_a_way_fails_and_does_not_hang() -> Result<()> {
    let pair = Pair::new(Wire::Default)?;
    pair.a.run("ip link set eth0 down")?;
    assert!(tcp_transfer(&pair.a, &pair.b, pair.b_address, 1_000).is_err());
    Ok(())
}

#[test]
fn udp_loss_is_counted_exactly() -> Result<()> {
    let pair = Pair::new(Wire::Default)?;
    // Drops every second datagram before the socket.
    pair.b.run_with_input(
        "nft -f -",
        "table inet t {
            chain c {
                type filter hook input priority 0;
                ip protocol udp numgen inc mod 2 0 drop
            }
        }",
    )?;
    let udp = udp_exchange(&pair.a, &pair.b, pair.b_address, 1_000, 100, 100_000)?;
    assert_eq!((udp.sent, udp.received), (1_000, 500));
    Ok(())
}

#[test]
fn injector_sniffer_and_kernel_count_the_same() -> Result<()> {
    const TOTAL: u64 = 50_000;
    for wire in [Wire::Default, Wire::Real] {
        let pair = Pair::new(wire)?;
        let frames = udp_frames(&pair)?;
        // Else the answer to the first refused datagram asks for a MAC address, and gets a frame.
        pair.static_neighbours()?;
        let sniffer =
            Sniffer::start(&pair.b, "eth0", |frame| is_field(frame, "udp dst port", &[0, 9]))?;
        let counter = NftCounter::prerouting(&pair.b, "eth0", "udp dport 9")?;
        let ingress = NftCounter::ingress(&pair.b, "eth0", "")?;
        let before = link_stats(&pair.b, "eth0")?;
        let injected = inject(&pair.a, "eth0", &frames, TOTAL)?;
        assert_eq!(injected.accepted, TOTAL);
        let seen = sniffer.wait_for(TOTAL as usize, PATIENCE).len() as u64;
        let capture = sniffer.finish()?;
        assert_eq!((seen, capture.lost), (TOTAL, 0), "{wire:?}: {injected:?}");
        let after = link_stats(&pair.b, "eth0")?;
        assert_eq!(after.rx_packets - before.rx_packets, TOTAL, "{wire:?}");
        assert_eq!(counter.packets()?, TOTAL, "{wire:?}");
        assert_eq!(ingress.packets()?, TOTAL, "{wire:?}");
        assert_eq!(counter.bytes()?, TOTAL * (20 + 8 + 18), "{wire:?}");
        let driver = driver_stats(&pair.b, "eth0")?;
        assert!(driver.keys().any(|name| name.starts_with("rx_queue_0_")), "{driver:?}");
        println!("{wire:?}: {injected:?}");
    }
    Ok(())
}

#[test]
fn frames_that_cannot_be_sent_are_an_error() -> Result<()> {
    let pair = Pair::new(Wire::Default)?;
    assert!(inject(&pair.a, "eth0", &[vec![0; 5_000]], 1).is_err(), "longer than the MTU");
    assert!(inject(&pair.a, "eth7", &[vec![0; 60]], 1).is_err(), "no such interface");
    Ok(())
}

#[test]
fn a_sniffer_hears_only_its_interface_and_only_what_it_asks_for() -> Result<()> {
    let pair = Pair::new(Wire::Default)?;
    let other = Sniffer::start(&pair.b, "lo", |_| true)?;
    let none = Sniffer::start(&pair.b, "eth0", |_| false)?;
    let all = Sniffer::start(&pair.b, "eth0", |_| true)?;
    assert!(ping(&pair.a, None, pair.b_address, 2)?.all_answered());
    assert!(all.wait_until(PATIENCE, |frames| frames.iter().any(|captured| captured.outgoing)));
    assert!(!none.wait_until(Duration::from_millis(50), |frames| !frames.is_empty()));
    assert_eq!((other.count(), none.count()), (0, 0));
    Ok(())
}

#[test]
fn closures_and_commands_run_in_the_namespace_only() -> Result<()> {
    let run = Run::new()?;
    let ns = run.netns("here")?;
    let net = || fs::read_link("/proc/thread-self/ns/net");
    let (host, inside) = (net()?, ns.exec(net)??);
    assert_ne!(host, inside);
    assert_eq!(host, net()?, "the calling thread stays where it is");
    let link = ns.run("readlink /proc/self/ns/net")?;
    assert_eq!(Path::new(link.trim()), inside);
    // The mount namespace is the host's: a bpffs mounted outside is seen inside.
    let bpffs = ns.run(&format!("stat -f -c %T {}", run.bpffs().display()))?;
    assert_eq!(bpffs.trim(), "bpf_fs");
    let error = format!("{:#}", ns.run("ip link show dev nosuch").err().context("no error")?);
    assert!(error.contains("nosuch") && error.contains(run.prefix()), "{error}");
    Ok(())
}

#[test]
fn a_run_leaves_nothing_behind() -> Result<()> {
    let pair = Pair::new(Wire::Default)?;
    let prefix = pair.run.prefix().to_owned();
    let dir = pair.run.dir().to_owned();
    fs::create_dir(pair.run.bpffs().join("pins"))?;
    let mut sleeper = pair.a.command("sleep").arg("1000").spawn()?;
    assert!(pair.a.pids()?.contains(&sleeper.id().cast_signed()));
    assert!(read_to_string("/proc/mounts")?.contains(&prefix));
    drop(pair);
    assert!(!sleeper.wait()?.success(), "killed, not finished");
    assert_nothing_left(&prefix)?;
    assert!(!dir.exists());
    Ok(())
}

#[test]
fn a_panic_leaves_nothing_behind() -> Result<()> {
    let run = Run::new()?;
    let prefix = run.prefix().to_owned();
    let result = std::panic::catch_unwind(move || {
        let ns = run.netns("doomed");
        // Both are dropped by the unwinding, the namespace first.
        let _owned = (ns, run);
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(result.is_err());
    assert_nothing_left(&prefix)
}

#[test]
fn sweep_removes_what_a_killed_run_left_and_spares_the_living() -> Result<()> {
    let mine = Run::new()?;
    let _ns = mine.netns("mine")?;
    let mut child = Command::new(env::current_exe()?)
        .args(["--exact", "owner_that_gets_killed", "--nocapture"])
        .env(KILLED, "1")
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("prefix=")));
    let line = line.context("the child did not come up")??;
    let mut words = line.split("prefix=").nth(1).context("prefix")?.split(' ');
    let prefix = words.next().context("prefix")?.to_owned();
    let sleeper: i32 = words.next().context("pid")?.parse()?;
    assert!(netns_names()?.iter().any(|name| name.starts_with(&prefix)));
    sweep()?;
    assert!(netns_names()?.iter().any(|name| name.starts_with(&prefix)), "its owner still lives");
    child.kill()?;
    child.wait()?;
    assert!(netns_names()?.iter().any(|name| name.starts_with(&prefix)), "SIGKILL runs no Drop");
    assert!(Path::new(&format!("/proc/{sleeper}/ns/net")).exists());

    // Another process's sweep may come first; that one removes it as well.
    sweep()?;
    assert_nothing_left(&prefix)?;
    let gone = fs::metadata(format!("/proc/{sleeper}/ns/net")).is_err();
    assert!(gone, "a process in the dead run's namespace is left");
    assert!(mine.dir().exists());
    assert!(netns_names()?.contains(&format!("{}-mine", mine.prefix())));
    Ok(())
}

const KILLED: &str = "VXLAN_TESTS_TO_BE_KILLED";

/// Not a test: the child process of the one above.
#[test]
fn owner_that_gets_killed() -> Result<()> {
    if env::var_os(KILLED).is_none() {
        return Ok(());
    }
    let run = Run::new()?;
    let ns = run.netns("orphan")?;
    let sleeper = ns.command("sleep").arg("1000").stdout(Stdio::null()).spawn()?;
    println!("prefix={} {} ", run.prefix(), sleeper.id());
    thread::sleep(Duration::from_secs(60));
    Ok(())
}

#[test]
fn a_proxy_reaches_into_a_namespace() -> Result<()> {
    let run = Run::new()?;
    let ns = run.netns("server")?;
    let listener = ns.exec(|| TcpListener::bind("127.0.0.1:9839"))??;
    let server = ns.spawn(move || -> Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        stream.write_all(b"world")?;
        Ok(text)
    });
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let target: SocketAddr = "127.0.0.1:9839".parse()?;
    let proxy = Proxy::start(&ns, taken.local_addr()?.port(), target)?;
    assert_ne!(proxy.address(), taken.local_addr()?, "a taken port is not used");
    let mut client = TcpStream::connect(proxy.address())?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"hello")?;
    client.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    assert_eq!(answer, "world");
    let heard = server.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
    assert_eq!(heard?, "hello");
    let address = proxy.address();
    drop(proxy);
    // A child that another test has just forked holds a copy of the listener until it executes.
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "the listener is not closed");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[test]
fn a_daemon_that_dies_early_shows_all_it_said() -> Result<()> {
    let run = Run::new()?;
    let ns = run.netns("host")?;
    // `ls` knows none of our options and says so with exit code 2.
    let mut daemon = Daemon::prepare_with("/bin/ls".into(), &ns, &run, "x", "[node]\n")?;
    let error = daemon.launch().err().context("it started")?;
    let text = format!("{error:#}");
    assert!(text.contains("ended with exit status: 2"), "{text}");
    assert!(text.contains("x.toml") && text.contains("--config"), "{text}");
    Ok(())
}

/// Overlay addresses of two kernel vxlan devices on the pair.
fn overlay(pair: &Pair) -> Result<(IpAddr, IpAddr)> {
    KernelVxlan::new("vx0", 43, pair.a_address, pair.b_address)
        .address("192.168.43.1/24")
        .route("192.168.44.0/24")
        .create(&pair.a)?;
    KernelVxlan::new("vx0", 43, pair.b_address, pair.a_address)
        .address("192.168.44.1/24")
        .route("192.168.43.0/24")
        .nolearning()
        .mtu(1400)
        .create(&pair.b)?;
    Ok(([192, 168, 43, 1].into(), [192, 168, 44, 1].into()))
}

/// Two UDP flows to the discard port of `b`.
fn udp_frames(pair: &Pair) -> Result<Vec<Vec<u8>>> {
    let eth = Eth::new(pair.b.mac("eth0")?, pair.a.mac("eth0")?);
    let frame = |port| {
        Packet::new()
            .with(eth.clone())
            .with(Ipv4::new([203, 0, 113, 1], [203, 0, 113, 2]))
            .with(Udp::new(port, 9))
            .payload(&[0; 18])
            .build()
            .to_vec()
    };
    Ok(vec![frame(1), frame(2)])
}

fn is_field(frame: &[u8], name: &str, value: &[u8]) -> bool {
    fields(frame).iter().any(|field| field.name == name && frame[field.range.clone()] == *value)
}

fn netns_names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/run/netns")? {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn assert_nothing_left(prefix: &str) -> Result<()> {
    let left: Vec<_> = netns_names()?.into_iter().filter(|name| name.starts_with(prefix)).collect();
    ensure!(left.is_empty(), "namespaces left: {left:?}");
    let mounts = read_to_string("/proc/mounts")?;
    ensure!(!mounts.contains(&format!("/{prefix}/")), "mounts left:\n{mounts}");
    ensure!(!Path::new("/run/vxlan-tests").join(prefix).exists(), "the directory is left");
    Ok(())
}

/// An answered frame built by hand is proof that a real host takes our checksums for right.
#[test]
fn a_host_answers_a_frame_built_by_hand() -> Result<()> {
    let pair = Pair::new(Wire::Default)?;
    let (mac_a, mac_b) = (pair.a.mac("eth0")?, pair.b.mac("eth0")?);
    pair.static_neighbours()?;
    let request = Packet::new()
        .with(Eth::new(mac_b, mac_a))
        .with(Ipv4::new([203, 0, 113, 1], [203, 0, 113, 2]))
        .with(Icmp::echo_request(0x1234, 5))
        .payload(b"odd")
        .build();
    let answers = Sniffer::start(&pair.a, "eth0", |frame| is_field(frame, "icmp type", &[0]))?;
    inject(&pair.a, "eth0", &[request], 1)?;
    let seen = answers.wait_for(1, PATIENCE);
    assert_eq!(seen.len(), 1, "no answer");
    assert_eq!(seen[0].frame[38..], *b"\x12\x34\x00\x05odd");
    Ok(())
}

/// A namespace outside any run is deleted with its owner as well.
#[test]
fn a_namespace_of_its_own_is_deleted() -> Result<()> {
    let run = Run::new()?;
    let name = format!("{}-alone", run.prefix());
    let ns = Netns::create(&name)?;
    assert!(Netns::create(&name).is_err(), "a name is taken once");
    assert!(netns_names()?.contains(&name), "the failed second one must not delete the first");
    drop(ns);
    assert!(!netns_names()?.contains(&name));
    Ok(())
}

/// On a real wire no frame is longer than the MTU; on a plain veth they are, which is why it
/// flatters.
#[test]
fn a_real_wire_carries_no_frame_above_the_mtu() -> Result<()> {
    for (wire, above) in [(Wire::Default, true), (Wire::Real, false)] {
        let pair = Pair::new(wire)?;
        let sent = Sniffer::start(&pair.a, "eth0", |frame| is_field(frame, "ipv4 protocol", &[6]))?;
        assert!(tcp_transfer(&pair.a, &pair.b, pair.b_address, 2_000_000)?.intact());
        let frames = sent.finish()?.frames;
        let longest = frames.iter().filter(|c| c.outgoing).map(|c| c.frame.len()).max();
        let longest = longest.context("no frame seen")?;
        assert_eq!(longest > 1514, above, "{wire:?}: {longest} bytes");
    }
    Ok(())
}
