//! The error for what setup may not do by itself.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::survey::describe_compilers;
use crate::apt;

/// Says what is missing, and the commands that bring it. `no_compiler`: our cache, when the
/// compiler for BPF is among what is missing.
pub(super) fn advice(packages: &[String], no_compiler: Option<&Path>) -> Result<anyhow::Error> {
    let why_not = if !apt::available() {
        "setup installs packages only on Debian and Ubuntu"
    } else if !apt::may_install() {
        "setup installs packages only as root"
    } else {
        "apt has nothing that would do"
    };
    let mut text = match no_compiler {
        Some(cache) => format!(
            "nothing here can build the BPF programs, and {why_not}\n  found: {}",
            describe_compilers(cache)?
        ),
        None => format!("the lab and the tests need {}, and {why_not}", packages.join(", ")),
    };
    if !packages.is_empty() {
        let command = if apt::available() {
            apt::command_line(packages)
        } else {
            format!("install what your distribution calls {}", packages.join(", "))
        };
        text.push_str(&format!("\n  do:    {command}"));
    }
    if no_compiler.is_some() {
        let or = if packages.is_empty() { "do:   " } else { "or:   " };
        text.push_str(&format!(
            "\n  {or} rustup toolchain install nightly --component rust-src\n         \
             (and a bpf-linker in PATH, or LLVM's development files of the nightly's version)"
        ));
    }
    text.push_str("\n  then:  cargo xtask setup");
    Ok(anyhow!(text))
}
