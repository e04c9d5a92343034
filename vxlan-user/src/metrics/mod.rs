//! Prometheus metrics: [`SnapshotSource`] reads the tables at each scrape, [`serve`] answers HTTP.
//! Names, labels and help texts are in `families`; `docs/metrics.md` lists the same.
//!
//! Files, lowest first; a file imports only from those before it:
//!
//! 1. `families`
//! 2. `text`
//! 3. `process`
//! 4. `rtt_histogram`
//! 5. `snapshot`
//! 6. `underlay_status`
//! 7. `longest_turn`
//! 8. `attribution`
//! 9. `source`
//! 10. `published`
//! 11. `peers`
//! 12. `render`
//! 13. `accept_encoding`
//! 14. `page`
//! 15. `server`

mod accept_encoding;
mod attribution;
mod families;
mod longest_turn;
mod page;
mod peers;
mod process;
mod published;
mod render;
mod rtt_histogram;
mod server;
mod snapshot;
mod source;
#[cfg(test)]
mod tests;
mod text;
mod underlay_status;

pub use families::{Family, MetricKind};
pub use longest_turn::LongestTurn;
pub use process::process_metrics;
pub use published::Published;
pub use render::render;
pub use rtt_histogram::RttHistogram;
pub use server::serve;
pub use snapshot::{DropCount, LastReload, MemberTraffic, Snapshot};
pub use source::SnapshotSource;
pub use underlay_status::SharedUnderlay;
