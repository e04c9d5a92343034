//! Numbered datagrams in an even stream, from one host to another, and when which of them arrived.

use std::{
    io::ErrorKind,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::world::Host;

/// One each.
const SPACING: Duration = Duration::from_millis(2);
/// How long the last one may be on its way.
const TAIL: Duration = Duration::from_millis(500);

/// A stream that goes on.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<Result<Vec<(u64, Instant)>>>,
}

/// One that is over.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) sent: u64,
    /// Number and time, in the order of arrival.
    pub(crate) arrivals: Vec<(u64, Instant)>,
}

impl Stream {
    pub(crate) fn start(from: &Host, to: &Host) -> Result<Self> {
        let address = to.node.inner();
        let receiver = to.ns.exec(|| UdpSocket::bind((address, 0)))??;
        let destination = receiver.local_addr()?;
        let source = from.node.inner();
        let sender = from.ns.exec(|| UdpSocket::bind((source, 0)))??;
        let stop = Arc::new(AtomicBool::new(false));
        let (sending, receiving) = (Arc::clone(&stop), Arc::clone(&stop));
        let sender = thread::spawn(move || -> Result<u64> {
            let start = Instant::now();
            let mut sent: u64 = 0;
            while !sending.load(Ordering::Acquire) {
                // What the host itself does not take would be nobody's loss.
                sender.send_to(&sent.to_be_bytes(), destination).context("sending")?;
                sent += 1;
                let due = SPACING * u32::try_from(sent)?;
                thread::sleep(due.saturating_sub(start.elapsed()));
            }
            Ok(sent)
        });
        receiver.set_read_timeout(Some(TAIL))?;
        let receiver = thread::spawn(move || -> Result<Vec<(u64, Instant)>> {
            let mut arrivals = Vec::new();
            let mut buffer = [0; 8];
            loop {
                let stopped = receiving.load(Ordering::Acquire);
                match receiver.recv(&mut buffer) {
                    Ok(_) => arrivals.push((u64::from_be_bytes(buffer), Instant::now())),
                    Err(error) if error.kind() == ErrorKind::WouldBlock && stopped => {
                        return Ok(arrivals);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        });
        Ok(Self { stop, sender, receiver })
    }

    pub(crate) fn finish(self) -> Result<Flow> {
        self.stop.store(true, Ordering::Release);
        fn join<T>(thread: JoinHandle<T>) -> T {
            vxlan_tests::wait::joined(thread.join())
        }
        Ok(Flow { sent: join(self.sender)?, arrivals: join(self.receiver)? })
    }
}

impl Flow {
    pub(crate) fn lost(&self) -> u64 {
        self.sent - self.arrivals.len() as u64
    }

    /// Each came once, none before an earlier one.
    pub(crate) fn in_order(&self) -> bool {
        self.arrivals.is_sorted_by(|one, next| one.0 < next.0)
    }

    /// How long nothing came, at the most, between two arrivals.
    pub(crate) fn longest_silence(&self) -> Duration {
        let pairs = self.arrivals.iter().zip(self.arrivals.iter().skip(1));
        pairs.map(|(one, next)| next.1 - one.1).max().unwrap_or(Duration::MAX)
    }

    /// How many of consecutive numbers are missing, at the most, expressed as time.
    pub(crate) fn longest_gap(&self) -> Duration {
        let pairs = self.arrivals.iter().zip(self.arrivals.iter().skip(1));
        let gap = pairs.map(|(one, next)| next.0 - one.0 - 1).max().unwrap_or(self.sent);
        SPACING * u32::try_from(gap).unwrap_or(u32::MAX)
    }
}
