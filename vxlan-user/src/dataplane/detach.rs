//! Detaching at once. Dropping the last reference to a link detaches the link too, but some time
//! later, and another attachment in its place is refused until then.

use std::{io, os::fd::AsFd as _, path::Path};

use super::{error::DataPlaneError, syscall};

/// Detaches the link that is pinned at `path`, and unpins it. Nothing pinned there is no error.
pub(super) fn pinned_link(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    syscall::detach_link(syscall::pinned(path)?.as_fd())?;
    std::fs::remove_file(path)
}

/// Does the same, with an error that names the pin.
pub(super) fn unpin_link(path: &Path) -> Result<(), DataPlaneError> {
    pinned_link(path).map_err(|error| DataPlaneError::pin(path, error))
}
