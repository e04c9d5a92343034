//! Traffic with a known answer: pings, numbered UDP datagrams, and (from `tcp`) streams whose bytes
//! are checked by digest. Uses plain sockets inside namespaces, and cares nothing for what carries
//! it.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::netns::Ns;
pub use crate::tcp::{StreamEnd, Transfer, tcp_stream, tcp_transfer};

/// What `ping` says.
#[derive(Debug, Clone)]
pub struct PingResult {
    pub sent: u32,
    pub received: u32,
    /// Of the answers; none when there was no answer.
    pub average_ms: Option<f64>,
    pub output: String,
}

impl PingResult {
    pub fn all_answered(&self) -> bool {
        self.sent > 0 && self.received == self.sent
    }
}

/// Sends `count` echo requests, 20 ms apart, and waits up to 2 s for the last answer.
pub fn ping(ns: &Ns, from: Option<IpAddr>, to: IpAddr, count: u32) -> Result<PingResult> {
    ping_with(ns, from, to, count, "-i 0.02 -W 2")
}

/// Like [`ping`], with options of `ping` instead of the default ones (as in `-s 1382 -M do`).
pub fn ping_with(
    ns: &Ns,
    from: Option<IpAddr>,
    to: IpAddr,
    count: u32,
    options: &str,
) -> Result<PingResult> {
    let source = from.map(|address| format!("-I {address}")).unwrap_or_default();
    let out = ns.output(&format!("ping -n -c {count} {options} {source} {to}"))?;
    let output = out.stdout + &out.stderr;
    let number = |suffix: &str| {
        let part = output.split(", ").find_map(|part| part.trim().split_once(suffix));
        part.and_then(|(before, _)| before.rsplit(char::is_whitespace).next()?.parse().ok())
    };
    let (Some(sent), Some(received)) = (number(" packets transmitted"), number(" received")) else {
        bail!("ping from {} to {to} did not run:\n{output}", ns.name());
    };
    let average_ms = output
        .lines()
        .find_map(|line| line.split_once("min/avg/max/mdev = ")?.1.split('/').nth(1)?.parse().ok());
    Ok(PingResult { sent, received, average_ms, output })
}

/// How an exchange of UDP datagrams went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpResult {
    /// Datagrams the kernel took from the sender.
    pub sent: u64,
    /// Different ones that arrived whole.
    pub received: u64,
    /// Arrived again.
    pub duplicates: u64,
    /// Arrived with a wrong length, number or content.
    pub damaged: u64,
}

/// `client` sends `count` numbered datagrams of `size` bytes (at least 8) to `address` in `server`,
/// no faster than `per_second`. Ends when all have arrived, or none has for half a second.
pub fn udp_exchange(
    client: &Ns,
    server: &Ns,
    address: IpAddr,
    count: u64,
    size: usize,
    per_second: u64,
) -> Result<UdpResult> {
    let size = size.max(8);
    let receiver = server
        .exec(|| UdpSocket::bind((address, 0)))?
        .with_context(|| format!("binding {address} in {}", server.name()))?;
    setsockopt(&receiver, RcvBufForce, &(64 << 20))?;
    receiver.set_read_timeout(Some(Duration::from_millis(500)))?;
    let to = receiver.local_addr()?;
    let sender = client.exec(|| connected(to))??;

    let done = AtomicBool::new(false);
    let result = thread::scope(|scope| -> Result<UdpResult> {
        let receiving = scope.spawn(|| receive_numbered(&receiver, count, size, &done));
        let start = Instant::now();
        let mut sent = 0;
        for number in 0..count {
            let due =
                Duration::from_nanos(number.saturating_mul(1_000_000_000) / per_second.max(1));
            if let Some(early) = due.checked_sub(start.elapsed()) {
                thread::sleep(early);
            }
            if sender.send(&datagram(number, size)).is_ok() {
                sent += 1;
            }
        }
        done.store(true, Ordering::Release);
        let result = crate::wait::joined(receiving.join())?;
        Ok(UdpResult { sent, ..result })
    })?;
    Ok(result)
}

fn connected(to: SocketAddr) -> Result<UdpSocket> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to).with_context(|| format!("no route to {to}"))?;
    Ok(socket)
}

fn datagram(number: u64, size: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(size, number as u8);
    bytes
}

fn receive_numbered(
    socket: &UdpSocket,
    count: u64,
    size: usize,
    sender_done: &AtomicBool,
) -> Result<UdpResult> {
    let mut seen = vec![false; usize::try_from(count)?];
    let mut result = UdpResult { sent: 0, received: 0, duplicates: 0, damaged: 0 };
    let mut buffer = vec![0; 65_536];
    while result.received < count {
        let was_done = sender_done.load(Ordering::Acquire);
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if was_done {
                    break;
                }
                continue;
            }
            Err(error) => return Err(error).context("receiving datagrams"),
        };
        let number = buffer.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
        let slot = usize::try_from(number).ok().and_then(|number| seen.get_mut(number));
        match slot {
            Some(slot) if buffer[..length] == datagram(number, size) => {
                if std::mem::replace(slot, true) {
                    result.duplicates += 1;
                } else {
                    result.received += 1;
                }
            }
            _ => result.damaged += 1,
        }
    }
    Ok(result)
}
