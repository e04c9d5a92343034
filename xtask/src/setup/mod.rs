//! `cargo xtask setup`: what builds the BPF programs, and the tools of the lab and the tests.
//!
//! Looks first and changes nothing when nothing is missing. Installs packages only as root on
//! Debian or Ubuntu; elsewhere it prints the commands. What it brings itself is in our cache.

mod advice;
mod record_file;
mod survey;

use std::{
    fs::{File, TryLockError},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt, linker, paths, progress, promtool,
    record::{Record, UNSTABLE_CRATES},
    required::{Scope, missing_packages},
    rustup,
    toolchain::{self, Choice, Compiler, CompilerKind, DEBIAN_PREFIX},
};
use advice::advice;
use survey::{describe_compilers, survey};

pub(crate) fn run() -> Result<ExitCode> {
    let record = ensure(Scope::Test)?;
    progress::note(&format!("BPF programs are built by {}", record.rustc));
    progress::note(&format!("and linked by {}/bpf-linker", record.bpf_linker_dir.display()));
    progress::note("everything is there");
    Ok(ExitCode::SUCCESS)
}

/// Brings what `scope` needs, and writes the record for `vxlan-user/build.rs`.
pub(crate) fn ensure(scope: Scope) -> Result<Record> {
    let cache = paths::cache()?;
    let _lock = lock(&cache)?;

    let tools = missing_packages(scope);
    let mut choice = survey(&cache)?;
    if apt::may_install() {
        let mut rounds = 0;
        // The packages of a compiler first; only then is it known which LLVM it has.
        while let Choice::Install(packages) = &choice {
            rounds += 1;
            if rounds > 3 {
                bail!(
                    "{} are installed and still do not serve: {}",
                    packages.join(" "),
                    describe_compilers(&cache)?
                );
            }
            apt::install(packages)?;
            choice = survey(&cache)?;
        }
        if !tools.is_empty() {
            apt::install(&tools)?;
        }
    }

    let compiler = match choice {
        Choice::Use(compiler) => compiler,
        Choice::Install(packages) => {
            return Err(advice(&[packages, tools].concat(), Some(&cache))?);
        }
        Choice::Nothing => return Err(advice(&tools, Some(&cache))?),
    };
    let record = install(compiler, &cache, scope)?;
    // The record is written before this check: building works even where the lab does not.
    match missing_packages(scope) {
        missing if !missing.is_empty() => Err(advice(&missing, None)?),
        _ => Ok(record),
    }
}

/// Links, builds and writes down what `compiler` needs.
fn install(compiler: Compiler, cache: &Path, scope: Scope) -> Result<Record> {
    let rustup = paths::which("rustup").is_some();
    let (toolchain, bin_dir, rustc_bootstrap) = match &compiler.kind {
        CompilerKind::Nightly(name) => (Some(name.clone()), None, None),
        CompilerKind::Debian if rustup => {
            rustup::link(Path::new(DEBIAN_PREFIX))?;
            (Some(rustup::OUR_NAME.to_owned()), None, Some(UNSTABLE_CRATES.to_owned()))
        }
        CompilerKind::Debian => {
            (None, Some(toolchain::debian_bin()), Some(UNSTABLE_CRATES.to_owned()))
        }
    };
    let label = compiler.label();
    let bpf_linker_dir = match compiler.linker {
        linker::LinkerPlan::Ready(dir) => dir,
        linker::LinkerPlan::Build { prefix, major } => linker::build(&prefix, major, cache)?,
        linker::LinkerPlan::Packages(_) | linker::LinkerPlan::No(_) => {
            bail!("{label} was chosen without a bpf-linker for it: this is a mistake in setup")
        }
    };
    let mut record = Record {
        toolchain,
        bin_dir,
        rustc: compiler.rustc.name,
        rustc_bootstrap,
        bpf_linker_dir,
        promtool: promtool::find(cache),
    };
    record_file::write(paths::workspace(), &record)?;
    if scope >= Scope::Test && record.promtool.is_none() {
        record.promtool = Some(promtool::ensure(cache)?);
        record_file::write(paths::workspace(), &record)?;
    }
    Ok(record)
}

/// One setup at a time. Released when dropped.
fn lock(cache: &Path) -> Result<File> {
    let path = cache.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress::note("another setup is at work, waiting for it");
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Err(TryLockError::Error(err)) => {
            return Err(err).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    Ok(file)
}
