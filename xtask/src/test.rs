//! `cargo xtask test`: every test, after setup, against the real binary.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use nix::unistd::Uid;

use crate::{build, cargo::cargo, progress, required::Scope, setup};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for `cargo test`, such as `--test NAME`
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !Uid::effective().is_root() {
        bail!(
            "the tests make network namespaces and load BPF programs, which needs root: run \
             `cargo xtask test` as root (with sudo, keep HOME and PATH so that cargo is found)"
        );
    }
    let record = setup::ensure(Scope::Test)?;
    let promtool = record.promtool.context("setup left no promtool in its record")?;

    let other = build::vxlan_with_other_layout()?;
    let vxlan = build::vxlan()?;

    let mut cmd = cargo();
    cmd.args(["test", "--workspace"])
        .args(&args.args)
        .env("VXLAN_BIN", vxlan)
        .env("VXLAN_OTHER_BIN", other)
        .env("PROMTOOL", promtool);
    progress::heading(&progress::show(&cmd));
    let status = cmd.status().context("cannot start cargo test")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
