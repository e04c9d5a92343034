//! Decides from evidence what NAT there is between this host and a peer. Pure: knows no packets, no
//! maps and no clock.
//!
//! Files, lowest first; a file imports only from those before it:
//!
//! 1. `verdict`
//! 2. `evidence`
//! 3. `sentences`
//! 4. `rewriting`
//! 5. `reachability`
//! 6. `data_loss`
//! 7. `unsolicited`
//! 8. `assess`

mod assess;
mod data_loss;
mod evidence;
mod reachability;
mod rewriting;
mod sentences;
#[cfg(test)]
mod tests;
mod unsolicited;
mod verdict;

pub use assess::{assess, mapping_varies, verdict};
pub use evidence::{
    DataCounts, DataEvidence, DataWindow, DeclaredFacts, Evidence, PeerReport, ProbeEvidence,
    RECENT_INTERVALS, SourcePorts, UnsolicitedCounts, recent_window,
};
pub use verdict::{Assessment, NatVerdict, VerdictAge};
