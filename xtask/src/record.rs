//! The record that `cargo xtask setup` leaves for `vxlan-user/build.rs`: what builds the BPF crate.
//!
//! Owns the format and its reading; this file is compiled into both, so that they cannot differ.
//! Writing is setup's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Relative to the workspace's root; ignored by git, since it describes one machine.
pub(crate) const FILE: &str = ".cargo/bpf-toolchain.toml";

/// The value of `RUSTC_BOOTSTRAP` for a compiler that is no nightly: lets the crates that need it
/// use unstable features (assembly for BPF). Their names instead of `1`: with `1` aya-build would
/// add `-Z build-std`, which needs the sources of `core`.
pub(crate) const UNSTABLE_CRATES: &str = "aya_ebpf,vxlan_ebpf";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The rustup toolchain that compiles for BPF; absent where there is no rustup.
    pub(crate) toolchain: Option<String>,
    /// Without rustup: where that `cargo` and `rustc` are, to be put first in `PATH`.
    pub(crate) bin_dir: Option<PathBuf>,
    /// What the compiler calls itself. A compiler upgrade changes the record, so cargo rebuilds.
    pub(crate) rustc: String,
    /// Absent for a nightly. Any other compiler gets [`UNSTABLE_CRATES`] as `RUSTC_BOOTSTRAP`.
    pub(crate) rustc_bootstrap: Option<String>,
    /// The directory of the bpf-linker that matches the compiler's LLVM.
    pub(crate) bpf_linker_dir: PathBuf,
    /// For the suites: checks the metrics page.
    pub(crate) promtool: Option<PathBuf>,
}

/// The record under `workspace`, or `None` when setup has not run there.
pub(crate) fn read(workspace: &Path) -> Result<Option<Record>> {
    let file = workspace.join(FILE);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err).with_context(|| format!("cannot read {}", file.display())),
    };
    let record = toml::from_str(&text).with_context(|| {
        format!("{} is not a toolchain record: run `cargo xtask setup`", file.display())
    })?;
    Ok(Some(record))
}
