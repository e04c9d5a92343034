//! `cargo xtask lint`: rustfmt, clippy for the host and for BPF, typos, cargo-machete, cargo-deny.
//!
//! Every check runs, also after one has failed; the exit code is 1 when any found something.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt, cargo, cargo_tools, paths, progress,
    record::{self, Record},
    required::Scope,
    rustup, setup,
    toolchain::DEBIAN_PREFIX,
};

/// Debian's clippy of the compiler that setup installs.
const DEBIAN_CLIPPY: &str = "rust-web-clippy";

pub(crate) fn run() -> Result<ExitCode> {
    let record = setup::ensure(Scope::Build)?;
    host_components()?;
    let cache = paths::cache()?;
    cargo_tools::ensure_all(&cache)?;
    let bpf = bpf(&record)?;

    let mut failed = Vec::new();
    let mut check = |name, cmd: &mut Command| -> Result<()> {
        progress::heading(&progress::show(cmd));
        let status =
            cmd.status().with_context(|| format!("cannot start {}", progress::show(cmd)))?;
        if !status.success() {
            failed.push(name);
        }
        Ok(())
    };
    check("rustfmt", cargo::cargo().args(["fmt", "--all", "--check"]))?;
    check(
        "clippy",
        cargo::cargo()
            .args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
            // Clippy's build directories are its own: the BPF object would be built once more.
            .env("AYA_BUILD_SKIP", "1"),
    )?;
    check("BPF crate", &mut { bpf })?;
    check("typos", &mut cargo::host(&cargo_tools::TYPOS.ensure(&cache)?))?;
    check(
        "cargo-machete",
        // With metadata it looks only into the directories of a package's targets.
        cargo::host(&cargo_tools::MACHETE.ensure(&cache)?).arg("--with-metadata"),
    )?;
    check("cargo-deny", &mut deny(&cache)?)?;

    if failed.is_empty() {
        progress::heading("lint: nothing found");
        return Ok(ExitCode::SUCCESS);
    }
    progress::heading(&format!("lint: these found something: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// rustfmt and clippy for the host: in rustup's default profile, not in its minimal one.
fn host_components() -> Result<()> {
    let missing: Vec<_> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(verb, _)| !answers(cargo::cargo().args([verb, "--version"])))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if paths::which("rustup").is_none() {
        bail!("cargo has no {}: install it for this toolchain", missing.join(" and no "));
    }
    let mut add = cargo::host("rustup");
    add.args(["component", "add"]).args(&missing);
    progress::step(&format!("adding {}", missing.join(", ")), &mut add)
}

/// The check of the BPF crate for its own target, by the compiler that builds it.
fn bpf(record: &Record) -> Result<Command> {
    let clippy = bpf_clippy(record)?;
    let mut cmd = match &record.toolchain {
        Some(name) => {
            let mut cmd = cargo::host("rustup");
            cmd.args(["run", name, "cargo"]);
            cmd
        }
        None => cargo::host(&record.bin_dir.clone().unwrap_or_default().join("cargo")),
    };
    let endian = if cfg!(target_endian = "big") { "bpfeb" } else { "bpfel" };
    cmd.arg(if clippy { "clippy" } else { "check" })
        .args(["--package", "vxlan-ebpf", "--release", "--target"])
        .arg(format!("{endian}-unknown-none"))
        // A directory of its own: two compilers in one would each time forget what the other knew.
        .arg("--target-dir")
        .arg(paths::target_dir().join("bpf-lint"));
    if let Some(dir) = &record.bin_dir {
        let path = env::var_os("PATH").unwrap_or_default();
        let dirs = [dir.clone()].into_iter().chain(env::split_paths(&path));
        cmd.env("PATH", env::join_paths(dirs).context("PATH")?);
    }
    match &record.rustc_bootstrap {
        Some(_) => cmd.env("RUSTC_BOOTSTRAP", record::UNSTABLE_CRATES),
        // A nightly, which has no `core` for BPF but its sources.
        None => cmd.env_remove("RUSTC_BOOTSTRAP").args(["-Z", "build-std=core"]),
    };
    if clippy {
        cmd.args(["--", "-D", "warnings"]);
    } else {
        progress::note("no clippy for the BPF compiler here: the compiler's own warnings instead");
        cmd.env("RUSTFLAGS", "-D warnings");
    }
    Ok(cmd)
}

/// True when the BPF compiler has a clippy; installs Debian's where that is allowed.
fn bpf_clippy(record: &Record) -> Result<bool> {
    match record.toolchain.as_deref() {
        Some(nightly) if nightly != rustup::OUR_NAME => Ok(answers(cargo::host("rustup").args([
            "run",
            nightly,
            "cargo",
            "clippy",
            "--version",
        ]))),
        Some(_) | None => {
            let driver = Path::new(DEBIAN_PREFIX).join("bin/clippy-driver");
            if !driver.exists() && apt::may_install() && apt::has_candidate(DEBIAN_CLIPPY) {
                apt::install(&[DEBIAN_CLIPPY.to_owned()])?;
            }
            Ok(driver.exists())
        }
    }
}

fn answers(cmd: &mut Command) -> bool {
    cmd.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// cargo-deny with what it checks here.
fn deny(cache: &Path) -> Result<Command> {
    let mut cmd = cargo::host(&cargo_tools::DENY.ensure(cache)?);
    cmd.args(["--workspace", "check"]);
    if advisories().is_some() {
        cmd.args(["--disable-fetch", "advisories"]);
    } else {
        progress::note("no advisory database in CARGO_HOME/advisory-dbs: advisories not checked");
    }
    cmd.args(["bans", "licenses", "sources"]);
    Ok(cmd)
}

/// A database that was fetched earlier. Fetching one takes more than a package registry.
fn advisories() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")))?;
    let dbs = home.join("advisory-dbs");
    fs::read_dir(&dbs).is_ok_and(|mut entries| entries.next().is_some()).then_some(dbs)
}
