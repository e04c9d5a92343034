//! The random number that makes this host's overlay MACs its own. It stays through `down` and a
//! reboot where there is a directory for that.

use std::{
    env,
    fmt::Write as _,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::run_dir::{RunDir, replace_file};

const FILE: &str = "host-secret";
/// Where the service manager names no directory; for the daemon of the usual run directory alone,
/// as there may be others in other network namespaces.
const USUAL: (&str, &str) = ("/run/vxlan", "/var/lib/vxlan");

impl RunDir {
    /// Returns the secret of earlier runs, or `drawn`, which is then kept, if it can be.
    pub fn host_secret(&self, drawn: [u8; 16]) -> String {
        let mut text = String::new();
        for byte in drawn {
            let _infallible = write!(text, "{byte:02x}");
        }
        let Some(directory) = self.lasting_dir() else { return text };
        let path = directory.join(FILE);
        match fs::read_to_string(&path) {
            Ok(kept) if kept.trim().len() >= text.len() => kept.trim().to_owned(),
            _ => {
                if let Err(error) = keep(&directory, &path, &text) {
                    tracing::debug!("{}: {error}", path.display());
                }
                text
            }
        }
    }

    /// Returns the directory for what outlives a reboot, of systemd's `StateDirectory=` or the
    /// usual one.
    fn lasting_dir(&self) -> Option<PathBuf> {
        let given = env::var_os("STATE_DIRECTORY").filter(|given| !given.is_empty());
        let first = given.and_then(|given| env::split_paths(&given).next());
        let (run_dir, usual) = USUAL;
        first.or_else(|| (self.path == Path::new(run_dir)).then(|| usual.into()))
    }
}

fn keep(directory: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    replace_file(path, &format!("{text}\n"))
}
