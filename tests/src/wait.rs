//! Waiting for what neither the kernel nor another process announces, and for threads.

use std::{
    any::Any,
    panic::resume_unwind,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

/// Asks again and again until `condition` holds; an error after `patience`.
pub fn wait_until(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !condition()? {
        ensure!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What a thread returned, by what its `join` says; its panic goes on here.
pub fn joined<T>(result: Result<T, Box<dyn Any + Send>>) -> T {
    result.unwrap_or_else(|panic| resume_unwind(panic))
}
