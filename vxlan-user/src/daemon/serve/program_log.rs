//! Forwards the messages of the BPF programs to the daemon's log.

use anyhow::Context as _;
use tokio::io::{Interest, unix::AsyncFd};

use crate::{daemon::running::ActivePlane, dataplane::LoadOptions};

/// Forwards the programs' messages to the log, in a task that lasts as long as the process.
pub(in crate::daemon) fn forward(
    running: &mut ActivePlane,
    options: LoadOptions,
) -> anyhow::Result<()> {
    let Some(logger) = running.plane.logger(options) else { return Ok(()) };
    // SAFETY: the logger owns the map whose descriptor it hands out, hands out the same one every
    // time, and is itself owned by the registration until that ends.
    let mut logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }
        .context("cannot wait for the programs' messages")?;
    tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
    Ok(())
}
