//! Prometheus metrics: [`Source`] reads the tables at scrape, [`serve`] answers HTTP.
//!
//! Names, labels and help texts are in [`families`]; docs/metrics.md lists the same.

mod families;
mod published;
mod render;
mod round_trips;
mod server;
mod snapshot;
mod text;
mod ways;

pub use families::{Family, Kind};
pub use published::{LastReload, Published};
pub use render::render;
pub use round_trips::RoundTrips;
pub use server::serve;
pub use snapshot::{Drop, Link, SharedUnderlay, Snapshot, Source};
