//! Where things are: the workspace, our private cache, programs on `PATH`.
//!
//! Nothing here creates or changes a file, except that `cache` makes its directory.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};

/// The root of the workspace this xtask was built from.
pub(crate) fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The directory that cargo builds the workspace into.
pub(crate) fn target_dir() -> PathBuf {
    // A relative value is relative to the directory cargo was started in, which `cargo run` keeps.
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Our own corner of the user's cache, created when missing. Everything setup installs without a
/// package manager is in here, so that it never takes precedence over what the user has.
pub(crate) fn cache() -> Result<PathBuf> {
    let dir = cache_in(env::var_os("XDG_CACHE_HOME").map(Into::into), env::home_dir())
        .ok_or_else(|| anyhow!("no cache directory: set HOME or XDG_CACHE_HOME"))?;
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

fn cache_in(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification: a relative or empty path is to be ignored.
    xdg.filter(|dir| dir.is_absolute())
        .or_else(|| home.filter(|dir| dir.is_absolute()).map(|home| home.join(".cache")))
        .map(|dir| dir.join("vxlan-xtask"))
}

/// The full path of `program`. Looks in the sbin directories too: a user's `PATH` often lacks them.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

pub(crate) fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_follows_the_xdg_rules() {
        let home = || Some(PathBuf::from("/home/u"));
        let ours = |dir: &str| Some(PathBuf::from(dir));
        assert_eq!(cache_in(Some("/c".into()), home()), ours("/c/vxlan-xtask"));
        assert_eq!(cache_in(None, home()), ours("/home/u/.cache/vxlan-xtask"));
        assert_eq!(cache_in(Some("".into()), home()), ours("/home/u/.cache/vxlan-xtask"));
        assert_eq!(cache_in(Some("rel".into()), home()), ours("/home/u/.cache/vxlan-xtask"));
        assert_eq!(cache_in(None, None), None);
    }

    #[test]
    fn which_finds_only_executables() {
        assert!(which("sh").is_some_and(|sh| sh.is_absolute()));
        assert_eq!(which("no-such-program-anywhere"), None);
        assert!(!is_executable(Path::new("/etc/passwd")));
        assert!(!is_executable(Path::new("/etc")));
    }
}
