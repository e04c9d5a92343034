//! `vxlan reload`: has the running daemon read its configuration again.

use std::{path::Path, process::ExitCode};

use anyhow::bail;

use super::{api_client, output};
use crate::{config, daemon::Directories};

pub(super) fn reload(directories: &Directories) -> anyhow::Result<ExitCode> {
    match api_client::reload(&directories.run_dir.api_socket())? {
        Some(Ok(file)) => {
            let (named, default) = (&directories.config, Path::new(config::DEFAULT_PATH));
            if named != default && !is_same_file(named, Path::new(&file)) {
                output::complain(&format!(
                    "vxlan: the daemon has read {file}, the file that it was started with, and not \
                     {}",
                    named.display()
                ));
            }
            output::report(&format!("the configuration {file} is in force\n"));
            Ok(ExitCode::SUCCESS)
        }
        Some(Err(reason)) => bail!("the previous configuration stays in force: {reason}"),
        None if directories.run_dir.is_locked() => {
            bail!("the daemon has not finished its start yet: try again in a moment")
        }
        None => bail!(
            "no daemon runs here. Start one with `vxlan run`, or name its run directory with \
             --run-dir"
        ),
    }
}

/// Returns whether two paths name one file, as far as that can be seen from here.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}
