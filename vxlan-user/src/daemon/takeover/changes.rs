//! What a takeover has changed so far.

use crate::{dataplane::AttachedPrograms, host::WantedRoute};

/// The changes that a failed takeover must undo.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) overlays: Vec<String>,
    pub(super) routes: Vec<WantedRoute>,
    /// There were no pins before.
    pub(super) pinned: bool,
    /// Links and filters as they were.
    pub(super) before: Option<AttachedPrograms>,
    /// The underlay interface by name and index, if `deliver` is a filter there that was not
    /// before, and whether its clsact qdisc is new too.
    pub(super) filter: Option<(String, u32, bool)>,
}
