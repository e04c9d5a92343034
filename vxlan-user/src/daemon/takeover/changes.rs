//! The changes that a takeover has made so far.

use crate::{
    dataplane::{AttachedPrograms, Generation},
    host::{OverlayChanges, OverlaySnapshot},
};

/// The changes that a failed takeover must undo.
#[derive(Default)]
pub(super) struct Changes {
    /// What the overlay interfaces of the previous run were like.
    pub(super) before_overlays: OverlaySnapshot,
    /// Overlay interfaces and routes.
    pub(super) overlays: OverlayChanges,
    /// The pins are new: there were none before.
    pub(super) pinned: bool,
    /// The new generation, once it may have counted packets.
    pub(super) generation: Option<Generation>,
    /// Links and filters as they were before.
    pub(super) before: Option<AttachedPrograms>,
    /// The underlay interface by name and index, if `deliver` is a new filter on it, and whether
    /// the clsact qdisc of the interface is new too.
    pub(super) filter: Option<(String, u32, bool)>,
}
