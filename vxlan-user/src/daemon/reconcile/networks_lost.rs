//! Which networks' packets cannot pass, and why: in log, record and metrics, each change once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::publisher::Publisher;
use crate::{
    daemon::running::ActivePlane,
    metrics::SharedNetworks,
    state::{Record, RunDir},
};

/// Networks that get a line of log each when many change at a time.
const LISTED: usize = 3;

/// What is on record, and then in the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Publication {
    /// Indices of overlay interfaces.
    ifindexes: Vec<u32>,
    /// Why packets of each network cannot pass.
    lost: Vec<Option<String>>,
}

/// What was published last.
#[derive(Debug, Default)]
pub(super) struct NetworksLost {
    status: SharedNetworks,
    /// What is published, or will be once the record is on disk.
    published: Publication,
    publisher: Publisher,
    /// A record could not be stored, and so was not published.
    failed: Arc<AtomicBool>,
    /// What was logged of networks whose packets pass.
    minor: HashMap<usize, String>,
}

impl NetworksLost {
    pub(super) fn status(&self) -> SharedNetworks {
        self.status.clone()
    }

    /// Continues under another configuration.
    pub(super) fn reload(&mut self, running: &ActivePlane) {
        self.minor.clear();
        self.put(Publication::new(running), None);
    }

    /// Logs what was made good.
    pub(super) fn log_changes(&self, changes: &[String]) {
        for change in changes.iter().take(LISTED * 4) {
            tracing::info!("{change}: it differed from the configuration");
        }
        if let Some(more) = changes.len().checked_sub(LISTED * 4).filter(|more| *more != 0) {
            tracing::info!("{more} more differences from the configuration were made good");
        }
    }

    /// Logs what cannot be made good, though packets pass.
    pub(super) fn log_minor(&mut self, found: &[(usize, String)], running: &ActivePlane) {
        for (index, reason) in found {
            if self.minor.get(index) != Some(reason)
                && let Some(record) = running.state.networks.get(*index)
            {
                tracing::warn!(vni = record.vni, "{reason}");
            }
        }
        self.minor = found.iter().cloned().collect();
    }

    /// Begins to publish which networks' packets cannot pass; all others' can.
    pub(super) fn publish(
        &mut self,
        run_dir: &RunDir,
        running: &mut ActivePlane,
        found: Vec<(usize, String)>,
    ) {
        let mut reasons: HashMap<usize, String> = HashMap::new();
        for (index, reason) in found {
            reasons.entry(index).or_insert(reason);
        }
        let (mut lost, mut back) = (Vec::new(), Vec::new());
        for (index, record) in running.state.networks.iter_mut().enumerate() {
            let reason = reasons.remove(&index);
            if record.lost == reason {
                continue;
            }
            match &reason {
                Some(reason) => lost.push((record.vni, reason.clone())),
                None => back.push(record.vni),
            }
            record.lost = reason;
        }
        for (vni, reason) in lost.iter().take(LISTED) {
            tracing::warn!(vni, "no packet of this network can pass: {reason}");
        }
        if lost.len() > LISTED {
            tracing::warn!("no packet of {} networks in all can pass", lost.len());
        }
        for vni in back.iter().take(LISTED) {
            tracing::info!(vni, "packets of this network can pass again");
        }
        if back.len() > LISTED {
            tracing::info!("packets of {} networks in all can pass again", back.len());
        }
        let now = Publication::new(running);
        if self.failed.swap(false, Ordering::Relaxed) || now != self.published {
            self.put(now, Some(run_dir.record(running.state.clone())));
        }
    }

    fn put(&mut self, now: Publication, record: Option<Record>) {
        self.published = now.clone();
        let (status, failed) = (self.status.clone(), Arc::clone(&self.failed));
        self.publisher.publish_after(record, move |stored| match stored {
            Ok(()) => status.put(now.lost),
            Err(error) => {
                tracing::warn!("{error}");
                failed.store(true, Ordering::Relaxed);
            }
        });
    }
}

impl Publication {
    fn new(running: &ActivePlane) -> Self {
        let networks = || running.state.networks.iter();
        Self {
            ifindexes: networks().map(|network| network.ifindex).collect(),
            lost: networks().map(|network| network.lost.clone()).collect(),
        }
    }
}
