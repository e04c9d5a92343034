//! What the benchmarks measured: which benchmark, which arms, and the samples of each round.

use serde::{Deserialize, Serialize};

/// What one call of the benchmarks measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The arms' order in each round follows from it.
    pub seed: u64,
    pub quick: bool,
    pub benches: Vec<Measured>,
}

/// A benchmark and what it measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub bench: Bench,
    /// In the order in which they were run, without the one that warms up.
    pub rounds: Vec<Round>,
}

/// One row of the tables: the same traffic through each of several arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// As in `receive/sink/64B/1-flow`. Unique, and what is asked for on the command line, whole or
    /// up to a slash.
    pub name: String,
    /// What is sent, where it ends, and what is measured of it: whatever the number depends on.
    pub condition: String,
    /// As in `ns/packet`.
    pub unit: String,
    pub better: Better,
    /// The arm that the others are compared with, by its name.
    pub baseline: String,
    pub arms: Vec<Arm>,
}

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    Less,
    More,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// As in `native`, `generic`, `tc`, `kernel`, `kernel+xdp`, `none`, `empty`.
    pub name: String,
    pub role: Role,
    /// What this arm is compared with, if not with the benchmark's baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Where the arm is a point of a line in a plot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<Point>,
}

/// The other coordinate is what is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub line: String,
    /// As in `peers`.
    pub axis: String,
    pub x: f64,
}

impl Arm {
    pub fn new(name: &str, role: Role) -> Self {
        Self { name: name.to_owned(), role, baseline: None, point: None }
    }

    pub fn against(self, baseline: &str) -> Self {
        Self { baseline: Some(baseline.to_owned()), ..self }
    }

    pub fn at(self, line: &str, axis: &str, x: f64) -> Self {
        let point = Point { line: line.to_owned(), axis: axis.to_owned(), x };
        Self { point: Some(point), ..self }
    }
}

impl Bench {
    /// What an arm is compared with, if with anything.
    pub fn baseline_of<'a>(&'a self, arm: &'a Arm) -> Option<&'a str> {
        let base = arm.baseline.as_deref().unwrap_or(&self.baseline);
        (base != arm.name && self.arms.iter().any(|arm| arm.name == base)).then_some(base)
    }
}

/// What carries the packets of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// This product.
    Ours,
    /// The kernel's vxlan device.
    Kernel,
    /// No tunnel: what a tunnel that costs nothing would reach.
    Ceiling,
    /// The same traffic, and nothing done to it: what the measurement itself costs.
    Floor,
}

/// Each arm once, in random order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// In the order in which they were taken.
    pub samples: Vec<Sample>,
}

impl Round {
    /// What an arm's sample had, if it counts.
    pub fn value(&self, arm: &str) -> Option<f64> {
        let sample = self.samples.iter().find(|sample| sample.arm == arm)?;
        sample.void.is_none().then_some(sample.value)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub arm: String,
    pub value: f64,
    /// Why it does not count, by a rule that does not look at the value. A pair with it is no pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
    /// Samples before it, of the same arm and round, that did not count.
    #[serde(default)]
    pub retaken: u32,
}
