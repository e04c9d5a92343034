//! Errors in a configuration, in the form that the user sees.
//!
//! Owns the form `FILE:LINE: what was found. What to write instead.` and the list of all problems
//! of one file. Does not own the sentences: they stand where the mistake is found.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// One problem: where it is, what was found there and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<u32>,
    message: String,
}

impl ConfigError {
    /// Makes an error. `message` says what was found, then what to write instead. `line` is absent
    /// where nothing is written: a missing section, a default.
    pub fn at(
        file: impl Into<PathBuf>,
        line: impl Into<Option<u32>>,
        message: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), line: line.into(), message: message.into() }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the line, counted from 1.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl Error for ConfigError {}

/// Every problem of one file, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}

/// The problems found so far in one file.
pub(super) struct Problems {
    file: PathBuf,
    found: Vec<ConfigError>,
    /// The sections whose keys were listed by a problem.
    listed: Vec<&'static str>,
}

impl Problems {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), found: Vec::new(), listed: Vec::new() }
    }

    /// Returns whether this is the first problem that lists the keys of this section: a hundred
    /// mistakes need no hundred lists.
    pub(super) fn may_list(&mut self, header: &'static str) -> bool {
        let first = !self.listed.contains(&header);
        if first {
            self.listed.push(header);
        }
        first
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn add(&mut self, line: impl Into<Option<u32>>, message: impl Into<String>) {
        self.found.push(ConfigError::at(self.file.clone(), line, message));
    }

    /// Returns whether a problem was found so far.
    pub(super) fn any(&self) -> bool {
        !self.found.is_empty()
    }

    /// Returns the configuration if no problem was found.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, ConfigErrors> {
        if let (Some(value), false) = (value, self.any()) {
            return Ok(value);
        }
        if self.found.is_empty() {
            // A value is only ever withheld after a problem was added; should that rule be broken,
            // the user still gets a sentence instead of a panic.
            self.add(
                None,
                "the configuration is not valid. Compare it with docs/configuration.md.",
            );
        }
        self.found.sort_by_key(|problem| problem.line);
        self.found.dedup();
        Err(ConfigErrors(self.found))
    }
}
