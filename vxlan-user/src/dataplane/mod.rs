//! The data plane as the rest of the program sees it. Only this room knows aya.
//!
//! [`DataPlane`] loads the programs, fills their maps from a [`Plan`](crate::plan::Plan), attaches and
//! pins them; [`Reader`] reads counters and tables through the pins, also while no daemon runs;
//! [`Fdb`] takes entries out beside the programs, [`ProbeRing`] received probes. What the maps shall hold is decided by the
//! plan, not here.

mod attach;
mod attach_tc;
mod detach;
mod error;
mod fdb;
mod generation;
mod inherit;
mod layout;
mod link;
mod loader;
mod pins;
mod previous;
mod probe_ring;
mod reader;
mod syscall;
mod tables;
mod totals;

pub use attach::{AttachMode, AttachModes, Attachment, ReceiveTarget, Refusal, program_name};
pub use attach_tc::{AttachTarget, PreviousFilter, TcHook, TcHooks, detach_deliver_filter};
pub use error::DataPlaneError;
pub use fdb::{Clock, Fdb, now, uptime};
pub use generation::Generation;
pub use layout::MapLayout;
pub use link::AttachedPrograms;
pub use loader::{DataPlane, LoadOptions};
pub use pins::Pins;
pub use previous::PreviousGeneration;
pub use probe_ring::ProbeRing;
pub use reader::{MacEntry, MapUsage, NonMemberDrops, Reader};
pub use syscall::wait_for_programs;
pub use totals::Totals;

/// Program and map names as in the object, for tests that run single programs.
pub mod names {
    /// XDP on the underlay interface.
    pub const DECAP: &str = "decap";
    /// TC ingress on the underlay interface, without XDP.
    pub const DECAP_TC: &str = "decap_tc";
    /// TC ingress on the underlay interface, behind `decap`.
    pub const DELIVER: &str = "deliver";
    /// TC egress on an overlay interface.
    pub const ENCAP: &str = "encap";
    pub const PROGRAMS: [&str; 4] = [DECAP, DECAP_TC, DELIVER, ENCAP];
}
