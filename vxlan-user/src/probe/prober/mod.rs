//! The prober of one peer with a key: which probes are sent when, how received ones are answered,
//! and what follows from them. It does no I/O and reads no clock: points in time are those of the
//! monotonic clock of the kernel, in which the arrival of probes is given, too.
//!
//! Files, lowest first; a file imports only from those before it:
//!
//! 1. `config`
//! 2. `action`
//! 3. `stats`
//! 4. `pmtu_probe`
//! 5. `state`
//! 6. `overlay`
//! 7. `delivery`
//! 8. `send`
//! 9. `send_pmtu`
//! 10. `receive`
//! 11. `poll`
//! 12. `report`

mod action;
mod config;
mod delivery;
mod overlay;
mod pmtu_probe;
mod poll;
mod receive;
mod report;
mod send;
mod send_pmtu;
mod state;
mod stats;

pub use action::{Action, Random, Transmit};
pub use config::ProberConfig;
pub use state::Prober;
