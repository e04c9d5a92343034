//! Datagram packetization layer path MTU discovery (DPLPMTUD, RFC 8899): finds the largest IP
//! packet that a path carries. Pure: decides which size to probe next and what follows from its
//! fate. Sending the probes is the matter of the prober.
//!
//! Files, lowest first; a file imports only from those before it:
//!
//! 1. `candidate`
//! 2. `phase`
//! 3. `state_machine`
//! 4. `refusals`

mod candidate;
mod phase;
mod refusals;
mod state_machine;

pub use phase::{
    BASE_PLPMTU_IPV4, BASE_PLPMTU_IPV6, CONFIRMATION_TIMER, MAX_PROBES, MAX_SIZES,
    PMTU_RAISE_TIMER, SUSPICION_TIMER,
};
pub use state_machine::Dplpmtud;
