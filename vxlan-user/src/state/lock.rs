//! The lock of the run directory: one daemon at a time.
//!
//! It is an open file description lock (fcntl(2)) on one byte of the lock file, which only root can
//! open. The kernel tells who holds it without taking it, so that looking disturbs nobody. As it
//! does not name the process behind such a lock, the holder also has a traditional record lock on
//! the next byte: that names it, but would be gone as soon as the process closes any descriptor of
//! the file.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    unistd::geteuid,
};

use super::{holder::Holder, run_dir::RunDir};

/// The byte that is locked.
const LOCKED: i64 = 0;
/// The byte whose lock names the process.
const NAMED: i64 = 1;

/// The lock. The daemon holds it as long as it runs.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl RunDir {
    /// Creates the directory and takes the lock.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where a daemon runs already; the message names its process.
    pub fn lock(&self) -> io::Result<Lock> {
        loop {
            let lock = self.lock_once()?;
            // The previous holder may have removed the file between our opening and locking it;
            // then another process can lock the new one.
            let locked = lock.file.metadata()?.ino();
            if fs::metadata(self.lock_file()).is_ok_and(|present| present.ino() == locked) {
                return Ok(lock);
            }
        }
    }

    fn lock_once(&self) -> io::Result<Lock> {
        self.make()?;
        let path = self.lock_file();
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|error| self.error_at(&path, &error))?;
        let owner = file.metadata()?.uid();
        if owner != geteuid().as_raw() {
            let message = format!(
                "{} belongs to user {owner}, who could hold the lock: remove the file, or name a \
                 --run-dir where only root can write",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        // Whatever the umask, and whoever made it.
        file.set_permissions(Permissions::from_mode(0o600))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&write_lock(LOCKED))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => {
                let message = holder(&file).describe(&self.path, &path);
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
            Err(error) => return Err(self.error_at(&path, &error.into())),
        }
        // Only names us; without it the lock is as good.
        let _unnamed = fcntl(&file, FcntlArg::F_SETLK(&write_lock(NAMED)));
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Lock { file })
    }

    /// Makes the directory, if it is not there, for root alone. One that is there may be shared on
    /// purpose, and stays as it is.
    fn make(&self) -> io::Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|error| self.error_at(&self.path, &error))
    }

    /// Returns whether a daemon runs here. Not for the process that holds the lock.
    pub fn is_locked(&self) -> bool {
        File::open(self.lock_file()).is_ok_and(|file| conflicting(&file, LOCKED).is_some())
    }
}

fn write_lock(byte: i64) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

/// Returns the process ID in a lock of another process on this byte; it is not positive where the
/// kernel does not name the process. `None`: there is no such lock.
fn conflicting(file: &File, byte: i64) -> Option<i32> {
    let mut lock = write_lock(byte);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)).ok()?;
    (lock.l_type != libc::F_UNLCK as i16).then_some(lock.l_pid)
}

fn holder(file: &File) -> Holder {
    // A program that locks the whole file is named by either byte.
    let pids = [LOCKED, NAMED].into_iter().filter_map(|byte| conflicting(file, byte));
    Holder::find(pids.into_iter().find_map(|pid| u32::try_from(pid).ok().filter(|pid| *pid > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn the_lock_is_root_s_alone_and_excludes_another() {
        let above = tempfile::tempdir().expect("a directory");
        let run_dir = RunDir::new(&above.path().join("run"));
        assert!(!run_dir.is_locked());
        let lock = run_dir.lock().expect("locked");
        assert_eq!(mode(&run_dir.path), 0o700);
        assert_eq!(mode(&run_dir.lock_file()), 0o600);
        assert!(run_dir.is_locked());
        let refused = run_dir.lock().expect_err("held");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        assert!(!run_dir.is_locked());
        fs::set_permissions(run_dir.lock_file(), Permissions::from_mode(0o666)).expect("set");
        let _lock = run_dir.lock().expect("locked again");
        assert_eq!(mode(&run_dir.lock_file()), 0o600, "as an older version left it");
    }

    #[test]
    fn a_flock_is_no_lock_of_a_daemon() {
        let above = tempfile::tempdir().expect("a directory");
        let run_dir = RunDir::new(above.path());
        let foreign = File::create(run_dir.lock_file()).expect("a file");
        foreign.lock().expect("flock");
        assert!(!run_dir.is_locked());
        run_dir.lock().expect("locked");
    }
}
