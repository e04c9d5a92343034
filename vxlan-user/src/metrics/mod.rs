//! Prometheus metrics: [`Source`] reads the tables at scrape, [`serve`] answers HTTP.
//!
//! Names, labels and help texts are in [`families`]; docs/metrics.md lists the same.

mod families;
mod server;
mod snapshot;

pub use families::{Family, render};
pub use server::serve;
pub use snapshot::{Drop, Link, Snapshot, Source};
