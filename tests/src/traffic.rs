//! Traffic with a known answer: pings, a TCP stream whose bytes are checked by digest, numbered UDP
//! datagrams. Uses plain sockets inside namespaces, and cares nothing for what carries it.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use sha2::{Digest as _, Sha256};

use crate::netns::Ns;

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

/// How a TCP transfer went.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    pub bytes: u64,
    /// From the first byte sent until the last one received.
    pub seconds: f64,
    /// SHA-256 of what was sent and of what arrived.
    pub sent_digest: [u8; 32],
    pub received_digest: [u8; 32],
}

impl Transfer {
    pub fn intact(&self) -> bool {
        self.sent_digest == self.received_digest
    }

    pub fn mbit_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds / 1e6
    }
}

const BLOCK: usize = 256 << 10;
/// Without progress for so long, a transfer has failed.
const STALL: Duration = Duration::from_secs(10);

/// `client` sends `bytes` bytes to `address` in `server`.
pub fn tcp_transfer(client: &Ns, server: &Ns, address: IpAddr, bytes: u64) -> Result<Transfer> {
    let stream = Stream::new();
    let mut hash = Sha256::new();
    stream.blocks(bytes).for_each(|block| hash.update(block));
    let sent_digest = hash.finalize().into();

    let listener = server
        .exec(|| TcpListener::bind((address, 0)))?
        .with_context(|| format!("listening on {address} in {}", server.name()))?;
    let to = listener.local_addr()?;
    let mut sender = client
        .exec(|| TcpStream::connect_timeout(&to, STALL))?
        .with_context(|| format!("connecting from {} to {to}", client.name()))?;
    // The handshake is over, so this does not wait.
    let (mut receiver, _) = listener.accept()?;
    sender.set_write_timeout(Some(STALL))?;
    receiver.set_read_timeout(Some(STALL))?;

    let start = Instant::now();
    let (sent, received) = thread::scope(|scope| {
        let sending = scope.spawn(move || {
            stream.blocks(bytes).try_for_each(|block| sender.write_all(block))?;
            sender.shutdown(Shutdown::Write)
        });
        let mut hash = Sha256::new();
        let mut total = 0;
        let mut buffer = vec![0; BLOCK];
        let received = loop {
            match receiver.read(&mut buffer) {
                Ok(0) => break Ok((total, hash.finalize().into())),
                Ok(length) => {
                    hash.update(&buffer[..length]);
                    total += length as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err((total, error)),
            }
        };
        // Frees a sender that waits for room in a window that will not open again.
        let _ = receiver.shutdown(Shutdown::Both);
        let sent = sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (sent, received)
    });
    let seconds = start.elapsed().as_secs_f64();
    let (total, received_digest) = match received {
        Ok(whole) => whole,
        Err((total, error)) => {
            return Err(error).with_context(|| {
                format!("from {} to {to}: stalled after {total} of {bytes} bytes", client.name())
            });
        }
    };
    sent.with_context(|| format!("sending from {} to {to}", client.name()))?;
    Ok(Transfer { bytes: total, seconds, sent_digest, received_digest })
}

/// A stream of bytes that does not compress or repeat in step, and costs nothing to produce: windows
/// into one random table, at places that depend on the number of the block.
struct Stream {
    table: Vec<u8>,
}

impl Stream {
    fn new() -> Self {
        let mut state = 0x5eed_u64;
        let mut next = || {
            state = mix(state.wrapping_add(1));
            state
        };
        Self { table: (0..BLOCK / 2).flat_map(|_| next().to_le_bytes()).collect() }
    }

    fn blocks(&self, bytes: u64) -> impl Iterator<Item = &[u8]> {
        let block = BLOCK as u64;
        (0..bytes.div_ceil(block)).map(move |number| {
            let room = (self.table.len() - BLOCK) as u64;
            let start = (mix(number) % room) as usize;
            let length = (bytes - number * block).min(block) as usize;
            &self.table[start..start + length]
        })
    }
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(input: u64) -> u64 {
    let mut value = input.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
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
        let result = receiving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
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

#[cfg(test)]
mod tests {
    use super::{BLOCK, Stream};

    #[test]
    fn a_stream_has_its_length_and_is_the_same_each_time() {
        let bytes = BLOCK as u64 * 3 + 17;
        let collect = || Stream::new().blocks(bytes).collect::<Vec<_>>().concat();
        assert_eq!(collect().len() as u64, bytes);
        assert_eq!(collect(), collect());
        let whole = collect();
        assert_ne!(whole[..BLOCK], whole[BLOCK..2 * BLOCK], "a swap of blocks must show");
    }
}
