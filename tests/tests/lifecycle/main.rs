//! It stays up: restarts, deaths and reloads under traffic, where nothing may be lost. One suite
//! for what docs/lifecycle.md promises of the change from one generation to the next.
//! `VXLAN_ROUNDS=100` does everything as often as is claimed; ten times is what CI has time for.

mod bpf;
mod faults;
mod flips;
mod hooks;
#[path = "../daemon/host.rs"]
#[expect(dead_code, reason = "the suite of the daemon needs more of it")]
mod host;
mod host_events;
mod killed;
mod lost;
mod next_hop;
mod planted;
mod tunnel;
mod watch;

/// How often each thing is done.
pub(crate) fn rounds() -> u32 {
    std::env::var("VXLAN_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10)
}
