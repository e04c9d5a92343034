//! The event loop's signs of life, as a service manager receives them.

use std::{
    os::unix::net::UnixDatagram,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use vxlan_tests::{Run, daemon::Daemon, wait::joined};

/// What the watchdog waits for, in microseconds: the daemon notifies it three times as often.
const WATCHDOG_USEC: &str = "30000";

/// The end of the service manager: when the event loop gave a sign of life.
pub(crate) struct Watchdog {
    signs: Arc<Mutex<Vec<Instant>>>,
    ends: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn listen(run: &Run, daemon: &mut Daemon) -> Result<Self> {
        let path = run.dir().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        daemon.set_environment("NOTIFY_SOCKET", path.to_str().context("UTF-8")?);
        daemon.set_environment("WATCHDOG_USEC", WATCHDOG_USEC);
        let (signs, ends) = (Arc::<Mutex<Vec<Instant>>>::default(), Arc::<AtomicBool>::default());
        let listener = thread::spawn({
            let (signs, ends) = (Arc::clone(&signs), Arc::clone(&ends));
            move || {
                let mut buffer = [0; 4_096];
                while !ends.load(Ordering::Acquire) {
                    let Ok(length) = socket.recv(&mut buffer) else { continue };
                    if buffer[..length].windows(10).any(|at| at == b"WATCHDOG=1")
                        && let Ok(mut signs) = signs.lock()
                    {
                        signs.push(Instant::now());
                    }
                }
            }
        });
        Ok(Self { signs, ends, listener: Some(listener) })
    }

    /// How many signs there were so far.
    pub(crate) fn count(&self) -> usize {
        self.signs.lock().map_or(0, |signs| signs.len())
    }

    /// The longest time without a sign, from then until now.
    pub(crate) fn stall(&self, since: Instant) -> Duration {
        let signs = self.signs.lock().map(|signs| signs.clone()).unwrap_or_default();
        let mut last = since;
        let mut longest = Duration::ZERO;
        for sign in signs.into_iter().filter(|sign| *sign > since).chain([Instant::now()]) {
            longest = longest.max(sign - last);
            last = sign;
        }
        longest
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(listener) = self.listener.take() {
            joined(listener.join());
        }
    }
}
