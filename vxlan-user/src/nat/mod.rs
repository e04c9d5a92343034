//! What NAT there is between this host and a peer: a verdict from evidence. Pure: knows no packets, no
//! maps and no clock.

mod evidence;
mod rewriting;
#[cfg(test)]
mod tests;
mod verdict;

pub use evidence::{
    DataCounts, DataWindow, Evidence, Facts, Passive, Ports, Probed, Reported, Unsolicited, WINDOW,
};
pub use verdict::{Standing, Verdict, judge, vary};

use serde::{Deserialize, Serialize};

/// The verdict on the way between this host and a peer, both directions taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Not enough is known.
    Unknown,
    /// Nothing is rewritten.
    None,
    /// An address is rewritten, no port, and packets that nobody asked for get in.
    OneToOne,
    /// An address is rewritten, no port, and packets that nobody asked for do not get in.
    PortPreservingNapt,
    /// Ports are rewritten; the same for every destination, as far as is known.
    Napt,
    /// Address or port depends on the destination.
    Symmetric,
    /// A box on the way makes UDP checksums wrong, or makes some where there were none.
    ChecksumBreaking,
    /// Packets pass in one direction only.
    OneWay,
    /// Nothing passes.
    Blocked,
}

impl Kind {
    /// Every verdict, as `docs/nat.md` has them.
    pub const ALL: &[Self] = &[
        Self::None,
        Self::OneToOne,
        Self::PortPreservingNapt,
        Self::Napt,
        Self::Symmetric,
        Self::ChecksumBreaking,
        Self::OneWay,
        Self::Blocked,
        Self::Unknown,
    ];

    /// The value of the metric's `nat` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::OneToOne => "one_to_one",
            Self::PortPreservingNapt => "port_preserving_napt",
            Self::Napt => "napt",
            Self::Symmetric => "symmetric",
            Self::ChecksumBreaking => "checksum_breaking",
            Self::OneWay => "one_way",
            Self::Blocked => "blocked",
        }
    }
}
