//! SIGINT and SIGTERM. They end the event loop, and a start or reload that is under way, which is
//! then undone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
    task::AbortHandle,
};

/// A start or a reload was given up because of a signal. Nothing is wrong.
#[derive(Debug, thiserror::Error)]
#[error("interrupted by a signal")]
pub(super) struct Interrupted;

/// Whether such a signal has come.
pub(super) struct Interrupt {
    came: Arc<Notify>,
    flag: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Interrupt {
    /// Takes both signals, from now on.
    pub(super) fn watch() -> anyhow::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let (came, flag) = (Arc::new(Notify::new()), Arc::default());
        let (notify, set) = (Arc::clone(&came), Arc::<AtomicBool>::clone(&flag));
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            set.store(true, Ordering::Release);
            notify.notify_one();
        });
        Ok(Self { came, flag, task: task.abort_handle() })
    }

    /// Waits for a signal.
    pub(super) async fn wait(&self) {
        if !self.has_come() {
            self.came.notified().await;
        }
    }

    /// # Errors
    /// [`Interrupted`]: a signal has come.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        if self.has_come() { Err(Interrupted) } else { Ok(()) }
    }

    fn has_come(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.task.abort();
    }
}
