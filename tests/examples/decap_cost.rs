//! What a received packet costs: nanoseconds of `decap`, for one binary or for several side by side.
//!
//! ```sh
//! cargo run -p vxlan-tests --example decap_cost -- before=/path/to/vxlan now=target/debug/vxlan
//! ```
//!
//! Each binary runs as a daemon in a namespace of its own. The kernel runs its program on one packet
//! after the other (`BPF_PROG_TEST_RUN`), and says how long that took (`BPF_ENABLE_STATS`): what the
//! test itself costs is not in it, two readings of the clock are. Binaries and kinds of packet take
//! turns, so that whatever else the machine does hits all of them; the table has medians of the
//! rounds, with quartiles. A binary that knows no learned endpoints has no row for them.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    net::Ipv4Addr,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    maps::{HashMap, Map, MapData},
    programs::{ProgramFd, ProgramInfo, loaded_programs},
    sys::{Stats, enable_stats},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use vxlan_common::{
    addr::{Address, IPV4},
    table::{Mapping, NetworkAddress, SourceEntry},
};
use vxlan_tests::{
    Netns, Run,
    daemon::Daemon,
    model::flow_port,
    packet::{Checksum, Eth, Ipv4, Packet, Tcp, Udp, Vxlan},
};

const ROUNDS: usize = 201;
/// Packets of a kind in each round.
const RUNS: u64 = 1_000;
const XDP_PASS: u32 = 2;
const VNI: u32 = 43;
const OWN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const OWN_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 43, 1);
const LEARNED_PORT: u16 = 1_024;

/// A peer, and so a kind of packet.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    number: u8,
    keys: &'static str,
    /// Where its packets come from; of the flow, where there is none.
    port: Option<u16>,
    checksum: Checksum,
}

const KINDS: [Kind; 5] = [
    Kind { name: "flow", number: 1, keys: "", port: None, checksum: Checksum::Zero },
    Kind {
        name: "fixed",
        number: 2,
        keys: "source_port = \"fixed\"",
        port: Some(4_789),
        checksum: Checksum::Zero,
    },
    Kind {
        name: "any",
        number: 3,
        keys: "source_port = \"any\"",
        port: Some(50_000),
        checksum: Checksum::Zero,
    },
    Kind {
        name: "checksum",
        number: 4,
        keys: "source_port = \"any\"",
        port: Some(50_000),
        checksum: Checksum::Right,
    },
    Kind {
        name: "learned",
        number: LEARNED,
        keys: "endpoint = \"learn\"\nkey_file = \"learned.key\"",
        port: Some(LEARNED_PORT),
        checksum: Checksum::Zero,
    },
];
const LEARNED: u8 = 5;

impl Kind {
    fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, self.number)
    }

    fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 100 + self.number, 1)
    }

    fn peer(self) -> String {
        let endpoint = if self.number == LEARNED {
            String::new()
        } else {
            format!(
                "endpoint = \"{}\"\nprivate_address = \"10.9.0.{}\"",
                self.address(),
                self.number
            )
        };
        format!("[[peer]]\nname = \"{}\"\n{endpoint}\n{}\n", self.name, self.keys)
    }

    fn member(self) -> String {
        let (name, host) = (self.name, self.host());
        format!("[[network.member]]\npeer = \"{name}\"\nallowed_ips = [\"{host}/32\"]\n")
    }

    /// A segment of TCP, as most packets are.
    fn packet(self, own_mac: [u8; 6]) -> Vec<u8> {
        let inner = Packet::new()
            .with(Eth::new(own_mac, [2, 0, 0, 0, 1, self.number]))
            .with(Ipv4::new(self.host(), OWN_HOST))
            .with(Tcp::new(40_000, 443))
            .payload(&[0x5a; 1_000]);
        let port = self.port.or_else(|| flow_port(&inner.build())).unwrap_or(0);
        let outer = Packet::new()
            .with(Eth::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]))
            .with(Ipv4::new(self.address(), OWN))
            .with(Udp::vxlan(port).checksum(self.checksum))
            .with(Vxlan::new(VNI));
        outer.carrying(inner).build().to_vec()
    }
}

fn config(kinds: &[Kind]) -> String {
    let mut text = format!(
        "[node]\nname = \"here\"\n[underlay]\ninterface = \"eth0\"\naddress = \"{OWN}\"\n\
         source_port = \"fixed\"\n[metrics]\nlisten = \"127.0.0.1:9839\"\n"
    );
    kinds.iter().for_each(|kind| text.push_str(&kind.peer()));
    let _ = writeln!(
        text,
        "[[network]]\nvni = {VNI}\ninterface = \"vxlan43\"\naddresses = [\"{OWN_HOST}/24\"]"
    );
    kinds.iter().for_each(|kind| text.push_str(&kind.member()));
    text
}

/// A binary at work, and what its program is run on.
struct Contender {
    label: String,
    program: ProgramFd,
    id: u32,
    packets: Vec<(&'static str, Vec<u8>)>,
    /// In front of the namespace, which must outlive it.
    _daemon: Daemon,
    _ns: Netns,
}

impl Contender {
    fn new(run: &Run, label: &str, binary: &Path) -> Result<Self> {
        let ns = run.netns(label)?;
        ns.run("ip link add eth0 type veth peer name far")?;
        ns.run(&format!("ip addr add {OWN}/24 dev eth0"))?;
        for line in ["link set eth0 up", "link set far up", "route add default via 203.0.113.254"] {
            ns.run(&format!("ip {line}"))?;
        }
        let key = run.write("learned.key", &"5a".repeat(32))?;
        std::fs::set_permissions(key, PermissionsExt::from_mode(0o600))?;
        let (binary, all) = (binary.to_path_buf(), &KINDS[..]);
        let mut daemon = Daemon::prepare_with(binary, &ns, run, label, &config(all))?;
        let knows_all = daemon.vxlan(&["check"])?.success();
        let kinds = if knows_all { all } else { &all[..all.len() - 1] };
        daemon.write_config(&config(kinds))?;
        daemon.launch()?;
        if knows_all {
            learn(daemon.pin_dir())?;
        }
        let links: serde_json::Value =
            serde_json::from_str(&ns.run("ip -d -j link show dev eth0")?)?;
        let id = links[0]["xdp"]["prog"]["id"].as_u64().context("no XDP program on eth0")? as u32;
        let mac = ns.mac("vxlan43")?;
        let packets = kinds.iter().map(|kind| (kind.name, kind.packet(mac))).collect();
        Ok(Self {
            label: label.to_owned(),
            program: program(id)?.0,
            id,
            packets,
            _daemon: daemon,
            _ns: ns,
        })
    }

    /// Nanoseconds for each of so many packets.
    fn measure(&self, kind: usize) -> Result<f64> {
        let (name, packet) = &self.packets[kind];
        let before = program(self.id)?.1;
        for _ in 0..RUNS {
            let verdict = test_run(&self.program, packet)?;
            ensure!(verdict == XDP_PASS, "{} refuses {name}: {verdict}", self.label);
        }
        let after = program(self.id)?.1;
        let runs = after.run_count() - before.run_count();
        // What comes by itself through the namespace is little beside them.
        ensure!(runs >= RUNS, "{runs} runs were counted: are there statistics?");
        let time = after.run_time() - before.run_time();
        Ok(time.as_nanos() as f64 / runs as f64)
    }
}

/// The program of that number, and what the kernel says of it.
fn program(id: u32) -> Result<(ProgramFd, ProgramInfo)> {
    // Others' may be gone by the time that they are looked at.
    let info = loaded_programs().flatten().find(|info| info.id() == id);
    let info = info.with_context(|| format!("no program {id}"))?;
    Ok((info.fd()?, info))
}

/// `BPF_PROG_TEST_RUN` of include/uapi/linux/bpf.h, as much of its attributes as is not zero. aya runs
/// only programs that it has loaded itself.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    verdict: u32,
    length_in: u32,
    length_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

fn test_run(program: &ProgramFd, packet: &[u8]) -> Result<u32> {
    const BPF_PROG_TEST_RUN: libc::c_int = 10;
    let mut attributes = TestRun {
        program: program.as_fd().as_raw_fd().cast_unsigned(),
        length_in: packet.len() as u32,
        data_in: packet.as_ptr().addr() as u64,
        ..TestRun::default()
    };
    // SAFETY: the attributes are as long as is said, and outlive the call; the kernel reads the packet,
    // of the length that they have, and writes nothing but the attributes, as there is no `data_out`.
    let result = unsafe {
        let attributes = &raw mut attributes;
        libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, attributes, size_of::<TestRun>())
    };
    nix::errno::Errno::result(result).context("BPF_PROG_TEST_RUN")?;
    Ok(attributes.verdict)
}

/// Writes what a probe would have proved.
fn learn(pins: &Path) -> Result<()> {
    let path = pinned(pins, "mappings").context("no pin of the learned endpoints")?;
    let map = Map::HashMap(MapData::from_pin(path)?);
    let mut mappings: HashMap<MapData, Mapping, SourceEntry> = map.try_into()?;
    let kind = KINDS[KINDS.len() - 1];
    let address = Address::ipv4(kind.address().octets());
    let from = NetworkAddress { vni: [0, 0, VNI as u8], family: IPV4, address };
    let key = Mapping { from, port: LEARNED_PORT.to_be_bytes(), pad: [0; 2] };
    let value = SourceEntry { member: KINDS.len() as u32 - 1, flags: SourceEntry::REWRITTEN };
    Ok(mappings.insert(key, value, 0)?)
}

/// The pin of that name below a directory.
fn pinned(directory: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(directory).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { pinned(&path, name) } else { path.ends_with(name).then_some(path) }
    })
}

fn quantile(sorted: &[f64], at: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * at).round() as usize]
}

fn main() -> Result<()> {
    let mut binaries: Vec<(String, PathBuf)> = Vec::new();
    for argument in env::args().skip(1) {
        let (label, path) = argument.split_once('=').context("arguments are label=path")?;
        binaries.push((label.to_owned(), path.into()));
    }
    if binaries.is_empty() {
        binaries.push(("now".to_owned(), vxlan_tests::daemon::binary()?));
    }
    let run = Run::new()?;
    let contenders: Vec<_> = binaries
        .iter()
        .map(|(label, path)| Contender::new(&run, label, path))
        .collect::<Result<_>>()?;
    let mut cpu = CpuSet::new();
    cpu.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpu)?;
    let _statistics = enable_stats(Stats::RunTime)?;
    let mut times: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for round in 0..ROUNDS {
        for kind in 0..KINDS.len() {
            for turn in 0..contenders.len() {
                // Nobody is always first.
                let who = (turn + round) % contenders.len();
                if kind < contenders[who].packets.len() {
                    let time = contenders[who].measure(kind)?;
                    times.entry((kind, who)).or_default().push(time);
                }
            }
        }
    }
    println!("ns per packet: median (quartiles) of {ROUNDS} rounds of {RUNS} packets");
    for ((kind, who), times) in &mut times {
        times.sort_by(f64::total_cmp);
        let [low, median, high] = [0.25, 0.5, 0.75].map(|at| quantile(times, at));
        let (name, label) = (KINDS[*kind].name, &contenders[*who].label);
        println!("{name:10} {label:10} {median:7.1} ({low:.1} to {high:.1})");
    }
    drop(contenders);
    Ok(())
}
