//! Packets from outer addresses that nobody has, and of VNIs that no network has: a filter finds
//! most of them by a word or two, and they meet hardly a table. What the filter lets through is
//! judged by [`policy`](crate::policy), which refuses it for the same reasons.

use vxlan_common::{
    counters::UNATTRIBUTED_SLOT,
    reason::RxDrop,
    table::{GlobalSettings, SenderFilterBit},
};

use crate::{
    counters::Refused,
    lookup,
    maps::{NETWORKS, SENDER_FILTER},
    scratch::OuterRx,
};

/// What the filter knows of a packet that it does not let through.
pub(crate) struct Stranger {
    /// Nobody has the outer source address, declared or learned; else no network has the VNI.
    is_nobodys: bool,
}

/// The filter has nothing of the bit.
#[inline(always)]
fn is_nothing(bit: SenderFilterBit) -> bool {
    SENDER_FILTER.get(bit.line()).is_some_and(|line| !line.has(bit))
}

/// Looks for a packet in the filter. `None`: it lets it through.
#[inline(always)]
pub(crate) fn find(outer: &OuterRx) -> Option<Stranger> {
    let is_nobodys = is_nothing(SenderFilterBit::of_address(&outer.source));
    let is_stranger = is_nobodys || is_nothing(SenderFilterBit::of_vni(outer.vni));
    is_stranger.then_some(Stranger { is_nobodys })
}

impl Stranger {
    /// Why the packet is refused. `None`: it is another VXLAN user's.
    #[inline(always)]
    pub(crate) fn refusal(self, outer: &OuterRx, settings: &GlobalSettings) -> Option<Refused> {
        let refused = |reason, slot| Some(Refused { reason, slot, pair: None });
        if self.is_nobodys
            && let Some(network) = lookup::network_of_vni(outer.vni)
        {
            let slot = NETWORKS.get(network).map_or(UNATTRIBUTED_SLOT, |network| network.slot);
            return refused(RxDrop::UnknownSource, slot);
        }
        if settings.pass_unknown_vni != 0 {
            return None;
        }
        let slot = if self.is_nobodys {
            UNATTRIBUTED_SLOT
        } else {
            lookup::slot_of_address(outer.family, &outer.source)
        };
        refused(RxDrop::UnknownVni, slot)
    }
}
