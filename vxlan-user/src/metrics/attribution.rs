//! To whom a drop reason can be attributed, so that its counter exists from the start.

use vxlan_common::{
    counters::UNATTRIBUTED_SLOT,
    reason::{DropReason, RxDrop, TxDrop},
};

use crate::plan::SlotOwner;

/// Returns whether the BPF programs attribute drops of this reason to such a slot.
pub(super) fn is_counted_for(reason: DropReason, slot: u32, owner: &SlotOwner) -> bool {
    // Reasons that are decided before the member is known.
    let early = matches!(
        reason,
        DropReason::Rx(
            RxDrop::MalformedOuter
                | RxDrop::IpOptions
                | RxDrop::OuterFragment
                | RxDrop::BadChecksum
                | RxDrop::InvalidVxlanHeader
                | RxDrop::UnknownVni
                | RxDrop::ProbeDenied
                | RxDrop::Aggregate
        )
    );
    // Also the reason of probes over their limit: a probe has the tag of a peer, and no network.
    let of_probes = reason == DropReason::Rx(RxDrop::RateLimited);
    // Early reasons that are decided after the member is known, too: the UDP checksum, a VLAN tag
    // that the driver took off, and merged packets that are no probes.
    let late_too = matches!(
        reason,
        DropReason::Rx(RxDrop::BadChecksum | RxDrop::MalformedOuter | RxDrop::Aggregate)
    );
    // A private address of a peer that may not send from there is an unknown source, too.
    let unknown_source = reason == DropReason::Rx(RxDrop::UnknownSource);
    let network_only = matches!(
        reason,
        DropReason::Tx(TxDrop::NoRoute | TxDrop::MalformedInner | TxDrop::RateLimited)
    );
    // Counted by pair of peer and network, in the map `NON_MEMBERS`; only while that map is full in
    // the slot of the peer.
    let pair_without_room = reason == DropReason::Rx(RxDrop::NotAMember);
    match (&owner.peer, owner.vni) {
        (None, None) => early && slot == UNATTRIBUTED_SLOT,
        (Some(_), None) => early || unknown_source || pair_without_room || of_probes,
        (None, Some(_)) => network_only || unknown_source,
        // Every other reason is attributed to the member.
        (Some(_), Some(_)) => {
            late_too || !(early || network_only || unknown_source || pair_without_room)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected owners are those in brackets behind the reasons in docs/packets.md.
    #[test]
    fn a_reason_is_exported_for_whom_the_rules_attribute_it_to() {
        let owner = |peer: bool, vni: bool| SlotOwner {
            peer: peer.then(|| "a".to_owned()),
            vni: vni.then_some(43),
        };
        let slots = [
            (UNATTRIBUTED_SLOT, owner(false, false)),
            (1, owner(true, false)),
            (2, owner(false, true)),
            (3, owner(true, true)),
        ];
        // Nobody, peer, network, member.
        let of = |reason| {
            let counted = slots.iter().map(|(slot, owner)| is_counted_for(reason, *slot, owner));
            counted.map(|counted| if counted { 'x' } else { '-' }).collect::<String>()
        };
        for (reason, expected) in [
            (RxDrop::MalformedOuter, "xx-x"),
            (RxDrop::IpOptions, "xx--"),
            (RxDrop::OuterFragment, "xx--"),
            (RxDrop::BadChecksum, "xx-x"),
            (RxDrop::InvalidVxlanHeader, "xx--"),
            (RxDrop::UnknownVni, "xx--"),
            (RxDrop::UnknownSource, "-xx-"),
            (RxDrop::NotAMember, "-x--"),
            (RxDrop::MalformedInner, "---x"),
            (RxDrop::NestedTunnel, "---x"),
            (RxDrop::RateLimited, "-x-x"),
            (RxDrop::ProbeDenied, "xx--"),
            (RxDrop::Aggregate, "xx-x"),
            (RxDrop::NoHeadroom, "---x"),
            (RxDrop::RedirectFailed, "---x"),
        ] {
            assert_eq!(of(DropReason::Rx(reason)), expected, "{reason:?}");
        }
        for (reason, expected) in [
            (TxDrop::NoRoute, "--x-"),
            (TxDrop::NoNeighbour, "---x"),
            (TxDrop::MtuExceeded, "---x"),
            (TxDrop::MalformedInner, "--x-"),
            (TxDrop::EncapFailed, "---x"),
            (TxDrop::RedirectFailed, "---x"),
            (TxDrop::RateLimited, "--x-"),
        ] {
            assert_eq!(of(DropReason::Tx(reason)), expected, "{reason:?}");
        }
    }
}
