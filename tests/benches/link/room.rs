//! What a benchmark is to the code that runs it.

use anyhow::Result;
use vxlan_tests::bench::Bench;

/// A benchmark by its name. What it needs is made when its turn comes.
pub(crate) struct Entry {
    /// What [`Bench::name`] of all that it measures begins with.
    pub(crate) name: String,
    pub(crate) make: Box<dyn Fn(Size) -> Result<Box<dyn Room>>>,
}

/// How much one sample is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Full,
    /// `--quick`: about a tenth of a second.
    Quick,
}

impl Size {
    /// How many packets a sample is of, when it is that many otherwise.
    pub(crate) fn packets(self, full: u32) -> u32 {
        match self {
            Self::Full => full,
            Self::Quick => full / 6,
        }
    }
}

/// A benchmark with all of its arms ready: namespaces, tunnels, sockets.
pub(crate) trait Room {
    /// What each sample measures: one, or several of the same traffic, as Gbit/s and CPU time.
    /// All have the same arms.
    fn benches(&self) -> Vec<Bench>;

    /// Before anything is measured: does this arm deliver the right bytes, by its own path?
    fn check(&mut self, arm: &str) -> Result<()>;

    /// Sends the traffic through this arm. What does not add up afterwards (sent = delivered +
    /// counted as lost) is an error, not a sample.
    fn measure(&mut self, arm: &str) -> Result<Reading>;
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// One for each of [`Room::benches`].
    pub(crate) values: Vec<f64>,
    /// Why it does not count, by a rule that does not look at the values.
    pub(crate) void: Option<String>,
}
