//! A wall clock that is stepped under a running program, and under it alone: libfaketime in its
//! environment, with a file that says by how much. Clocks that never step are left as they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{cmd, run::Run};

const LIBRARY: &str = "faketime/libfaketime.so.1";

/// The clock of those programs that are started with its [`environment`](Self::environment).
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// One that is right. `name` tells apart the clocks of one run.
    pub fn new(run: &Run, name: &str) -> Result<Self> {
        let clock =
            Self { library: library()?, file: run.write(&format!("{name}.clock"), "+0\n")? };
        Ok(clock)
    }

    /// What a program must find in its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    }

    /// From now on it is wrong by so many seconds.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // Whoever reads it meanwhile finds the old text or the new one.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        fs::rename(&new, &self.file).context("stepping a clock")
    }

    /// What a program that is started now takes for the time, in seconds since 1970.
    pub fn now(&self) -> Result<i64> {
        let mut date = Command::new("date");
        let text = cmd::run(date.arg("+%s").envs(self.environment()))?;
        Ok(text.trim().parse()?)
    }

    /// A running program has this clock and not the machine's.
    pub fn is_used_by(&self, pid: u32) -> Result<bool> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        Ok(maps.contains(LIBRARY))
    }
}

fn library() -> Result<PathBuf> {
    let found = fs::read_dir("/usr/lib")?.filter_map(Result::ok).map(|entry| entry.path());
    let mut paths = found.map(|dir| dir.join(LIBRARY)).chain([Path::new("/usr/lib").join(LIBRARY)]);
    paths
        .find(|path| path.is_file())
        .context("no libfaketime below /usr/lib; if it is missing: apt-get install faketime")
}
