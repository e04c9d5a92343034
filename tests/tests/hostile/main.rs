//! Frames that nobody should send, against the real daemon: each is refused, counted exactly once
//! under its own reason, and none reaches an overlay interface. Traffic that is not ours passes as
//! if the daemon were not there.
//!
//! Every count is held against two that lie outside the product: what the underlay interface took
//! in, and what nftables saw enter the overlay interfaces.

mod flood;
mod forged;
mod malformed;
mod million;
mod not_ours;
mod refused;
mod row;
mod victim;
