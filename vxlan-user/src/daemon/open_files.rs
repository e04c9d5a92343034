//! The limit of open files: as high as the service may have it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of this process to the hard limit. A configuration of many networks needs a few
/// file descriptors for each, and the soft limit is mostly 1024.
pub(super) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}
