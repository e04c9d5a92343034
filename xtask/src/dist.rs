//! `cargo xtask dist`: the optimized binary without symbols, and its debug information beside it.
//!
//! Debuggers find the debug file by its name, which the binary holds with a checksum. It is needed
//! only where a core dump or an address is looked into, not on the hosts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{build, progress, required::Scope, setup};

pub(crate) fn run() -> Result<ExitCode> {
    setup::ensure(Scope::Build)?;
    let binary = build::dist()?;
    let debug = split(&binary)?;
    for file in [&binary, &debug] {
        let megabytes = fs::metadata(file)?.len() as f64 / 1e6;
        println!("{}: {megabytes:.1} MB", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Moves the symbols of `binary` into a file of the same name with `.debug`, and returns its path.
/// Does nothing when that was done before.
fn split(binary: &Path) -> Result<PathBuf> {
    let debug = binary.with_added_extension("debug");
    let name = debug.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if debug.exists() && !has_symbols(binary)? {
        return Ok(debug);
    }
    let stripped = binary.with_added_extension("stripped");
    objcopy("moving its symbols out", binary, &["--only-keep-debug"], &debug)?;
    // objcopy looks for the debug file to compute its checksum: in the directory it runs in.
    let link = format!("--add-gnu-debuglink={name}");
    objcopy("stripping it", binary, &["--strip-all", &link], &stripped)?;
    // A new file: cargo's own has the same inode as `binary`, and keeps its symbols.
    fs::rename(&stripped, binary).with_context(|| format!("cannot write {}", binary.display()))?;
    Ok(debug)
}

fn has_symbols(binary: &Path) -> Result<bool> {
    let out = Command::new("readelf").args(["--wide", "--section-headers"]).arg(binary).output();
    let out = out.context("cannot start readelf, which belongs to binutils")?;
    Ok(String::from_utf8_lossy(&out.stdout).contains(".symtab"))
}

fn objcopy(what: &str, from: &Path, args: &[&str], to: &Path) -> Result<()> {
    let mut cmd = Command::new("objcopy");
    cmd.args(args).arg(from).arg(to).current_dir(from.parent().unwrap_or(from));
    progress::step(what, &mut cmd).context("objcopy belongs to binutils")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_move_to_a_file_that_the_binary_names() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let binary = dir.path().join("program");
        fs::copy(std::env::current_exe()?, &binary)?;
        let whole = fs::metadata(&binary)?.len();
        assert!(has_symbols(&binary)?);
        let debug = split(&binary)?;
        assert_eq!(debug, dir.path().join("program.debug"));
        assert!(!has_symbols(&binary)? && has_symbols(&debug)?);
        assert!(fs::metadata(&binary)?.len() < whole / 2);
        let bytes = fs::read(&binary)?;
        assert!(bytes.windows(13).any(|window| window == b"program.debug"), "no debug link");
        assert!(Command::new(&binary).arg("--list").output()?.status.success());
        // Again, as when cargo has nothing to build: both stay.
        let before = fs::metadata(&debug)?.len();
        split(&binary)?;
        assert_eq!(fs::metadata(&debug)?.len(), before);
        Ok(())
    }
}
