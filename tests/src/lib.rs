//! The harness of the end-to-end suites and of the lab: topologies in network namespaces, the real
//! daemon inside them, frames built by hand, and counters that lie outside the product.
//!
//! It knows the product only as a binary, a configuration file and a metrics page. It never depends
//! on `vxlan-user` or aya, so that it can be built before there is a BPF toolchain, and so that a
//! mistake in the product cannot hide in code shared with its tests. Shelling out to `ip`, `nft`,
//! `ethtool` and `ping` is welcome here.
//!
//! Whatever is made belongs to a [`run::Run`]; when the run is dropped, nothing is left. What a
//! killed run left behind, the next one removes ([`sweep::sweep`]).

pub mod bench;
pub mod bpffs;
pub mod clock;
pub mod cmd;
pub mod config;
pub mod conserve;
pub mod daemon;
pub mod foreign;
pub mod frame_socket;
pub mod inject;
pub mod kernel;
pub mod kernel_vxlan;
pub mod lab;
pub mod link;
pub mod metrics;
pub mod model;
pub mod nat_lab;
pub mod netns;
pub mod numbered;
pub mod packet;
pub mod proxy;
pub mod run;
mod run_names;
pub mod segment;
pub mod signals;
pub mod sniff;
mod socket;
pub mod sweep;
pub mod systemd;
mod tcp;
pub mod topology;
pub mod traffic;
pub mod two_hosts;
pub mod wait;

pub use config::Config;
pub use netns::{Netns, Ns};
pub use run::Run;
pub use sweep::sweep;
pub use topology::{Pair, TwoClouds, Wire};
