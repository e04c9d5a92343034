//! Telling overlay pairs of ours from everybody else's interfaces.
//!
//! A pair is ours when the group of either end says so ([`OVERLAY_GROUP`]): the ends were made
//! together. The alias is for the reader of `ip link`. It counts only together with the record, for
//! pairs of versions that took the group away again. So does the MAC address that the interface was
//! made with. Owns these marks.

use super::{error::HostError, link::Link};

const OVERLAY_ALIAS: &str = "vxlan overlay VNI ";
const HIDDEN_ALIAS: &str = "vxlan hidden port VNI ";
/// Interface groups of the two ends of a pair, with its VNI in the lower 24 bits. They are set in
/// the request that makes the pair, which an alias cannot be.
pub(super) const OVERLAY_GROUP: u32 = 0x7600_0000;
pub(super) const HIDDEN_GROUP: u32 = 0x7700_0000;

const VNI_BITS: u32 = 0x00ff_ffff;

/// One end of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Overlay,
    Hidden,
}

impl End {
    pub(super) fn alias(self, vni: u32) -> String {
        match self {
            Self::Overlay => format!("{OVERLAY_ALIAS}{vni}"),
            Self::Hidden => format!("{HIDDEN_ALIAS}{vni}"),
        }
    }

    pub(super) fn group(self, vni: u32) -> u32 {
        vni | match self {
            Self::Overlay => OVERLAY_GROUP,
            Self::Hidden => HIDDEN_GROUP,
        }
    }
}

/// Returns which end of which network's pair the group of an interface says it is.
pub(super) fn marked(link: &Link) -> Option<(End, u32)> {
    let vni = link.group & VNI_BITS;
    let end = match link.group & !VNI_BITS {
        OVERLAY_GROUP => End::Overlay,
        HIDDEN_GROUP => End::Hidden,
        _ => return None,
    };
    link.is_veth().then_some((end, vni))
}

/// Returns the same by the alias, which proves nothing by itself.
pub(super) fn labelled(link: &Link) -> Option<(End, u32)> {
    let alias = link.alias.as_deref().filter(|_| link.is_veth())?;
    let vni = |prefix| alias.strip_prefix(prefix)?.parse().ok();
    let overlay = vni(OVERLAY_ALIAS).map(|vni| (End::Overlay, vni));
    overlay.or_else(|| vni(HIDDEN_ALIAS).map(|vni| (End::Hidden, vni)))
}

pub(super) fn foreign(link: &Link) -> HostError {
    if let Some((end, vni)) = marked(link).filter(|_| labelled(link).is_some()) {
        let end = match end {
            End::Overlay => "overlay interface",
            End::Hidden => "hidden port",
        };
        return HostError::OtherNetwork { name: link.name.clone(), end, vni };
    }
    HostError::ForeignInterface { name: link.name.clone(), found: link.describe() }
}
