//! The data plane at work, with what it was made from: what a takeover makes and all else works on.

use std::{fs::File, sync::Arc};

use super::preflight::Preflight;
use crate::{
    dataplane::{Attachment, DataPlane},
    plan::{Endpoints, Plan},
    state::HostState,
};

/// A data plane that carries traffic.
#[derive(Debug)]
pub struct ActivePlane {
    pub preflight: Preflight,
    pub plane: DataPlane,
    pub attachment: Attachment,
    pub state: HostState,
    pub(super) plan: Plan,
    /// Where peers are whose endpoint is learned.
    pub(super) endpoints: Endpoints,
    /// The pins are this process's as long as it is open.
    pub(super) pins_lock: Option<Arc<File>>,
}

impl ActivePlane {
    /// The generation at work.
    pub(super) fn generation(&self) -> u64 {
        self.state.generations.last().map_or(0, |generation| generation.number)
    }
}
