//! `vxlan down`: removes everything that a run has left.

use std::process::ExitCode;

use super::{count, output};
use crate::daemon::{self, Directories};

pub(super) async fn down(directories: &Directories) -> anyhow::Result<ExitCode> {
    let removed = daemon::down(directories).await?;
    let interfaces = removed.interfaces.iter();
    let mut text: String = interfaces.map(|name| format!("removed interface {name}\n")).collect();
    match (removed.pins, removed.interfaces.is_empty()) {
        (true, _) if removed.routes == 0 => text += "removed programs and maps\n",
        (true, _) => {
            text += &format!("removed programs, maps and {}\n", count(removed.routes, "route"));
        }
        (false, true) => text += "nothing of ours was here\n",
        (false, false) => {}
    }
    output::report(&text);
    Ok(ExitCode::SUCCESS)
}
