//! The checks that cargo does not come with: pinned versions, built from source into our cache.
//!
//! They are built on first use, without optimization: each runs for seconds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{cargo, paths, progress};

/// A program of the package registry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    /// The package, which is not always called as its program.
    package: &'static str,
    program: &'static str,
    version: &'static str,
}

/// What a dependency must be to come in: licences, sources, advisories.
pub(crate) const DENY: Tool =
    Tool { package: "cargo-deny", program: "cargo-deny", version: "0.20.2" };
/// Dependencies that are not used. Of several tools the quickest one to build.
pub(crate) const MACHETE: Tool =
    Tool { package: "cargo-machete", program: "cargo-machete", version: "0.9.2" };
/// Misspelt words in code and documents.
pub(crate) const TYPOS: Tool = Tool { package: "typos-cli", program: "typos", version: "1.52.0" };
/// Everything that `cargo xtask lint` calls.
pub(crate) const ALL: [Tool; 3] = [DENY, MACHETE, TYPOS];

impl Tool {
    /// Returns the path of the program; builds it where it is missing.
    pub(crate) fn ensure(self, cache: &Path) -> Result<PathBuf> {
        let Self { package, program, version } = self;
        let root = cache.join(format!("{package}-{version}"));
        let file = root.join("bin").join(program);
        if paths::is_executable(&file) {
            return Ok(file);
        }
        // One directory for all of them: they have dependencies in common.
        let work = cache.join("build-tools");
        let mut install = cargo::cargo();
        install
            .args(["install", package, "--version", version, "--locked", "--root"])
            .arg(&root)
            // Outside of the workspace, whose cargo configuration is not meant for this.
            .current_dir(cache)
            .env("CARGO_TARGET_DIR", &work)
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0");
        progress::step(&format!("building {package} {version} (a minute or two)"), &mut install)?;
        Ok(file)
    }
}

/// Builds all of them that are missing, and removes what the builds leave.
pub(crate) fn ensure_all(cache: &Path) -> Result<()> {
    for tool in ALL {
        tool.ensure(cache)?;
    }
    let work = cache.join("build-tools");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    }
    Ok(())
}
