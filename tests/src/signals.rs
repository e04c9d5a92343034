//! SIGINT, SIGTERM and SIGHUP as something that can be asked for and waited for, so that a program
//! which is told to end still cleans up after itself.

use std::{
    io::{PipeReader, pipe},
    os::fd::{AsFd as _, IntoRawFd as _},
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};

/// Write end of the pipe; -1 until [`Stop::install`]. Never closed, as a handler may be using it.
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// Tells whether the process has been asked to end.
#[derive(Debug)]
pub struct Stop {
    /// Readable, and never read, once a signal has come.
    woken: PipeReader,
}

impl Stop {
    /// Takes the signals over, for the rest of the process's life. Once per process.
    pub fn install() -> Result<Self> {
        let (woken, wake) = pipe()?;
        if WAKE
            .compare_exchange(-1, wake.into_raw_fd(), Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            bail!("signal handlers are installed already");
        }
        let action =
            SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: the handler makes one async-signal-safe call and restores errno.
            unsafe { sigaction(signal, &action) }.with_context(|| format!("handling {signal}"))?;
        }
        Ok(Self { woken })
    }

    pub fn requested(&self) -> Result<bool> {
        self.wait(Duration::ZERO)
    }

    /// Waits for a signal; false when none came in time.
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(ready) => Ok(ready > 0),
            // The signal itself, or another one: the pipe tells which.
            Err(Errno::EINTR) => self.requested(),
            Err(errno) => Err(errno).context("waiting for a signal"),
        }
    }
}

extern "C" fn on_signal(_: i32) {
    let saved = Errno::last_raw();
    let fd = WAKE.load(Ordering::SeqCst);
    // SAFETY: write(2) is async-signal-safe, the buffer is one live byte, and the descriptor stays
    // open for the life of the process. A full pipe is fine: one byte is all anyone looks for.
    unsafe { libc::write(fd, [0_u8].as_ptr().cast(), 1) };
    Errno::set_raw(saved);
}
