//! The data plane as the rest of the program sees it: loading programs, filling and reading their
//! maps, attaching, pinning. The only directory that knows aya.
//!
//! [`DataPlane`] loads the programs, fills their maps from a [`Plan`](crate::plan::Plan), attaches
//! and pins them; [`Reader`] reads counters and tables through the pins, also while no daemon runs;
//! [`Fdb`] removes MAC addresses while the programs run; [`ProbeRing`] receives probes. What the
//! maps shall hold is decided by the plan, not here.
//!
//! A file imports only files above it in this list:
//!
//! ```text
//! names, clock, pod, entries, attachment, error
//! syscall
//! detach, clsact
//! layout
//! totals, generation
//! pins
//! pinned_map, link
//! previous
//! in_flight
//! reader, fdb
//! tables, settings, sender_filter
//! loader
//! pinning, hook_fault
//! attach_tc, attach_arrived
//! attach, undo, inherit, network_tables, probe_ring
//! ```

mod attach;
mod attach_arrived;
mod attach_tc;
mod attachment;
mod clock;
mod clsact;
mod detach;
mod entries;
mod error;
mod fdb;
mod generation;
mod hook_fault;
mod in_flight;
mod inherit;
mod layout;
mod link;
mod loader;
mod memo;
pub mod names;
mod network_tables;
mod pinned_map;
mod pinning;
mod pins;
mod pod;
mod previous;
mod probe_ring;
mod reader;
mod sender_filter;
mod settings;
mod syscall;
mod tables;
mod totals;
mod undo;

pub use attach::{ReceiveTarget, program_name};
pub use attach_tc::PreviousFilter;
pub use attachment::{AttachModes, AttachTarget, Attachment, HookFault, Refusal, TcHook, TcHooks};
pub use clock::{now, uptime};
pub use clsact::{detach_deliver_filter, filter_fault};
pub use entries::{MacEntry, MapUsage, NonMemberDrops};
pub use error::DataPlaneError;
pub use fdb::{Clock, Fdb};
pub use generation::Generation;
pub use hook_fault::{HeldHook, has_tcx_programs};
pub use layout::MapLayout;
pub use loader::{DataPlane, LoadOptions, ProgramLogger};
pub use pins::Pins;
pub use previous::PreviousGeneration;
pub use probe_ring::ProbeRing;
pub use reader::Reader;
pub use syscall::wait_for_programs;
pub use totals::Totals;
pub use undo::AttachedPrograms;
