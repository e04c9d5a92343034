//! What the daemon observes of itself: written by it, read by the metrics page.

use super::{longest_turn::LongestTurn, lost_lines::LostLines, network_status::SharedNetworks};

/// Values that hold across reloads. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct DaemonStats {
    pub longest_turn: LongestTurn,
    pub lost_lines: LostLines,
    pub networks: SharedNetworks,
}
