//! Sends raw frames out of an interface as fast as the kernel takes them, and knows exactly how
//! many it took. What the frames hold is the business of `packet`.

use std::{
    io::ErrorKind,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    netns::Ns,
    socket::{self, Receive},
};

const BATCH: usize = 64;
/// How long the kernel may refuse everything before we call it stuck.
const STUCK: Duration = Duration::from_secs(5);

/// What became of the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected {
    /// Frames that are on their way.
    pub accepted: u64,
    /// Times the kernel said "no room". Those frames were sent again, so they are not missing;
    /// where the other end has no NAPI each also counts in `/proc/net/softnet_stat`.
    pub refused: u64,
}

/// Sends `total` frames out of `interface`, going round `frames`. Past the qdisc, so nothing is
/// queued: a frame that is accepted is in the receive ring of the veth's other end.
pub fn inject<F: AsRef<[u8]>>(
    ns: &Ns,
    interface: &str,
    frames: &[F],
    total: u64,
) -> Result<Injected> {
    ensure!(!frames.is_empty(), "no frame to send");
    let socket = ns.exec(|| socket::packet_socket(interface, Receive::Nothing))??;
    socket::set_option(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)
        .context("switching the qdisc off for a packet socket")?;
    let mut round = frames.iter().map(AsRef::as_ref).cycle();
    let mut batch: Vec<&[u8]> = Vec::with_capacity(BATCH);
    let mut injected = Injected { accepted: 0, refused: 0 };
    let mut progress = Instant::now();
    while injected.accepted < total {
        let left = usize::try_from(total - injected.accepted).unwrap_or(usize::MAX);
        batch.extend(round.by_ref().take(left.min(BATCH) - batch.len()));
        match socket::send_batch(&socket, &batch) {
            Ok(sent) => {
                injected.accepted += sent as u64;
                injected.refused += u64::from(sent < batch.len());
                batch.drain(..sent);
                progress = Instant::now();
            }
            Err(error) if is_full(&error) => {
                injected.refused += 1;
                if progress.elapsed() > STUCK {
                    bail!("{interface} took {injected:?} of {total} frames and then no more");
                }
                thread::yield_now();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("sending frame {} of {total} out of {interface}", injected.accepted)
                });
            }
        }
    }
    Ok(injected)
}

/// Hands `total` frames to `interface` as the host's own stack does, through the qdisc and the
/// programs in TC: for an overlay interface. What the kernel says it dropped is not sent again, and
/// counts as refused.
pub fn offer<F: AsRef<[u8]>>(
    ns: &Ns,
    interface: &str,
    frames: &[F],
    total: u64,
) -> Result<Injected> {
    ensure!(!frames.is_empty(), "no frame to send");
    let socket = ns.exec(|| socket::packet_socket(interface, Receive::Nothing))??;
    let mut injected = Injected { accepted: 0, refused: 0 };
    for frame in frames.iter().cycle().take(usize::try_from(total)?) {
        // One at a time: of a batch it would not be known which one was refused.
        match socket::send_batch(&socket, &[frame.as_ref()]) {
            Ok(_) => injected.accepted += 1,
            Err(error) if is_full(&error) => injected.refused += 1,
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("offering a frame to {interface}, {injected:?}"));
            }
        }
    }
    Ok(injected)
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN))
}
