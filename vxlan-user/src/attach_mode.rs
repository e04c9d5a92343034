//! The mode in which packets are received: a word of the configuration, of the state file and of
//! every output. Values only: how aya and netlink name the modes is known where each is called.

use serde::{Deserialize, Serialize};

/// Where packets are received, the best mode first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
    /// XDP in the driver.
    Native,
    /// XDP in the network stack, behind the driver's GRO.
    Generic,
    /// No XDP: in TC alone.
    Off,
}

impl AttachMode {
    /// Returns the word in the configuration and in every output, also as the metric's `mode`
    /// label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Off => "off",
        }
    }
}
