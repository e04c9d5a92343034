//! What is not on the path of a packet: how long a start takes, and a page of metrics.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Config, Netns, Run,
    bench::{Arm, Bench, Better, Role},
    daemon::Daemon,
    link::UNDERLAY,
};

use crate::room::{Entry, Reading, Room, Size};

/// Named in the document, so it never changes.
const PEERS: [usize; 3] = [1, 1_000, 10_000];
const OWN: &str = "2001:db8:1::1";
/// A page that the daemon sends once more has an age; a new one has none.
const BEFORE_THE_NEXT_TRY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn entries() -> Vec<Entry> {
    vec![
        Entry { name: "scrape".to_owned(), make: Box::new(|_| Ok(Box::new(Scrape::new()?))) },
        Entry { name: "start".to_owned(), make: Box::new(|size| Ok(Box::new(Start::new(size)?))) },
    ]
}

/// A host with an underlay of its own and nobody on it.
struct Host {
    ns: Netns,
}

impl Host {
    fn new(run: &Run, name: &str) -> Result<Self> {
        let ns = run.netns(name)?;
        ns.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
        ns.run(&format!("ip link add {UNDERLAY} type veth peer name far"))?;
        for interface in ["far", UNDERLAY] {
            ns.run(&format!("ip link set {interface} up"))?;
        }
        ns.run(&format!("ip addr add {OWN}/64 dev {UNDERLAY}"))?;
        Ok(Self { ns })
    }
}

/// So many peers without keys, in one network.
fn peers(count: usize) -> String {
    let mut config = Config::new("bench").set("address", OWN).to_string();
    for number in 0..count {
        // Writing to a string cannot fail.
        let _ = write!(
            config,
            "\n[[peer]]\nname = \"peer{number}\"\nendpoint = \"[2001:db8:1::{}]\"\n",
            suffix(number)
        );
    }
    let _ = write!(
        config,
        "\n[[network]]\nvni = 43\ninterface = \"vxlan43\"\naddresses = [\"10.255.255.1/24\"]\n"
    );
    for number in 0..count {
        let _ = write!(
            config,
            "\n[[network.member]]\npeer = \"peer{number}\"\nallowed_ips = [\"10.{}.{}.0/24\"]\n",
            number >> 8,
            number & 0xff
        );
    }
    config
}

/// One peer in so many networks.
fn networks(count: usize) -> String {
    let config = Config::new("bench").set("address", OWN);
    let mut config = config.peer("peer", format!("[2001:db8:1::{}]", suffix(0))).to_string();
    for number in 0..count {
        let (high, low) = (number >> 8, number & 0xff);
        // Writing to a string cannot fail.
        let _ = write!(
            config,
            "\n[[network]]\nvni = {vni}\ninterface = \"vx{vni}\"\naddresses = \
             [\"10.{high}.{low}.1/25\"]\n\n[[network.member]]\npeer = \"peer\"\nallowed_ips = \
             [\"10.{high}.{low}.128/25\"]\n",
            vni = number + 1,
        );
    }
    config
}

/// Of a peer's address: none is the host's own.
fn suffix(number: usize) -> String {
    format!("{:x}:{:x}", (number >> 16) + 1, number & 0xffff)
}

/// A daemon for each arm.
struct Scrape {
    hosts: Vec<(Daemon, Host)>,
    /// Last: it must outlive the namespaces.
    _run: Run,
}

const FORMS: [(&str, &str); 2] = [("plain", "identity"), ("gzip", "gzip")];

impl Scrape {
    fn new() -> Result<Self> {
        let run = Run::new()?;
        let hosts = PEERS.into_iter().map(|count| {
            let name = format!("p{count}");
            let host = Host::new(&run, &name)?;
            Ok((Daemon::start(&host.ns, &run, &name, &peers(count))?, host))
        });
        Ok(Self { hosts: hosts.collect::<Result<_>>()?, _run: run })
    }

    fn arms() -> Vec<Arm> {
        let arm = |count: usize, form: &str| {
            Arm::new(&format!("{form}, {count} peers"), Role::Ours).at(form, "peers", count as f64)
        };
        FORMS.iter().flat_map(|(form, _)| PEERS.map(|count| arm(count, form))).collect()
    }

    /// Time and bytes of a page that was made for it, and its end.
    fn page(&self, arm: &str) -> Result<(Duration, Vec<u8>)> {
        let (form, count) = arm.split_once(", ").context("an arm")?;
        let encoding = FORMS.iter().find(|(name, _)| *name == form).context("a form")?.1;
        let number = PEERS.iter().position(|peers| count == format!("{peers} peers"));
        let (daemon, host) = &self.hosts[number.context("a number of peers")?];
        loop {
            let start = Instant::now();
            let answer = host.ns.exec(|| get(daemon, encoding))??;
            let time = start.elapsed();
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no head")?;
            let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
            ensure!(head.starts_with("http/1.0 200") || head.starts_with("http/1.1 200"), "{head}");
            ensure!(head.contains("content-encoding: gzip") == (form == "gzip"), "{head}");
            if !head.contains("\nage:") {
                return Ok((time, answer[end + 4..].to_vec()));
            }
            std::thread::sleep(BEFORE_THE_NEXT_TRY);
        }
    }
}

fn get(daemon: &Daemon, encoding: &str) -> Result<Vec<u8>> {
    let address = daemon.metrics_address();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request =
        format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\nAccept-Encoding: {encoding}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

impl Room for Scrape {
    fn benches(&self) -> Vec<Bench> {
        let bench = |metric: &str, unit: &str, of: &str| Bench {
            name: format!("scrape/{metric}"),
            condition: format!(
                "{of} a page of metrics that was made for this request, of peers without keys in \
                 one network, over the loopback interface, nothing else on the host"
            ),
            unit: unit.to_owned(),
            better: Better::Less,
            baseline: String::new(),
            arms: Self::arms(),
        };
        vec![
            bench("time", "ms", "From the request to the end of"),
            bench("size", "kB", "Length of the body of"),
        ]
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        let (_, body) = self.page(arm)?;
        ensure!(!body.is_empty(), "an empty page");
        if arm.starts_with("plain") {
            let text = String::from_utf8_lossy(&body);
            let rows = text.lines().filter(|line| line.starts_with("vxlan_packets_total{"));
            let count: usize = arm.split([' ']).nth(1).context("a number")?.parse()?;
            ensure!(rows.count() >= 2 * count, "rows are missing");
        }
        Ok(())
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let (time, body) = self.page(arm)?;
        let values = vec![time.as_secs_f64() * 1e3, body.len() as f64 / 1e3];
        Ok(Reading { values, void: None })
    }
}

struct Start {
    host: Host,
    run: Run,
    number: u32,
    size: Size,
}

/// Each arm, what it has, and whose it is.
const STARTS: [(&str, usize, usize); 3] =
    [("1 network", 1, 1), ("1000 networks", 1_000, 1), ("10000 peers", 1, 10_000)];

impl Start {
    fn new(size: Size) -> Result<Self> {
        let run = Run::new()?;
        Ok(Self { host: Host::new(&run, "start")?, run, number: 0, size })
    }

    /// How long it takes until the daemon is ready; then all goes again.
    fn start(&mut self, config: &str) -> Result<Duration> {
        self.number += 1;
        let name = format!("start{}", self.number);
        let mut daemon = Daemon::prepare(&self.host.ns, &self.run, &name, config)?;
        let start = Instant::now();
        daemon.launch()?;
        let time = start.elapsed();
        daemon.stop()?;
        Ok(time)
    }
}

impl Room for Start {
    fn benches(&self) -> Vec<Bench> {
        // With 1,000 networks a round takes longer than all of a quick run may.
        let starts = STARTS.iter().filter(|start| self.size == Size::Full || start.1 == 1);
        vec![Bench {
            name: "start/time".to_owned(),
            condition: "From the start of the process until it reports that it is ready, with \
                        interfaces, routes and programs at work; generic XDP is not involved, \
                        nothing is there from before"
                .to_owned(),
            unit: "ms".to_owned(),
            better: Better::Less,
            baseline: String::new(),
            arms: starts.map(|(name, ..)| Arm::new(name, Role::Ours)).collect(),
        }]
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        STARTS.iter().find(|(name, ..)| *name == arm).context("an arm").map(drop)
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let (_, of_networks, of_peers) =
            STARTS.iter().find(|(name, ..)| *name == arm).context("an arm")?;
        let config = if *of_peers > 1 { peers(*of_peers) } else { networks(*of_networks) };
        let time = self.start(&config)?;
        Ok(Reading { values: vec![time.as_secs_f64() * 1e3], void: None })
    }
}
