//! The active data plane, together with what it was made from. A takeover makes it; all other
//! modules of the running daemon work on it.

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
    /// The learned endpoints of peers.
    pub(super) endpoints: Endpoints,
    /// The lock of the pins, which this process holds as long as the file is open.
    pub(super) pins_lock: Option<Arc<File>>,
}

impl ActivePlane {
    /// Returns the number of the active generation.
    pub(super) fn generation(&self) -> u64 {
        self.state.generations.last().map_or(0, |generation| generation.number)
    }
}
