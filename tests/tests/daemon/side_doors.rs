//! What clients of the metrics page can do to the daemon: nothing, however many they are and
//! however slowly they read.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{cmd, daemon::Daemon, metrics::Metrics};

use crate::host::{CONFIG, Host, PATIENCE, wait_until};

/// As many connections as the daemon has at a time.
const MAX_CONNECTIONS: usize = 64;

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: host\r\n\r\n";

fn connect(host: &Host) -> Result<TcpStream> {
    let address = host.daemon.metrics_address();
    let stream = host.ns().exec(|| TcpStream::connect_timeout(&address, PATIENCE))??;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends something on so many connections and never reads.
fn silent(host: &Host, connections: usize, request: &str) -> Result<Vec<TcpStream>> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut stream = connect(host)?;
        // One that is closed already refuses it.
        let _closed = stream.write_all(request.as_bytes());
        open.push(stream);
    }
    Ok(open)
}

/// Gives the daemon room for so many more files than it has open.
pub(crate) fn leave_room_for(daemon: &Daemon, files: usize) -> Result<()> {
    let pid = daemon.pid().context("it runs")?;
    let mut open = BTreeSet::new();
    for file in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let name = file?.file_name();
        open.insert(name.to_str().context("a number")?.parse::<usize>()?);
    }
    // The limit is one of numbers, and the lowest free one is taken.
    let mut free = (0..).filter(|number| !open.contains(number));
    let limit = format!("--nofile={}:", free.nth(files).context("a number")?);
    cmd::run(Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]))?;
    Ok(())
}

/// Idle connections, in whatever state, are closed for others that come. With room for a few more
/// files than there may be connections, the daemon can do all its work.
#[test]
fn idle_connections_stop_nothing() -> Result<()> {
    let (host, other) = Host::up(&CONFIG)?;
    leave_room_for(&host.daemon, 300)?;
    let mut open = Vec::new();
    for request in [GET, "GET /metrics HTT", ""] {
        open.extend(silent(&host, 3 * MAX_CONNECTIONS, request)?);
        // Until the first of them have their answers, all may be at one.
        wait_until("there is a page", || Ok(host.daemon.metrics().is_ok()))?;
        let metrics = host.daemon.metrics()?;
        let files = metrics.get("process_open_fds", &[]);
        ensure!(files < metrics.get("process_max_fds", &[]) - 50.0, "{files} open files");
        let reload = host.daemon.vxlan(&["reload"])?;
        ensure!(reload.success(), "{}{}", reload.stdout, reload.stderr);
    }
    host.ns().run("ip addr del 203.0.113.2/24 dev eth0")?;
    host.ns().run("ip addr add 203.0.113.2/24 dev eth0")?;
    wait_until("the underlay is followed", || {
        Ok(host.daemon.metrics()?.get("vxlan_underlay_up", &[]) == 1.0)
    })?;
    drop(open);
    host.daemon.stop()?;
    other.stop()
}

/// Without a single free file there is no page and no reload, but the daemon stays, and all is well
/// again when there are files.
#[test]
fn a_daemon_out_of_files_stays() -> Result<()> {
    let (host, other) = Host::up(&CONFIG)?;
    leave_room_for(&host.daemon, 0)?;
    let address = host.daemon.metrics_address();
    ensure!(Metrics::fetch(host.ns(), address).is_err(), "a page without a file");
    // A next hop that goes and comes, and an address.
    host.ns().run("ip link set eth0 down")?;
    host.ns().run("ip link set eth0 up")?;
    host.ns().run("ip addr del 203.0.113.2/24 dev eth0")?;
    host.ns().run("ip addr add 203.0.113.2/24 dev eth0")?;
    leave_room_for(&host.daemon, 300)?;
    wait_until("the underlay is followed", || {
        Ok(host.daemon.metrics()?.get("vxlan_underlay_up", &[]) == 1.0)
    })?;
    let reload = host.daemon.vxlan(&["reload"])?;
    ensure!(reload.success(), "{}{}", reload.stdout, reload.stderr);
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn a_head_without_end_is_refused() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    for piece in ["x: y\r\n".repeat(20_000), "x".repeat(1 << 20)] {
        let mut stream = connect(&host)?;
        let _closed = stream.write_all(format!("GET /metrics HTTP/1.1\r\n{piece}").as_bytes());
        let mut answer = Vec::new();
        // Reset, or an answer and the end: not a wait for more.
        let _reset = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    host.daemon.metrics()?;
    host.daemon.stop()
}

/// Reads one answer: its head and its body.
fn answer(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(answer[..end].to_vec())?.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.context("a length")?.parse()?;
            if answer.len() >= end + 4 + length {
                return Ok((head, answer[end + 4..].to_vec()));
            }
        }
        let length = stream.read(&mut buffer)?;
        ensure!(length > 0, "closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..length]);
    }
}

/// What does not change from page to page.
fn names(page: &str) -> Vec<&str> {
    page.lines().filter(|line| line.starts_with("# TYPE")).collect()
}

#[test]
fn a_page_is_compressed_for_whoever_takes_that() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    let mut stream = connect(&host)?;
    let mut pages = Vec::new();
    for accepts in ["", "Accept-Encoding: deflate, gzip;q=0.5\r\n", "Accept-Encoding: gzip;q=0\r\n"]
    {
        // One after the other on one connection.
        stream
            .write_all(format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{accepts}\r\n").as_bytes())?;
        let (head, body) = answer(&mut stream)?;
        ensure!(head.starts_with("http/1.1 200"), "{head}");
        ensure!(head.contains("vary: accept-encoding"), "{head}");
        pages.push((head.contains("content-encoding: gzip"), body));
    }
    let [(false, plain), (true, gzip), (false, again)] = &pages[..] else {
        anyhow::bail!("{:?}", pages.iter().map(|page| page.0).collect::<Vec<_>>());
    };
    ensure!(gzip.len() * 3 < plain.len(), "{} of {} bytes", gzip.len(), plain.len());
    let gunzipped = gunzip(gzip)?;
    let plain = String::from_utf8(plain.clone())?;
    assert_eq!(names(&gunzipped), names(&plain));
    assert_eq!(names(&plain), names(&String::from_utf8(again.clone())?));
    host.daemon.stop()
}

fn gunzip(bytes: &[u8]) -> Result<String> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    std::io::Seek::rewind(&mut file)?;
    let out = Command::new("gzip").arg("-dc").stdin(file).output()?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?)
}

/// Many peers make a large page, of which a client that does not read holds no copy.
#[test]
fn clients_that_do_not_read_take_no_memory() -> Result<()> {
    let host = Host::launched(&many_peers(1000))?;
    let memory = || -> Result<f64> {
        Ok(host.daemon.metrics()?.get("process_resident_memory_bytes", &[]) / 1e6)
    };
    // What making a page takes is there before and after.
    let before = (0..5).try_fold(0.0_f64, |most, _| Ok::<_, anyhow::Error>(most.max(memory()?)))?;
    let page = host.daemon.metrics()?.text.len() as f64 / 1e6;
    ensure!(page > 0.5, "a page of {page} MB");
    let open = silent(&host, MAX_CONNECTIONS - 2, GET)?;
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut after = 0.0_f64;
    while Instant::now() < deadline {
        after = after.max(memory()?);
    }
    ensure!(
        after - before < 0.3 * page * open.len() as f64,
        "{before} MB, and {after} MB with {} clients at a page of {page} MB",
        open.len()
    );
    host.daemon.stop()
}

fn many_peers(peers: usize) -> String {
    let mut config = CONFIG.to_string();
    for peer in 0..peers {
        let (high, low) = (peer / 250, peer % 250 + 1);
        config += &format!("\n[[peer]]\nname = \"p{peer}\"\nendpoint = \"10.200.{high}.{low}\"\n");
        config += &format!("[[network.member]]\npeer = \"p{peer}\"\n");
        config += &format!("allowed_ips = [\"10.9.{high}.{low}/32\"]\n");
    }
    config
}

/// A server that is asked without a pause makes a page now and then, and no client gets one that is
/// older than a second.
#[test]
fn pages_are_shared_where_they_are_dear() -> Result<()> {
    let host = Host::launched(&many_peers(1000))?;
    let cpu = || -> Result<u64> {
        let stat = std::fs::read_to_string(format!(
            "/proc/{}/stat",
            host.daemon.pid().context("it runs")?
        ))?;
        let after = stat.rsplit_once(") ").context("a name")?.1;
        let fields: Vec<&str> = after.split(' ').collect();
        Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
    };
    let mut stream = connect(&host)?;
    let (mut shared, mut made) = (0, 0);
    let before = cpu()?;
    let deadline = Instant::now() + Duration::from_secs(6);
    while Instant::now() < deadline {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")?;
        let (head, _) = answer(&mut stream)?;
        match head.lines().find_map(|line| line.strip_prefix("age: ")) {
            None => made += 1,
            Some("0") => shared += 1,
            Some(age) => anyhow::bail!("a page {age} seconds old"),
        }
    }
    let ticks = cpu()? - before;
    ensure!(shared > made, "{made} pages for {} requests, {ticks} ticks", made + shared);
    host.daemon.stop()
}

/// The address where nobody listens but the daemon.
#[test]
fn beyond_the_limit_one_is_told() -> Result<()> {
    let host = Host::launched(&many_peers(3000))?;
    // At a response for as long as nobody reads: a page is larger than what the sockets hold.
    let mut open: Vec<TcpStream> = silent(&host, MAX_CONNECTIONS, GET)?;
    for stream in &mut open {
        stream.read_exact(&mut [0; 12]).context("the head of a response")?;
    }
    let address: SocketAddr = host.daemon.metrics_address();
    wait_until("one more is refused", || {
        let mut stream = connect(&host)?;
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        let _closed = stream.write_all(GET.as_bytes());
        let mut text = [0; 32];
        let length = stream.read(&mut text).unwrap_or(0);
        Ok(String::from_utf8_lossy(&text[..length]).starts_with("HTTP/1.1 503"))
    })
    .with_context(|| address.to_string())?;
    host.daemon.stop()
}
