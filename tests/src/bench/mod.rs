//! What the benchmarks measured, as they hand it over, and what all that is made of it needs: facts
//! of the machine, and statistics.
//!
//! How it is measured is the business of `tests/benches/link`, what is made of it that of
//! `cargo xtask bench`.

mod estimate;
mod machine;
mod measurement;
mod report;

pub use self::{
    estimate::{Estimate, ratio, value},
    machine::Machine,
    measurement::{Arm, Bench, Better, Measured, Measurement, Point, Role, Round, Sample},
    report::Report,
};
