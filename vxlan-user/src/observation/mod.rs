//! What is observed of a peer: outer headers as sent and as received, and where its data packets
//! come from. Values only. How they are weighed is decided in [`crate::nat`], how they are obtained
//! in [`crate::probe`] and in the data plane.
//!
//! Files, lowest first; a file imports only from those before it:
//!
//! 1. `header`
//! 2. `received`
//! 3. `data`

mod data;
mod header;
mod received;

pub use data::{DataMapping, ObservedData};
pub use header::{OuterHeader, Rewrite, UdpChecksum};
