//! Every BPF program, packet by packet, through `BPF_PROG_TEST_RUN`: tables of input bytes with the
//! verdict, the output bytes and exactly the counters that must move. Nothing is attached and no
//! interface is needed, so what the kernel does after a verdict is for the end-to-end suites.
//!
//! `world` is the configuration and its addresses, `family` the underlay's family as a parameter,
//! `bench` runs a program and reads `deltas` of its counters, `rows` is the table and its judge,
//! `daemon` what a daemon does besides, `prelude` what nearly every table names. Every other module
//! is one table or one property.

mod aggregate;
mod bench;
mod bridge;
mod checksum;
mod cost;
mod daemon;
mod decap_accepted;
mod decap_destination;
mod decap_malformed;
mod decap_not_ours;
mod decap_outer;
mod decap_source;
mod deliver;
mod deltas;
mod ecn;
mod encap;
mod encap_refused;
mod family;
mod fdb_learning;
mod fdb_limit;
mod flood;
mod flood_copies;
mod flow;
mod full_maps;
mod fuzz;
mod icmp_ptb;
mod in_tc;
mod interfaces;
mod ipv6_extensions;
mod learned_endpoints;
mod mss_clamp;
mod nat_checksum;
mod nat_observed;
mod neighbour_proxy;
mod neighbours_learned;
mod nested_tunnels;
mod pool;
mod prelude;
mod probes;
mod probes_denied;
mod rate_limits;
mod rate_limits_on_cpus;
mod round_trip;
mod rows;
mod settings;
mod source_ports;
mod straight_tx;
mod truncation;
mod world;
