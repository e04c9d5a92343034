//! Captures frames on an interface, to see that something did arrive, or did not. The capture is on
//! before `start` returns. VLAN tags that the kernel has taken off a frame are not put back.

use std::{
    io::{ErrorKind, PipeWriter},
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{
    netns::Ns,
    socket::{self, Receive},
};

const RECEIVE_BUFFER: i32 = 128 << 20;

/// One frame, from the Ethernet header on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    pub frame: Vec<u8>,
    /// Sent by the host itself, not received.
    pub outgoing: bool,
}

/// What a whole capture has seen.
#[derive(Debug, Default)]
pub struct Capture {
    pub frames: Vec<Captured>,
    /// Frames that came too fast to be looked at. A count is exact only when this is 0.
    pub lost: u32,
}

#[derive(Default)]
struct Shared {
    frames: Mutex<Vec<Captured>>,
    arrived: Condvar,
}

/// A capture that is going on. Stops on drop.
pub struct Sniffer {
    shared: Arc<Shared>,
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<Result<u32>>>,
}

impl Sniffer {
    /// Keeps the frames for which `filter` is true.
    pub fn start(
        ns: &Ns,
        interface: &str,
        filter: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Result<Self> {
        let socket = ns.exec(|| socket::packet_socket(interface, Receive::Everything))??;
        socket::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)?;
        let (stopped, stop) = std::io::pipe()?;
        let shared = Arc::new(Shared::default());
        let reader = Arc::clone(&shared);
        let thread = thread::spawn(move || read(&socket, &stopped.into(), &reader, filter));
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Waits until `enough` says so of the frames seen so far; false when time ran out.
    pub fn wait_until(&self, timeout: Duration, enough: impl Fn(&[Captured]) -> bool) -> bool {
        let guard = self.shared.frames();
        self.shared
            .arrived
            .wait_timeout_while(guard, timeout, |frames| !enough(frames))
            .is_ok_and(|(_, result)| !result.timed_out())
    }

    /// Waits for `count` frames and returns all seen so far, which are fewer when time ran out.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> Vec<Captured> {
        self.wait_until(timeout, |frames| frames.len() >= count);
        self.shared.frames().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.frames().len()
    }

    /// Ends the capture, with everything that had arrived by now.
    pub fn finish(mut self) -> Result<Capture> {
        let lost = self.end().context("the capture had ended before")??;
        Ok(Capture { frames: std::mem::take(&mut *self.shared.frames()), lost })
    }

    fn end(&mut self) -> Option<Result<u32>> {
        // Closing our end of the pipe wakes the reader.
        drop(self.stop.take());
        let result = self.thread.take()?.join();
        Some(crate::wait::joined(result))
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the filter has been printed already; a second one here would abort.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn frames(&self) -> MutexGuard<'_, Vec<Captured>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads until told to stop, then what is left in the socket. Returns how many frames were lost.
fn read(
    socket: &OwnedFd,
    stopped: &OwnedFd,
    shared: &Shared,
    filter: impl Fn(&[u8]) -> bool,
) -> Result<u32> {
    let mut buffer = vec![0; 70_000];
    let mut last_round = false;
    loop {
        match socket::receive(socket, &mut buffer) {
            Ok((length, outgoing)) => {
                let frame = &buffer[..length.min(buffer.len())];
                if filter(frame) {
                    shared.frames().push(Captured { frame: frame.to_vec(), outgoing });
                    shared.arrived.notify_all();
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if last_round {
                    return Ok(socket::packet_drops(socket)?);
                }
                let mut fds = [
                    PollFd::new(socket.as_fd(), PollFlags::POLLIN),
                    PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
                ];
                poll(&mut fds, PollTimeout::NONE)?;
                last_round = fds[1].any().unwrap_or(false);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("reading from a packet socket"),
        }
    }
}
