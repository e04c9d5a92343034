//! `promtool`, which the suites check the metrics page with.
//!
//! Debian has it only inside the `prometheus` package, whose installation would start a service.
//! So the package is fetched and unpacked into our cache, and never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt, paths, progress};

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
    // What an interrupted run left. Where nothing is left, there is nothing to remove.
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;

    let download = &mut Command::new("apt-get");
    // As root apt would hand the download to its own user, who cannot write into our cache.
    download.args(["-q", "-o", "APT::Sandbox::User=root", "download", "prometheus"]);
    progress::step(
        "fetching Debian's prometheus package for promtool (it is not installed)",
        download.current_dir(&work),
    )?;
    let package = fs::read_dir(&work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ext| ext == "deb"))
        .with_context(|| format!("apt-get download left no package in {}", work.display()))?;
    let unpack = &mut Command::new("dpkg");
    progress::step("unpacking promtool", unpack.arg("-x").arg(&package).arg(work.join("tree")))?;

    // Last, so that a half-made file is never found under this name.
    fs::rename(work.join("tree/usr/bin/promtool"), &file)
        .with_context(|| format!("{} holds no usr/bin/promtool", package.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    Ok(file)
}
