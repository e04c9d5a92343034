//! `promtool`, which the suites check the metrics page with.
//!
//! Debian has it only inside the `prometheus` package, whose installation would start a service.
//! So the package is fetched and unpacked into our cache, and never installed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{apt, paths};

/// The user's own, or the one in our cache.
pub(crate) fn find(cache: &Path) -> Option<PathBuf> {
    paths::which("promtool").or_else(|| Some(ours(cache)).filter(|file| paths::is_executable(file)))
}

fn ours(cache: &Path) -> PathBuf {
    cache.join("promtool/promtool")
}

/// Finds it or brings it. Needs no root, only apt.
pub(crate) fn ensure(cache: &Path) -> Result<PathBuf> {
    if let Some(file) = find(cache) {
        return Ok(file);
    }
    if !apt::available() {
        bail!(
            "no `promtool`, which the suites check the metrics page with: install Prometheus' \
             command-line tools so that it is in PATH, then run `cargo xtask setup` again"
        );
    }
    if !apt::has_candidate("prometheus") {
        bail!("apt knows no package `prometheus`, which has promtool; try `apt-get update`");
    }

    let file = ours(cache);
    let work = cache.join("promtool/unpack");
    let tree = apt::unpack("prometheus", "promtool", &work)?;
    // Last, so that a half-made file is never found under this name.
    fs::rename(tree.join("usr/bin/promtool"), &file)
        .context("Debian's package `prometheus` holds no usr/bin/promtool")?;
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    Ok(file)
}
