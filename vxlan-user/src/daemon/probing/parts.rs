//! What probing needs of a generation of maps, opened before that takes over: from then on nothing
//! may fail.

use anyhow::Context as _;
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    dataplane::{ProbeRing, Reader},
    host::RawSender,
    metrics::RttHistogram,
};

/// A ring buffer, counters and a socket, all open.
pub(in crate::daemon) struct ProbingParts {
    pub(super) ring: AsyncFd<ProbeRing>,
    pub(super) reader: Reader,
    pub(super) sender: RawSender,
    pub(super) round_trips: RttHistogram,
}

impl ProbingParts {
    /// Goes on with these `round_trips`, if there are any.
    pub(in crate::daemon) fn open(
        directories: &Directories,
        running: &mut ActivePlane,
        round_trips: Option<RttHistogram>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            ring: probe_ring(running)?,
            reader: directories.reader(&running.state)?,
            sender: RawSender::open(&running.preflight.underlay.name)?,
            round_trips: match round_trips {
                Some(round_trips) => round_trips,
                None => {
                    RttHistogram::new(keyed(running)).context("cannot keep round-trip times")?
                }
            },
        })
    }
}

/// Opens the ring buffer through which the programs hand over probes.
fn probe_ring(running: &mut ActivePlane) -> anyhow::Result<AsyncFd<ProbeRing>> {
    let ring = running.plane.probe_ring()?;
    // SAFETY: the reader owns the map whose descriptor it hands out, hands out the same one every
    // time, and is itself owned by the registration until that ends.
    unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
        .context("cannot wait for probes")
}

/// Lists the peers that have a key, and so answer probes.
pub(super) fn keyed(running: &ActivePlane) -> impl Iterator<Item = &str> {
    let keyed = running.preflight.config.peers.iter().zip(&running.preflight.keys);
    keyed.filter(|(_, key)| key.is_some()).map(|(peer, _)| peer.name.as_str())
}
