//! TCP streams whose bytes are checked by digest. Who carries them is not this file's business.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, connect, listen, setsockopt,
    socket,
    sockopt::{BindToDevice, ReuseAddr},
};
use sha2::{Digest as _, Sha256};

use crate::netns::Ns;

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
    let listener = server
        .exec(|| TcpListener::bind((address, 0)))?
        .with_context(|| format!("listening on {address} in {}", server.name()))?;
    let to = listener.local_addr()?;
    let sender = client
        .exec(|| TcpStream::connect_timeout(&to, STALL))?
        .with_context(|| format!("connecting from {} to {to}", client.name()))?;
    // The handshake is over, so this does not wait.
    let (receiver, _) = listener.accept()?;
    carry(sender, receiver, &Stream::new(0), bytes)
        .with_context(|| format!("from {} to {to}", client.name()))
}

/// One end of a stream between sockets of which everything is given.
#[derive(Debug, Clone, Copy)]
pub struct StreamEnd<'a> {
    pub ns: &'a Ns,
    pub address: SocketAddr,
    /// The socket knows this interface only, so that the same address may be on several.
    pub device: &'a str,
}

impl StreamEnd<'_> {
    fn socket(&self) -> Result<OwnedFd> {
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, BindToDevice, &self.device.into())
            .with_context(|| format!("binding a socket to {}", self.device))?;
        setsockopt(&socket, ReuseAddr, &true)?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(self.address))
            .with_context(|| format!("binding a socket to {}", self.address))?;
        Ok(socket)
    }
}

/// `client` sends `bytes` bytes to `server`. Streams of different `seed` have different bytes, and
/// the lowest bit of each byte is that of the seed: so a capture can tell whose byte it is.
pub fn tcp_stream(
    client: StreamEnd<'_>,
    server: StreamEnd<'_>,
    seed: u64,
    bytes: u64,
) -> Result<Transfer> {
    let listener = server.ns.exec(|| -> Result<TcpListener> {
        let socket = server.socket()?;
        listen(&socket, Backlog::new(1)?)?;
        Ok(socket.into())
    })??;
    let sender = client.ns.exec(|| -> Result<TcpStream> {
        let socket = client.socket()?;
        connect(socket.as_raw_fd(), &SockaddrStorage::from(server.address))
            .with_context(|| format!("connecting to {}", server.address))?;
        Ok(socket.into())
    })??;
    let (receiver, _) = listener.accept()?;
    carry(sender, receiver, &Stream::new(seed), bytes).with_context(|| {
        format!("from {} on {} to {}", client.ns.name(), client.device, server.address)
    })
}

fn carry(
    mut sender: TcpStream,
    mut receiver: TcpStream,
    stream: &Stream,
    bytes: u64,
) -> Result<Transfer> {
    let mut hash = Sha256::new();
    stream.blocks(bytes).for_each(|block| hash.update(block));
    let sent_digest = hash.finalize().into();
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
        let sent = crate::wait::joined(sending.join());
        (sent, received)
    });
    let seconds = start.elapsed().as_secs_f64();
    let (total, received_digest) = match received {
        Ok(whole) => whole,
        Err((total, error)) => {
            return Err(error).with_context(|| format!("stalled after {total} of {bytes} bytes"));
        }
    };
    sent.context("sending")?;
    Ok(Transfer { bytes: total, seconds, sent_digest, received_digest })
}

/// A stream of bytes that does not compress or repeat in step, and costs nothing to produce:
/// windows into one random table, at places that depend on the number of the block.
struct Stream {
    table: Vec<u8>,
}

impl Stream {
    fn new(seed: u64) -> Self {
        let mut state = 0x5eed_u64 ^ mix(seed);
        let mut next = || {
            state = mix(state.wrapping_add(1));
            state
        };
        let table = (0..BLOCK / 2).flat_map(|_| next().to_le_bytes());
        Self { table: table.map(|byte| byte & !1 | seed as u8 & 1).collect() }
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

#[cfg(test)]
mod tests {
    use super::{BLOCK, Stream};

    #[test]
    fn a_stream_has_its_length_and_is_the_same_each_time() {
        let bytes = BLOCK as u64 * 3 + 17;
        let collect = |seed| Stream::new(seed).blocks(bytes).collect::<Vec<_>>().concat();
        assert_eq!(collect(1).len() as u64, bytes);
        assert_eq!(collect(1), collect(1));
        assert_ne!(collect(1), collect(3));
        assert!(collect(1).iter().all(|byte| byte & 1 == 1));
        assert!(collect(2).iter().all(|byte| byte & 1 == 0));
        let whole = collect(1);
        assert_ne!(whole[..BLOCK], whole[BLOCK..2 * BLOCK], "a swap of blocks must show");
    }
}
