//! Builds the BPF object with the compiler that `cargo xtask setup` found, into
//! `OUT_DIR/vxlan-ebpf`.
//!
//! Owns the environment of that nested build, and `VXLAN_COMMIT`. The build itself is aya-build's.

// The record's format is setup's; compiled in from there, so that the two cannot differ.
#[path = "../xtask/src/record.rs"]
mod record;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain};

use record::Record;

fn main() -> ExitCode {
    let Err(err) = build() else {
        return ExitCode::SUCCESS;
    };
    // One sentence in cargo's own style, instead of a dump with a backtrace.
    println!("cargo::error={}", format!("{err:#}").replace('\n', " "));
    ExitCode::FAILURE
}

fn build() -> Result<()> {
    commit();
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR")?);
    let workspace = here.parent().context("vxlan-user has no parent directory")?;

    // aya-build watches vxlan-ebpf. The object depends on these besides: the shared crate, and the
    // profile it is compiled with.
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../xtask/src/record.rs");
    println!("cargo:rerun-if-changed=../vxlan-common/src");
    println!("cargo:rerun-if-changed=../Cargo.toml");

    let other_layout = env::var_os("CARGO_FEATURE_OTHER_LAYOUT").is_some();
    let package = Package {
        name: "vxlan-ebpf",
        root_dir: "../vxlan-ebpf",
        features: if other_layout { &["other-layout"] } else { &[] },
        ..Package::default()
    };
    if skipped() {
        // So that what embeds the object compiles. It cannot be loaded.
        let object = Path::new(&env::var_os("OUT_DIR").context("OUT_DIR")?).join(package.name);
        if !object.exists() {
            fs::write(&object, []).with_context(|| format!("cannot write {}", object.display()))?;
        }
        // It says that it skips, and when cargo shall ask again.
        return aya_build::build_ebpf([package], Toolchain::Custom(""));
    }

    let Some(record) = record::read(workspace)? else {
        bail!("nothing is known of a compiler for BPF here: run `cargo xtask setup`");
    };
    println!("cargo:rerun-if-changed=../{}", record::FILE);
    if !record.bpf_linker_dir.join("bpf-linker").exists() {
        bail!(
            "{} names {}, where no bpf-linker is: run `cargo xtask setup`",
            record::FILE,
            record.bpf_linker_dir.display()
        );
    }
    prepare(&record)?;
    // The name is not used where there is no rustup: then `cargo` is found by PATH.
    let toolchain = record.toolchain.as_deref().unwrap_or("vxlan-bpf");
    aya_build::build_ebpf([package], Toolchain::Custom(toolchain)).with_context(|| {
        format!(
            "the BPF programs did not build with {}; if the messages above speak of the compiler \
             or of bpf-linker and not of the programs, run `cargo xtask setup`",
            record.rustc
        )
    })
}

/// As aya-build reads it.
fn skipped() -> bool {
    env::var_os("AYA_BUILD_SKIP")
        .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

/// Sets what the nested cargo inherits from this process.
fn prepare(record: &Record) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = [Some(record.bpf_linker_dir.clone()), record.bin_dir.clone()];
    let path = env::join_paths(dirs.into_iter().flatten().chain(env::split_paths(&path)))
        .with_context(|| format!("{} names a directory with a colon", record::FILE))?;
    // SAFETY: changing the environment races only with other threads that read it. This process
    // has one thread: nothing before this point, and no library initializer, starts another;
    // aya-build starts its own after we return.
    unsafe {
        env::set_var("PATH", path);
        match &record.rustc_bootstrap {
            Some(_) => env::set_var("RUSTC_BOOTSTRAP", record::UNSTABLE_CRATES),
            None => env::remove_var("RUSTC_BOOTSTRAP"),
        }
        // aya-build passes on every line of that cargo as a warning. Without progress only warnings
        // and errors are left.
        env::set_var("CARGO_TERM_QUIET", "true");
    }
    Ok(())
}

/// Exports the short commit hash for `vxlan_build_info`, or `unknown` outside of a checkout.
fn commit() {
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    println!("cargo:rustc-env=VXLAN_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    // Grows with each commit and checkout, also in a worktree, and packed refs do not matter to it.
    // A file that is not there must not be named: cargo would run this script every time.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
}

fn git(args: &[&str]) -> Option<String> {
    let out = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?.trim().to_owned();
    (out.status.success() && !text.is_empty()).then_some(text)
}
