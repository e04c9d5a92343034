//! What the maps shall hold for a configuration on this host: indices, counter slots and entries.
//!
//! Computes a [`Plan`] from the configuration and from facts about the host. Knows no BPF call and
//! no netlink.
//!
//! Import order, lowest first: `names`, `facts`, `address`, `secrets`, `slots`, `peer`, `senders`,
//! `membership`, `learned`, `contents`, `settings`, `networks`, `build`.

mod address;
mod build;
mod contents;
mod facts;
mod learned;
mod membership;
mod names;
mod networks;
mod peer;
mod secrets;
mod senders;
mod settings;
mod slots;

#[cfg(test)]
mod tests;

pub use address::entry_endpoint;
pub use contents::{Plan, RouteEntry};
pub use facts::{
    LearnedEndpoint, OverlayFacts, PeerPath, RedirectTarget, UnderlayFacts, default_overlay_mtu,
    known_endpoint, overhead, overlay_mac, unfit_endpoint, unfit_on_link,
};
pub use learned::{Endpoints, Moves, Taken};
pub use membership::{Memberships, Moved};
pub use names::{Names, SlotOwner};
pub use peer::peer_entry;
pub use secrets::Secrets;
pub use senders::{Change, Senders};
pub use settings::with_addresses;
pub use slots::Inherited;
