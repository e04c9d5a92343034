//! What can go wrong between this program and the kernel's BPF side, in sentences for its user.

use std::path::PathBuf;

use aya::{programs::ProgramError, sys::SyscallError};

/// A failed load, attachment, or access to a map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataPlaneError {
    #[error("the BPF object does not load: {0}")]
    Object(#[from] aya::EbpfError),

    #[error("program {name} is refused by the kernel: {source}")]
    Program { name: &'static str, source: Box<ProgramError> },

    #[error(
        "the BPF object has no {what} {name}; it was built from other sources than this program"
    )]
    Missing { what: &'static str, name: &'static str },

    #[error("map {name} refuses an entry: {source}")]
    Map { name: &'static str, source: Box<aya::maps::MapError> },

    #[error("map {name} cannot be read: {source}")]
    Read { name: &'static str, source: Box<aya::maps::MapError> },

    #[error("map {name} of the previous generation cannot be read: {source}")]
    PreviousGeneration { name: String, source: std::io::Error },

    #[error("the kernel does not describe map {name}: {source}")]
    Undescribed { name: String, source: Box<aya::maps::MapError> },

    /// The kernel has refused an entry (`E2BIG` for a hash or an array, `ENOSPC` for a trie), or
    /// too many entries were counted before anything was written.
    #[error(
        "there are {needed} {}, and one host has room for {capacity} (map {name}). Nothing was \
         changed. {}",
        contents(name),
        remedy(name)
    )]
    Full { name: &'static str, needed: usize, capacity: u32 },

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

/// Returns a function that turns aya's error about this program into a [`DataPlaneError`].
pub(super) fn program_error(name: &'static str) -> impl Fn(ProgramError) -> DataPlaneError {
    move |source| DataPlaneError::Program { name, source: Box::new(source) }
}

/// Returns the kernel's error number, where one is behind the error.
pub(super) fn errno(error: &ProgramError) -> Option<i32> {
    if let ProgramError::SyscallError(SyscallError { io_error, .. }) = error {
        io_error.raw_os_error()
    } else {
        None
    }
}

/// Returns the advice for an error that tells of this process or this host, and not of what was
/// opened.
pub(super) fn shortage(error: &std::io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EMFILE => Some(
            "This process may open no more files; traffic goes on. Raise the limit (`ulimit -n`, \
             LimitNOFILE=) and start again",
        ),
        libc::ENFILE => Some(
            "This host may open no more files; traffic goes on. Raise the limit (sysctl \
             fs.file-max) and start again",
        ),
        libc::ENOMEM => Some("There is no memory left; traffic goes on. Free some and start again"),
        libc::EACCES | libc::EPERM => Some("This process may not open it; traffic goes on"),
        _ => None,
    }
}

/// Returns what the entries of a map are, in words of the configuration.
fn contents(map: &str) -> &'static str {
    match map {
        "NETWORKS" | "FLOOD_LISTS" | "NETWORK_BY_VNI" | "NETWORK_BY_IFINDEX" => "networks",
        "VERSIONS" => "peers",
        "PEERS" | "PROBE_BUCKETS" => "entries of peers, two for each",
        "PROBERS" => "peers with a key",
        "PEER_BY_ADDRESS" => "endpoints and private addresses of peers",
        "MEMBERS" | "LEARNED" | "TAGS" => "members of networks",
        "SOURCES" => "addresses of members of networks",
        "MAPPINGS" => "ports of members of networks behind a NAT",
        "ROUTES" => "prefixes in allowed_ips and local_ips",
        "FDB" => "MAC addresses in networks",
        _ => "entries",
    }
}

/// Returns the advice for a full map: what to change in the configuration.
fn remedy(map: &str) -> &'static str {
    match map {
        "ROUTES" => {
            "Write fewer or wider prefixes in allowed_ips and local_ips, or give some of the peers \
             to another host"
        }
        "NETWORKS" | "FLOOD_LISTS" | "NETWORK_BY_VNI" | "NETWORK_BY_IFINDEX" => {
            "Give some of the networks to another host"
        }
        "PEERS" | "VERSIONS" | "PROBERS" | "PEER_BY_ADDRESS" => {
            "Give some of the peers to another host"
        }
        _ => "Take peers out of networks that they need not be in, or give some to another host",
    }
}
