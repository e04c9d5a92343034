//! The counters that are carried over from one generation of maps to the next. Each generation has
//! a file of its own.

use std::{fs, io, path::PathBuf};

use super::run_dir::RunDir;
use crate::dataplane::{Generation, Totals};

/// Beginning of the name of a file with carried counters.
const CARRIED: &str = "carried-";

impl RunDir {
    /// Loads what was counted before a generation. Without a file every counter is zero.
    pub fn carried(&self, generation: Option<&Generation>) -> io::Result<Totals> {
        let Some(generation) = generation else { return Ok(Totals::default()) };
        let path = self.carried_file(generation.number);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Totals::default()),
            Err(error) => return Err(self.error_at(&path, &error)),
        };
        serde_json::from_str(&text).map_err(|error| {
            let message = format!(
                "{}: {error}: the file is damaged. Without it counters would go backwards: remove \
                 it if they may",
                path.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    /// Stores what was counted before a generation.
    pub fn store_carried(&self, generation: &Generation, totals: &Totals) -> io::Result<()> {
        let text = serde_json::to_string(totals).map_err(io::Error::other)?;
        self.replace(&self.carried_file(generation.number), &text)
    }

    fn carried_file(&self, generation: u64) -> PathBuf {
        self.path.join(format!("{CARRIED}{generation}.json"))
    }

    /// Removes the files with carried counters, except that of generation `keep`.
    pub fn remove_carried_except(&self, keep: Option<&Generation>) -> io::Result<()> {
        let keep = keep.map(|keep| self.carried_file(keep.number));
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.error_at(&self.path, &error)),
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(CARRIED) && Some(&path) != keep.as_ref() {
                fs::remove_file(&path).map_err(|error| self.error_at(&path, &error))?;
            }
        }
        Ok(())
    }
}
