//! The changes that a takeover has made so far.

use crate::{dataplane::AttachedPrograms, host::OverlayChanges};

/// The changes that a failed takeover must undo.
#[derive(Default)]
pub(super) struct Changes {
    /// Overlay interfaces and routes.
    pub(super) overlays: OverlayChanges,
    /// The pins are new: there were none before.
    pub(super) pinned: bool,
    /// Links and filters as they were before.
    pub(super) before: Option<AttachedPrograms>,
    /// The underlay interface by name and index, if `deliver` is a new filter on it, and whether
    /// the clsact qdisc of the interface is new too.
    pub(super) filter: Option<(String, u32, bool)>,
}
