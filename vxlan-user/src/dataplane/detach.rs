//! Detaching at once. Dropping the last reference to a link detaches it too, but some time later, and
//! an attachment in its place is refused until then.

use std::{io, os::fd::AsFd as _, path::Path};

use super::syscall;

/// Detaches the link that is pinned there, and unpins it. Nothing pinned there is no error.
pub(super) fn pinned_link(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    syscall::detach_link(syscall::pinned(path)?.as_fd())?;
    std::fs::remove_file(path)
}
