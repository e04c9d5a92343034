//! `cargo xtask run`: the lab, or `vxlan` itself on this host.

use std::process::ExitCode;

use anyhow::{Result, bail};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave after traffic has crossed the tunnel both ways, instead of staying until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Arguments of `vxlan`, to run it on this host instead of in the lab
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let Args { once: _, args: _ } = args;
    bail!("`cargo xtask run` is not built yet")
}
