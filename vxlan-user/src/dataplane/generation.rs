//! One set of maps with the programs that use them, as the state file records it. A start or a
//! reload makes a new generation beside the old one, see docs/lifecycle.md.

use serde::{Deserialize, Serialize};
use vxlan_common::ABI_VERSION;

use super::layout::MapLayout;
use crate::{plan::Names, shared::Shared};

/// A pinned generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The directory of its maps.
    pub number: u64,
    /// Version of the layouts, and so the directory above.
    pub abi: u32,
    /// What the indices in the maps mean.
    pub names: Shared<Names>,
    pub maps: Shared<Vec<MapLayout>>,
}

impl Generation {
    /// Describes a generation of this version of the program.
    pub fn new(number: u64, names: Names, maps: Vec<MapLayout>) -> Self {
        Self { number, abi: ABI_VERSION, names: names.into(), maps: maps.into() }
    }
}
