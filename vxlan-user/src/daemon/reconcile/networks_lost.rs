//! Which networks' packets cannot pass, and why: in log, record and metrics, each change once.

use std::collections::HashMap;

use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    metrics::SharedNetworks,
};

/// Networks that get a line of log each when many change at a time.
const LISTED: usize = 3;

/// What was published last.
#[derive(Debug, Default)]
pub(super) struct NetworksLost {
    status: SharedNetworks,
    /// Indices of overlay interfaces as they are on record on disk.
    recorded: Vec<u32>,
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
        self.recorded = ifindexes(running);
        self.status.put(running.state.networks.iter().map(|at| at.lost.clone()).collect());
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

    /// Publishes which networks' packets cannot pass; all others' can.
    pub(super) fn publish(
        &mut self,
        directories: &Directories,
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
        let ifindexes = ifindexes(running);
        let changed = !lost.is_empty() || !back.is_empty() || self.recorded != ifindexes;
        // In this order a status that the metrics report is in `vxlan show`, too.
        if changed && let Err(error) = directories.run_dir.store(&running.state) {
            tracing::warn!("{error}");
            return;
        }
        self.recorded = ifindexes;
        self.status.put(running.state.networks.iter().map(|at| at.lost.clone()).collect());
    }
}

fn ifindexes(running: &ActivePlane) -> Vec<u32> {
    running.state.networks.iter().map(|network| network.ifindex).collect()
}
