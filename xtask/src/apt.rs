//! Debian's and Ubuntu's package manager: what may be installed, and installing it.
//!
//! Never removes a package: where an installation would, it stops with an error.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Uid;

use crate::{paths, progress};

/// True on Debian, Ubuntu and what is made from them.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        fs::read_to_string("/etc/os-release").is_ok_and(|text| is_debian_like(&text))
            && paths::which("apt-get").is_some()
    })
}

/// True where setup may install packages by itself.
pub(crate) fn may_install() -> bool {
    available() && Uid::effective().is_root()
}

fn is_debian_like(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| matches!(*key, "ID" | "ID_LIKE"))
        .flat_map(|(_, value)| value.trim().trim_matches(['"', '\'']).split_whitespace())
        .any(|id| matches!(id, "debian" | "ubuntu"))
}

/// The command a person types to install `packages`.
pub(crate) fn command_line(packages: &[String]) -> String {
    let sudo = if Uid::effective().is_root() { "" } else { "sudo " };
    format!(
        "{sudo}apt-get update && {sudo}apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Fetches the package lists, once per run of xtask.
pub(crate) fn update() -> Result<()> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_none() {
        progress::step("apt-get update", apt_get().arg("update"))?;
        DONE.get_or_init(|| ());
    }
    Ok(())
}

pub(crate) fn install(packages: &[String]) -> Result<()> {
    update()?;
    let unknown: Vec<_> = packages.iter().filter(|name| !has_candidate(name)).cloned().collect();
    if !unknown.is_empty() {
        bail!(
            "apt knows no package {}: on Debian 12 `rustc-web` and LLVM 22 come from the \
             bookworm-security repository; is it in /etc/apt/sources.list?",
            unknown.join(", ")
        );
    }
    let mut cmd = apt_get();
    cmd.args(["install", "--yes", "--no-install-recommends", "--no-remove"]).args(packages);
    progress::step(&format!("installing {}", packages.join(" ")), &mut cmd).with_context(|| {
        "apt-get did not install what setup needs; if it says that a package would be removed, \
         that is for you to decide (`rustc-web` replaces Debian's `rustc` and `rustup` packages)"
    })
}

fn apt_get() -> Command {
    let mut cmd = Command::new("apt-get");
    cmd.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    // Another apt may be at work on a fresh machine: wait for it.
    cmd.args(["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Color=0"]);
    cmd
}

/// True when apt could install `package`. On a fresh machine the package lists are empty: where we
/// may, they are fetched before the answer is no.
pub(crate) fn has_candidate(package: &str) -> bool {
    let known = || query("apt-cache", &["policy", package]).is_some_and(|text| candidate_in(&text));
    if known() || !may_install() {
        return known();
    }
    match update() {
        Ok(()) => known(),
        Err(err) => {
            progress::note(&format!("going on with the package lists there are: {err:#}"));
            false
        }
    }
}

fn candidate_in(policy: &str) -> bool {
    policy.lines().any(|line| {
        line.trim().strip_prefix("Candidate:").is_some_and(|version| version.trim() != "(none)")
    })
}

/// Names of packages that begin with `prefix`; also of packages that only others refer to.
pub(crate) fn names(prefix: &str) -> Vec<String> {
    let known = || query("apt-cache", &["pkgnames", prefix]).unwrap_or_default();
    let mut text = known();
    if text.is_empty() && may_install() && update().is_ok() {
        text = known();
    }
    text.lines().map(str::to_owned).collect()
}

/// Fetches `package` and unpacks it below `work`, without installing it; `why` is for the display.
/// Returns where its root is. Needs no root.
pub(crate) fn unpack(package: &str, why: &str, work: &Path) -> Result<PathBuf> {
    // What an interrupted run left. Where nothing is left, there is nothing to remove.
    let _ = fs::remove_dir_all(work);
    fs::create_dir_all(work).with_context(|| format!("cannot create {}", work.display()))?;

    let mut download = Command::new("apt-get");
    // As root apt would hand the download to its own user, who cannot write into our cache.
    download.args(["-q", "-o", "APT::Sandbox::User=root", "download", package]);
    progress::step(
        &format!("fetching {package} for {why} (it is not installed)"),
        download.current_dir(work),
    )?;
    let file = fs::read_dir(work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ext| ext == "deb"))
        .with_context(|| format!("apt-get download left no package in {}", work.display()))?;
    let tree = work.join("tree");
    let unpack = &mut Command::new("dpkg");
    progress::step(&format!("unpacking {why}"), unpack.arg("-x").arg(&file).arg(&tree))?;
    Ok(tree)
}

/// The major version of the LLVM that `package`, installed or not, is linked to.
pub(crate) fn llvm_major_of(package: &str) -> Option<u32> {
    let args =
        ["--recurse", "--important", "--no-conflicts", "--no-breaks", "--no-replaces", "depends"];
    llvm_major_in(&query("apt-cache", &[&args[..], &[package]].concat())?)
}

fn llvm_major_in(depends: &str) -> Option<u32> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: libllvm"))
        .filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..end)?.parse().ok()
        })
        .max()
}

fn query(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).env("LC_ALL", "C").args(args).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_by_id_and_id_like() {
        assert!(is_debian_like("PRETTY_NAME=\"x\"\nID=debian\n"));
        assert!(is_debian_like("ID=ubuntu\nID_LIKE=debian"));
        assert!(is_debian_like("ID=pop\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian_like("ID=fedora\nID_LIKE=\"rhel\"\nNAME=debian"));
        assert!(!is_debian_like(""));
    }

    #[test]
    fn candidate_is_read_from_policy() {
        assert!(candidate_in("tool:\n  Installed: (none)\n  Candidate: 1.2-3\n"));
        assert!(!candidate_in("tool:\n  Installed: (none)\n  Candidate: (none)\n"));
        // apt-cache prints nothing at all about an unknown name.
        assert!(!candidate_in(""));
    }

    #[test]
    fn llvm_major_is_the_newest_in_the_dependencies() {
        let text = "rustc-web\n  Depends: libstd-rust-web-dev\nlibstd-rust-web-1.96\n  \
                    Depends: libllvm22\n  Depends: libllvm9t64\n";
        assert_eq!(llvm_major_in(text), Some(22));
        assert_eq!(llvm_major_in("gcc\n  Depends: libc6\n"), None);
    }
}
