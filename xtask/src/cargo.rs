//! Commands that run the cargo we were started by, without what `cargo run` added for us.

use std::{env, ffi::OsString, process::Command};

use crate::paths;

/// The host's cargo, in the workspace's root.
pub(crate) fn cargo() -> Command {
    // Set by `cargo run`: the very cargo that built this program.
    host(&env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Any program, in the workspace's root.
pub(crate) fn host(program: &(impl AsRef<std::ffi::OsStr> + ?Sized)) -> Command {
    let mut cmd = Command::new(program);
    cmd.current_dir(paths::workspace());
    // These describe xtask. A build script that reads one would be run again each time the same
    // build is started with and without xtask.
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cmd.env_remove(&key);
        }
    }
    cmd
}
