//! Why the configuration file cannot be read, and what to do about it.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use nix::unistd::geteuid;

/// Returns the sentences for a file that could not be read.
pub(super) fn sentence(path: &Path, error: &io::Error) -> String {
    let kind = error.kind();
    let remedy = if kind == io::ErrorKind::NotFound {
        "Put it there, or name another file with --config.".to_owned()
    } else if kind == io::ErrorKind::IsADirectory {
        "Name the file in it with --config.".to_owned()
    } else if kind == io::ErrorKind::PermissionDenied {
        not_permitted(path)
    } else {
        "Name another file with --config.".to_owned()
    };
    format!("the configuration cannot be read: {error}. {remedy}")
}

/// Root, too, reads only what the mode allows: the capability to read everything
/// (CAP_DAC_OVERRIDE) is given up at the start.
fn not_permitted(path: &Path) -> String {
    if !geteuid().is_root() {
        return "Make it readable for this user, or run as root.".to_owned();
    }
    let given_up = "This program gives up CAP_DAC_OVERRIDE, by which root reads everything";
    let file = path.display();
    match fs::metadata(path) {
        Ok(found) if found.uid() != 0 => format!(
            "{given_up}, and the file belongs to user {}: `chown root {file}`.",
            found.uid()
        ),
        Ok(_) => format!("{given_up}, and the mode lets nobody read it: `chmod u+r {file}`."),
        Err(_) => format!("{given_up}: make the directories above {file} accessible for root."),
    }
}
