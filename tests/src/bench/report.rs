//! A measurement with the facts of its machine: what the JSON file holds from which tables, plots
//! and comparisons are made. All rounds are in it, so everything can be computed anew.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{
    machine::Machine,
    measurement::{Measured, Measurement},
};

/// Of the file: another number means other fields, or another meaning.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    format: u32,
    pub machine: Machine,
    pub measurement: Measurement,
}

impl Report {
    pub fn new(machine: Machine, measurement: Measurement) -> Self {
        Self { format: FORMAT, machine, measurement }
    }

    pub fn read(path: &Path) -> Result<Self> {
        let what = || format!("{} as what `cargo xtask bench` has measured", path.display());
        let text = fs::read_to_string(path).with_context(what)?;
        let report: Self = serde_json::from_str(&text).with_context(what)?;
        let format = report.format;
        ensure!(format == FORMAT, "{} has format {format}, not {FORMAT}", path.display());
        Ok(report)
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        // A line for each benchmark: within a string quotes are escaped, so this is in none.
        let text = serde_json::to_string(self)?.replace("{\"bench\":", "\n{\"bench\":") + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    pub fn bench(&self, name: &str) -> Option<&Measured> {
        self.measurement.benches.iter().find(|measured| measured.bench.name == name)
    }
}
