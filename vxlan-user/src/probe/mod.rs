//! Probes: which are sent to a peer, how its probes are answered, and what follows from them. The
//! protocol is specified in `docs/probe-protocol.md`. Pure: takes bytes and points in time, returns
//! bytes and decisions. Sockets and maps belong to `host`, `dataplane` and `daemon`. The one
//! exception is [`Key::load`], which reads a file.
//!
//! Files, lowest first; a file imports only from those before it:
//!
//! 1. `key`
//! 2. `message`
//! 3. `wire`
//! 4. `report`
//! 5. `rtt`
//! 6. `loss_window`
//! 7. `replay_window`
//! 8. `requests`
//! 9. `answers`
//! 10. `sessions`
//! 11. `association`
//! 12. `endpoint`
//! 13. `delivery`
//! 14. `network_delivery`
//! 15. `inner_echo`
//! 16. `dplpmtud`
//! 17. `prober`
//! 18. `unkeyed`
//! 19. `shared`

mod answers;
mod association;
mod brief_report;
mod delivery;
pub mod dplpmtud;
mod endpoint;
mod inner_echo;
mod key;
mod loss_window;
mod message;
mod network_delivery;
mod prober;
mod replay_window;
mod report;
mod requests;
mod rtt;
mod sessions;
mod shared;
mod unkeyed;
mod wire;

pub use association::{Association, OutgoingRequest, ReceivedRequests, RequestVerdict};
pub use brief_report::BriefReport;
pub use dplpmtud::Dplpmtud;
pub use key::{Key, KeyError, NameId, name_id};
pub use message::{NetworkCounts, Probe, ProbeKind, ProbeRefusal};
pub use prober::{Action, Prober, ProberConfig, Random, Transmit};
pub use report::{Liveness, LivenessSource, OverlayEcho, PerDirection, ProbeCounts, Report, Rtt};
pub use requests::{AcceptedReply, PendingRequest, Purpose, REPLY_TIMEOUT};
pub use shared::{NatReports, SharedReports};
pub use unkeyed::UnkeyedPeer;
pub use wire::{LENGTH_V4, LENGTH_V6};

#[cfg(test)]
pub(crate) use shared::sample;
#[cfg(test)]
mod tests;
