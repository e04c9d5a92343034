//! Conservation: what was sent has been delivered, or is counted as lost.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use vxlan_tests::conserve::{added, softnet_dropped};

use crate::host::{Host, Spec, World};

/// A sample that loses more than this part is void.
const BOUND: f64 = 0.001;

/// What a host has counted as lost when it was looked at last. As long as nothing is missing nobody
/// need look again.
#[derive(Debug)]
pub(crate) struct Ledger {
    spec: Spec,
    losses: BTreeMap<String, u64>,
}

impl Ledger {
    pub(crate) fn open(world: &World, host: &Host) -> Result<Self> {
        Ok(Self { spec: host.spec, losses: host.losses(&world.generator)? })
    }

    /// Accounts for what is missing since the last time, and says if it is so much that the sample
    /// is void. An error, if it cannot be accounted for. `overflowed` is what the kernel's backlog
    /// had lost before.
    pub(crate) fn settle(
        &mut self,
        world: &World,
        sent: u64,
        delivered: u64,
        overflowed: u64,
    ) -> Result<Option<String>> {
        ensure!(delivered <= sent, "{delivered} packets were delivered of {sent}");
        let missing = sent - delivered;
        if missing == 0 {
            return Ok(None);
        }
        let now = world.host(self.spec)?.losses(&world.generator)?;
        let losses = added(&now, &self.losses);
        self.losses = now;
        let counted: u64 = losses.values().sum();
        // That of the whole machine: others may have lost there too.
        let backlog = softnet_dropped()? - overflowed;
        ensure!(
            counted <= missing && missing <= counted + backlog,
            "{sent} sent, {delivered} delivered, {losses:?} and {backlog} in the backlog lost"
        );
        Ok((missing as f64 > BOUND * sent as f64)
            .then(|| format!("{missing} of {sent} packets were lost: {losses:?}, {backlog}")))
    }
}
