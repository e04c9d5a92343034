//! What is observed of a peer: outer headers as sent and as received, where its data packets come
//! from, whether data arrives, and what is dropped. Values only. How they are weighed is decided in
//! [`crate::nat`], how they are obtained in [`crate::probe`] and in the data plane.
//!
//! Files, lowest first; a file imports only from those before it:
//!
//! 1. `header`
//! 2. `received`
//! 3. `data`
//! 4. `delivery`
//! 5. `drops`

mod data;
mod delivery;
mod drops;
mod header;
mod received;

pub use data::{DataMapping, ObservedData};
pub use delivery::{Delivery, DeliveryCounts, LostData, LostNetwork, MemberCounts, ReportedData};
pub use drops::{DropCounts, DropWindow};
pub use header::{OuterHeader, Rewrite, UdpChecksum};
