//! A row of a table of frames, and how it is put to the test.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use vxlan_tests::conserve::softnet_dropped;

use crate::victim::{Count, DropLabels, MANY, Victim, labels};

/// Frames that all have the same fate.
pub(crate) struct Row {
    /// What the bytes are.
    pub(crate) name: &'static str,
    pub(crate) frames: Vec<Vec<u8>>,
    /// Under which labels each is counted; `None`: it is not ours, and not counted.
    pub(crate) fate: Option<DropLabels>,
}

impl Row {
    pub(crate) fn refused(
        name: &'static str,
        (reason, peer, vni): (&str, &str, &str),
        frames: Vec<Vec<u8>>,
    ) -> Self {
        Self { name, frames, fate: Some(labels(reason, peer, vni)) }
    }

    pub(crate) fn not_ours(name: &'static str, frames: Vec<Vec<u8>>) -> Self {
        Self { name, frames, fate: None }
    }
}

/// Sends each row's frames [`MANY`] times in all. Nothing but the row's own count may move.
pub(crate) fn assert_fates(victim: &Victim, rows: &[Row]) -> Result<()> {
    assert_good_is_delivered(victim)?;
    for row in rows {
        assert_fate(victim, row, MANY)?;
    }
    // Also proves that none of the rows has turned anything off.
    assert_good_is_delivered(victim)
}

/// Sends the row's frames `total` times in all. Nothing but its own count may move.
pub(crate) fn assert_fate(victim: &Victim, row: &Row, total: u64) -> Result<()> {
    let ours = if row.fate.is_some() { total } else { 0 };
    let grown = victim.attack(&row.frames, total, ours)?;
    let dropped: BTreeMap<DropLabels, u64> =
        row.fate.iter().map(|labels| (labels.clone(), total)).collect();
    let expected = Count { arrived: total, dropped, delivered: 0, entered: 0 };
    assert_eq!(grown, expected, "{}", row.name);
    Ok(())
}

/// The frame that the rows are variations of is let in: else they were refused for another reason
/// than the one in question.
pub(crate) fn assert_good_is_delivered(victim: &Victim) -> Result<()> {
    // Few enough for the backlog that redirected frames go through; but it is the whole machine's.
    const FEW: u64 = 100;
    let overflowed = softnet_dropped()?;
    let grown = victim.attack(&[victim.good()], FEW, FEW)?;
    let overflowed = softnet_dropped()? - overflowed;
    let entered = grown.entered;
    ensure!(
        grown == Count { arrived: FEW, dropped: BTreeMap::new(), delivered: FEW, entered },
        "{FEW} frames that are allowed: {grown:?}"
    );
    ensure!(
        entered <= FEW && FEW - entered <= overflowed,
        "{entered} of {FEW} entered, and the backlog overflowed {overflowed} times"
    );
    Ok(())
}
