//! A stream of numbered datagrams that goes on until it is told to stop: which of them arrived, to
//! the last one. Knows nothing of what carries it.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::netns::Ns;
use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

/// Bytes of each datagram.
const SIZE: usize = 200;
const MILLISECOND: Duration = Duration::from_millis(1);
/// A sender that was held up for longer does not make up for it: a burst would be a test of queues.
const HELD_UP: Duration = Duration::from_millis(3);
/// After the last datagram was sent, and none has come for as long, none is on its way.
const QUIET: Duration = Duration::from_millis(300);
/// The same while some are missing.
const PATIENCE: Duration = Duration::from_secs(3);
/// Of the numbers that are missing, so many are told.
const MAX_LISTED: usize = 20;

/// What has become of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub sent: u64,
    /// That the sender's own host would not take.
    pub refused: u64,
    pub lost: u64,
    pub duplicates: u64,
    pub damaged: u64,
    /// That arrived behind one with a higher number.
    pub late: u64,
    /// Of those that were lost, the first ones.
    pub missing: Vec<u64>,
}

impl Tally {
    pub fn is_whole(&self) -> bool {
        self.sent > 0 && (self.refused, self.lost, self.duplicates, self.damaged) == (0, 0, 0, 0)
    }
}

/// One direction. Stops when it is dropped.
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<Result<Result<u64>>>>,
    receiver: Option<JoinHandle<Result<Tally>>>,
    sent: Arc<AtomicU64>,
}

/// How many were sent; until that is known, [`u64::MAX`].
type Total = Arc<AtomicU64>;

impl Stream {
    /// From an address in one namespace to one in another, so many datagrams each millisecond, as
    /// far as the machine lets us.
    pub fn start(from: (&Ns, Ipv4Addr), to: (&Ns, Ipv4Addr), per_millisecond: u32) -> Result<Self> {
        let bind = |(ns, address): (&Ns, Ipv4Addr)| {
            ns.exec(|| UdpSocket::bind((address, 0)))?
                .with_context(|| format!("binding {address} in {}", ns.name()))
        };
        let (near, far) = (bind(from)?, bind(to)?);
        setsockopt(&far, RcvBufForce, &(256 << 20))?;
        far.set_read_timeout(Some(Duration::from_millis(50)))?;
        let target = far.local_addr()?;
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let total: Total = Arc::new(AtomicU64::new(u64::MAX));
        let receiver = thread::spawn({
            let total = Arc::clone(&total);
            move || receive(&far, &total)
        });
        let sender = from.0.spawn({
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            move || {
                let refused = send(&near, target, per_millisecond, &stop, &sent);
                total.store(sent.load(Ordering::Acquire), Ordering::Release);
                refused
            }
        });
        Ok(Self { stop, sender: Some(sender), receiver: Some(receiver), sent })
    }

    /// Datagrams sent up to now.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Waits until so many more were sent.
    pub fn wait_for(&self, more: u64) -> Result<()> {
        let enough = self.sent() + more;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.sent() < enough {
            if Instant::now() > deadline || self.sender.as_ref().is_none_or(JoinHandle::is_finished)
            {
                bail!("the stream does not go on after {} datagrams", self.sent());
            }
            thread::sleep(MILLISECOND);
        }
        Ok(())
    }

    /// Stops sending and waits for what is on its way.
    pub fn finish(mut self) -> Result<Tally> {
        self.stop.store(true, Ordering::Release);
        let (Some(sender), Some(receiver)) = (self.sender.take(), self.receiver.take()) else {
            bail!("the stream had ended before");
        };
        let refused = crate::wait::joined(sender.join())??;
        let tally = crate::wait::joined(receiver.join())?;
        Ok(Tally { refused, ..tally })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Sends until told to stop. Returns how many were refused; they are not counted as sent.
fn send(
    socket: &UdpSocket,
    target: SocketAddr,
    per_millisecond: u32,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Result<u64> {
    // Not connected: that would keep the route of the first datagram.
    let mut refused = 0;
    let mut number = 0;
    let mut due = Instant::now();
    while !stop.load(Ordering::Acquire) {
        for _ in 0..per_millisecond {
            match socket.send_to(&datagram(number), target) {
                Ok(_) => number += 1,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => refused += 1,
            }
            sent.store(number, Ordering::Release);
        }
        due += MILLISECOND;
        let now = Instant::now();
        match due.checked_duration_since(now) {
            Some(early) => thread::sleep(early),
            None if now - due > HELD_UP => due = now,
            None => {}
        }
    }
    Ok(refused)
}

fn datagram(number: u64) -> [u8; SIZE] {
    let mut bytes = [number as u8; SIZE];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn receive(socket: &UdpSocket, total: &AtomicU64) -> Result<Tally> {
    let mut seen: Vec<bool> = Vec::new();
    let mut tally = Tally::default();
    let (mut different, mut highest, mut last) = (0, 0, Instant::now());
    let mut buffer = [0; 2_048];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                last = Instant::now();
                let number =
                    buffer.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
                if number > 1 << 32 || buffer[..length] != datagram(number) {
                    tally.damaged += 1;
                    continue;
                }
                let slot = usize::try_from(number)?;
                if seen.len() <= slot {
                    seen.resize(slot + 1, false);
                }
                highest = highest.max(number);
                tally.late += u64::from(number < highest);
                match std::mem::replace(&mut seen[slot], true) {
                    true => tally.duplicates += 1,
                    false => different += 1,
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let all = total.load(Ordering::Acquire);
                let patience = if different == all { QUIET } else { PATIENCE };
                if all != u64::MAX && last.elapsed() > patience {
                    break;
                }
            }
            Err(error) => return Err(error).context("receiving datagrams"),
        }
    }
    tally.sent = total.load(Ordering::Acquire);
    let arrived = |number: &u64| {
        usize::try_from(*number).ok().and_then(|at| seen.get(at)).copied().unwrap_or(false)
    };
    let missing: Vec<u64> = (0..tally.sent).filter(|number| !arrived(number)).collect();
    tally.lost = missing.len() as u64;
    tally.missing = missing.into_iter().take(MAX_LISTED).collect();
    Ok(tally)
}
