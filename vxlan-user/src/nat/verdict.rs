//! The verdicts themselves, and for how long a verdict has held.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The verdict on the path between this host and a peer, both directions taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatVerdict {
    /// Not enough is known.
    Unknown,
    /// Nothing is rewritten.
    None,
    /// An address is rewritten and no port, and unsolicited packets get in.
    OneToOne,
    /// An address is rewritten and no port, and unsolicited packets do not get in.
    PortPreservingNapt,
    /// Source ports are rewritten; the same for every destination, as far as is known.
    Napt,
    /// The mapped address or port depends on the destination.
    Symmetric,
    /// A middlebox makes UDP checksums wrong, or adds checksums where the sender wrote zero.
    ChecksumBreaking,
    /// Probes pass, and data does not, in at least one direction.
    DataLost,
    /// Packets pass in one direction only.
    #[serde(rename = "one_way")]
    Unidirectional,
    /// Nothing passes.
    Blocked,
}

impl NatVerdict {
    /// Every verdict, in the order of `docs/nat.md`.
    pub const ALL: &[Self] = &[
        Self::None,
        Self::OneToOne,
        Self::PortPreservingNapt,
        Self::Napt,
        Self::Symmetric,
        Self::ChecksumBreaking,
        Self::DataLost,
        Self::Unidirectional,
        Self::Blocked,
        Self::Unknown,
    ];

    /// Returns the value of the metric label `nat`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::OneToOne => "one_to_one",
            Self::PortPreservingNapt => "port_preserving_napt",
            Self::Napt => "napt",
            Self::Symmetric => "symmetric",
            Self::ChecksumBreaking => "checksum_breaking",
            Self::DataLost => "data_lost",
            Self::Unidirectional => "one_way",
            Self::Blocked => "blocked",
        }
    }
}

/// A verdict with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    pub verdict: NatVerdict,
    /// One sentence for each reason, that of the verdict first. At least one.
    pub evidence: Vec<String>,
}

/// Measures for how long the latest verdict has been the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerdictAge(Option<(NatVerdict, Duration)>);

impl VerdictAge {
    /// Records the verdict at `now`, and returns for how long it has been the same.
    pub fn update(&mut self, verdict: NatVerdict, now: Duration) -> Duration {
        let since = match self.0 {
            Some((previous, since)) if previous == verdict => since,
            _ => now,
        };
        self.0 = Some((verdict, since));
        now.saturating_sub(since)
    }
}
