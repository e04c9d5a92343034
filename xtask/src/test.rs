//! `cargo xtask test`: every test, after setup, against the real binary.

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::unistd::Uid;
use serde_json::Value;

use crate::{
    cargo::cargo,
    progress,
    setup::{self, Scope},
};

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

    progress::heading("building the vxlan binary, and one with other layouts to migrate to");
    let other = build_other_layout()?;
    let vxlan = build_vxlan()?;

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

/// Builds the `vxlan` binary and returns its path, with what cargo prints passed on.
pub(crate) fn build_vxlan() -> Result<String> {
    let mut cmd = cargo();
    // With `--workspace` the features are those of `cargo test --workspace`: what is built here is
    // not built a second time there.
    cmd.args(["build", "--workspace", "--bin", "vxlan"])
        .arg("--message-format=json-render-diagnostics");
    executable(&mut cmd)
}

/// The same of the version that migrations are tested with. Kept under another name, as cargo has one
/// place for both.
pub(crate) fn build_other_layout() -> Result<PathBuf> {
    let mut cmd = cargo();
    cmd.args(["build", "--workspace", "--bin", "vxlan", "--features", "vxlan-user/other-layout"])
        .arg("--message-format=json-render-diagnostics");
    let built = PathBuf::from(executable(&mut cmd)?);
    let kept = built.with_file_name("vxlan-other-layout");
    fs::copy(&built, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(kept)
}

fn executable(cmd: &mut Command) -> Result<String> {
    let out = cmd
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", progress::show(cmd)))?;
    if !out.status.success() {
        bail!("{} ended with {}", progress::show(cmd), out.status);
    }
    executable_in(&String::from_utf8_lossy(&out.stdout))
        .ok_or_else(|| anyhow!("{} named no executable `vxlan`", progress::show(cmd)))
}

/// The path of `vxlan` in cargo's messages, one JSON object a line.
fn executable_in(messages: &str) -> Option<String> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message.pointer("/target/name").and_then(Value::as_str) == Some("vxlan"))
        .find_map(|message| Some(message.get("executable")?.as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_read_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"build-script-build"},"executable":"/no"}
{"reason":"compiler-artifact","target":{"name":"vxlan_user"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"vxlan"},"executable":"/t/debug/vxlan"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable_in(messages).as_deref(), Some("/t/debug/vxlan"));
        assert_eq!(executable_in("{\"reason\":\"build-finished\"}"), None);
    }
}
