//! Every BPF program, packet by packet, through `BPF_PROG_TEST_RUN`: tables of input bytes with the
//! verdict, the output bytes and exactly the counters that must move. Nothing is attached and no
//! interface is needed, so what the kernel does after a verdict is for the end-to-end suites.
//!
//! `world` is the configuration and its addresses, `bench` runs a program and sees what moved, `rows`
//! is the table and its judge, `live` what a daemon does besides; every other module is one table or one property.

mod aggregate;
mod bench;
mod checksum;
mod copies;
mod cost;
mod decap_accepted;
mod decap_destination;
mod decap_malformed;
mod decap_not_ours;
mod decap_outer;
mod decap_source;
mod deliver;
mod ecn;
mod encap;
mod encap_refused;
mod everyone;
mod extensions;
mod family;
mod flow;
mod fuzz;
mod heard;
mod in_tc;
mod interfaces;
mod learned;
mod learning;
mod limits;
mod live;
mod moves;
mod nat_checksum;
mod neighbours;
mod nested;
mod observed;
mod pool;
mod prelude;
mod pressure;
mod probes;
mod probes_denied;
mod round_trip;
mod rows;
mod segments;
mod settings;
mod source_ports;
mod stations;
mod too_big;
mod truncation;
mod world;
