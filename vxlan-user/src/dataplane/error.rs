//! What can go wrong between this program and the kernel's BPF side, in sentences for its user.

use std::path::PathBuf;

/// A failed load, attachment, or access to a map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataPlaneError {
    #[error("the BPF object does not load: {0}")]
    Object(#[from] aya::EbpfError),

    #[error("program {name} is refused by the kernel: {source}")]
    Program { name: &'static str, source: Box<aya::programs::ProgramError> },

    #[error(
        "the BPF object has no {what} {name}; it was built from other sources than this program"
    )]
    Missing { what: &'static str, name: &'static str },

    #[error(
        "map {name} is full or refuses an entry ({source}); it holds at most {capacity} entries"
    )]
    Map { name: &'static str, capacity: u32, source: Box<aya::maps::MapError> },

    #[error("map {name} cannot be read: {source}")]
    Read { name: &'static str, source: Box<aya::maps::MapError> },

    #[error("map {name} of the former generation cannot be read: {source}")]
    Former { name: String, source: std::io::Error },

    #[error(
        "the configuration needs {needed} entries in map {name}, which holds {capacity}; split it \
         over several hosts"
    )]
    Capacity { name: &'static str, needed: usize, capacity: u32 },

    #[error("cannot attach {program} to {interface}: {reason}")]
    Attach { program: &'static str, interface: String, reason: String },

    #[error("{path}: {reason}", path = .path.display())]
    Pin { path: PathBuf, reason: String },
}

impl DataPlaneError {
    pub(super) fn pin(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Pin { path: path.into(), reason: reason.to_string() }
    }
}
