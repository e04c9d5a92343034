//! The contract between the programs and the user side of the data plane, and the pure logic that
//! both use: map keys and values ([`table`], [`counters`]), drop reasons ([`reason`]), the outer
//! header ([`outer`]), the inner frame ([`inner`]), detection of a NAT ([`nat`]), probes
//! ([`probe`]), checksums, ECN and the flow hash.
//!
//! It owns no I/O: nothing here knows aya's maps, BPF helpers or netlink. Everything compiles for
//! the BPF target and for the host, where it is tested against the RFCs' own examples.
#![cfg_attr(not(test), no_std)]

mod abi;
pub mod addr;
pub mod bytes;
pub mod checksum;
pub mod counters;
pub mod ecn;
pub mod flow;
pub mod header_template;
pub mod inner;
pub mod layout;
pub mod mss;
pub mod nat;
pub mod outer;
pub mod probe;
pub mod reason;
pub mod table;
pub mod wire;

/// Version of every layout in [`table`], [`counters`], [`nat`] and [`probe`]; part of the pin
/// directory's name.
pub const ABI_VERSION: u32 = if cfg!(feature = "other-layout") { 6 } else { 5 };
