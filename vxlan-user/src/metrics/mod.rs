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
//! 7. `network_status`
//! 8. `longest_turn`
//! 9. `lost_lines`
//! 10. `daemon_stats`
//! 11. `attribution`
//! 12. `source`
//! 13. `published`
//! 14. `peers`
//! 15. `render`
//! 16. `accept_encoding`
//! 17. `page`
//! 18. `server`

mod accept_encoding;
mod attribution;
mod daemon_stats;
mod families;
mod longest_turn;
mod lost_lines;
mod network_status;
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

pub use daemon_stats::DaemonStats;
pub use families::{Family, MetricKind};
pub use longest_turn::LongestTurn;
pub use lost_lines::LostLines;
pub use network_status::SharedNetworks;
pub use process::process_metrics;
pub use published::Published;
pub use render::render;
pub use rtt_histogram::RttHistogram;
pub use server::serve;
pub use snapshot::{DropCount, LastReload, MemberTraffic, Snapshot};
pub use source::SnapshotSource;
pub use underlay_status::SharedUnderlay;
