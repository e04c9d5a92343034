//! The host room against the real kernel, each test in a network namespace of its own.
//!
//! What the room did is read back with `ip`, which shares no code with it. Needs root.

mod namespace;

mod echo;
mod icmp;
mod links;
mod neighbours;
mod overlays;
mod raw;
mod routes;
mod watching;
