//! HTTP within limits, for the metrics page and the command line's socket: how many connections
//! there are, how long each may take, how large a request may be. Owns nothing of what is served.
//!
//! Import order, lowest first: `connections`, `listener`, `server`.

mod connections;
mod listener;
mod server;

pub(crate) use server::{Limits, serve};
