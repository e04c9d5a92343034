//! `vxlan reload`: has the running daemon read its configuration again.

use std::process::ExitCode;

use anyhow::bail;

use super::{api_client, output};
use crate::daemon::Directories;

pub(super) fn reload(directories: &Directories) -> anyhow::Result<ExitCode> {
    match api_client::reload(&directories.run_dir.api_socket())? {
        Some(Ok(())) => {
            let file = directories.config.display();
            output::report(&format!("the configuration {file} is in force\n"));
            Ok(ExitCode::SUCCESS)
        }
        Some(Err(reason)) => bail!("the previous configuration stays in force: {reason}"),
        None => bail!(
            "no daemon runs here. Start one with `vxlan run`, or name its run directory with \
             --run-dir"
        ),
    }
}
