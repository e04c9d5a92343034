//! `vxlan down`: removes everything that a run has left.

use std::process::ExitCode;

use super::count;
use crate::daemon::{self, Directories};

pub(super) async fn down(directories: &Directories) -> anyhow::Result<ExitCode> {
    let removed = daemon::down(directories).await?;
    for interface in &removed.interfaces {
        println!("removed interface {interface}");
    }
    match (removed.pins, removed.interfaces.is_empty()) {
        (true, _) => println!("removed programs, maps and {}", count(removed.routes, "route")),
        (false, true) => println!("nothing of ours was here"),
        (false, false) => {}
    }
    Ok(ExitCode::SUCCESS)
}
