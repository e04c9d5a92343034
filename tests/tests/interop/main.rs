//! The real daemon end to end, most of it against a stock kernel vxlan device as the other end, in
//! every direction and over both kinds of wire. Level 3: what the programs do with a single packet
//! is the business of `programs`.
//!
//! Every scenario ends with exact conservation, see `ledger`: what the host offered was sent or
//! dropped for a reason that the scenario names, and what arrived was delivered or dropped
//! likewise.

mod both_families;
mod bridge_port;
mod capture;
mod congestion;
mod far_end;
mod flooding;
mod gigabyte;
mod inherit;
mod kernel_peer;
mod ledger;
mod marks;
mod merging;
mod meter;
mod over_ipv6;
mod path_mtu;
mod private_path;
mod redirect;
mod replaced_host;
mod rerouting;
mod reserved;
mod same_addresses;
mod segmenter;
mod several_vnis;
mod side_by_side;
mod twins;
mod two_subnets;
mod world;
