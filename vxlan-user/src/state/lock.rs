//! The lock of the run directory: one daemon at a time.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
};

use super::run_dir::RunDir;

/// The lock. The daemon holds it as long as it runs.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl RunDir {
    /// Creates the directory and takes the lock.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where a daemon runs already; the message has its process ID.
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
        fs::create_dir_all(&self.path).map_err(|error| self.error_at(&self.path, &error))?;
        let path = self.lock_file();
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| self.error_at(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).unwrap_or_default();
                let message = format!(
                    "a daemon is running already in {} (process {pid}). Stop it first, for example \
                     with `kill {pid}`",
                    self.path.display(),
                    pid = pid.trim(),
                );
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
            Err(TryLockError::Error(error)) => return Err(self.error_at(&path, &error)),
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Lock { file })
    }

    /// Returns whether a daemon runs here.
    pub fn is_locked(&self) -> bool {
        File::open(self.lock_file())
            .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }
}
