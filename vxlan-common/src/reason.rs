//! Why a packet was dropped. The number of a reason is its counter's index, its label is the
//! metric's label and the title of its section in `docs/drop-reasons.md`. Numbers are never reused.
//!
//! Which packet gets which reason, in which order, is in `docs/packets.md`. A program returns the
//! reason where it refuses the packet; the entry points in `vxlan-ebpf/src/main.rs` have it counted
//! (`vxlan-ebpf/src/counters.rs`). To whom a drop is attributed, and so which counters exist, is in
//! `vxlan-user/src/metrics/attribution.rs`.

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $number:literal $label:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl $name {
            /// Every reason, in the order of its number.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The metric label.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }

            /// One sentence: what such a packet was.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+),)+
                }
            }
        }
    };
}

reasons! {
    /// Why a packet that was ours did not enter the overlay.
    RxDrop {
        /// Outer headers whose lengths cannot be, or a VLAN tag that the driver took off.
        MalformedOuter = 0 "malformed_outer",
        /// Outer IPv4 header with options, or outer IPv6 header with extension headers.
        IpOptions = 1 "ip_options",
        /// First fragment of an outer packet; a tunnel endpoint does not reassemble.
        OuterFragment = 2 "outer_fragment",
        /// Outer header checksum that does not verify.
        BadChecksum = 3 "bad_checksum",
        /// VXLAN header without the I flag, with a reserved bit set, or cut off.
        InvalidVxlanHeader = 4 "invalid_vxlan_header",
        /// VNI that is not a network of this host.
        UnknownVni = 5 "unknown_vni",
        /// Outer source address that no peer may send from.
        UnknownSource = 6 "unknown_source",
        /// A known peer, in a network it is not a member of.
        NotAMember = 7 "not_a_member",
        /// Inner frame that is cut off or whose lengths cannot be.
        MalformedInner = 8 "malformed_inner",
        /// Inner source address that the peer may not use.
        InnerSourceDenied = 9 "inner_source_denied",
        /// Inner destination that is not on or behind this host.
        InnerDestinationDenied = 10 "inner_destination_denied",
        /// Inner frame that is not IPv4, IPv6 or ARP, or IPv6 that stays on its link.
        InnerProtocolDenied = 11 "inner_protocol_denied",
        /// A tunnel inside the tunnel.
        NestedTunnel = 12 "nested_tunnel",
        /// Time to live used up on the path through relays.
        TtlExpired = 13 "ttl_expired",
        /// Congestion mark on a packet whose transport cannot be told of it (RFC 6040).
        EcnError = 14 "ecn_error",
        /// Over the peer's rate limit.
        RateLimited = 15 "rate_limited",
        /// The driver left no room to strip the outer header or to tag the frame.
        NoHeadroom = 16 "no_headroom",
        /// The overlay interface did not take the frame.
        RedirectFailed = 17 "redirect_failed",
        /// A probe with no peer's tag, or cut off.
        ProbeDenied = 18 "probe_denied",
        /// Several packets that the driver or GRO merged into one, received without XDP.
        Aggregate = 19 "aggregate",
        /// Inner frame from this host's own overlay MAC address: two hosts have the same one.
        OwnMac = 20 "own_mac",
    }
}

reasons! {
    /// Why a frame that the host sent into the overlay did not leave.
    TxDrop {
        /// No member of the network owns the destination.
        NoRoute = 0 "no_route",
        /// No route or no link-layer neighbour towards the peer's endpoint.
        NoNeighbour = 1 "no_neighbour",
        /// The encapsulated packet would not fit the path to the peer.
        MtuExceeded = 2 "mtu_exceeded",
        /// Frame that is cut off, or is not untagged IPv4, IPv6 or ARP.
        MalformedInner = 3 "malformed_inner",
        /// The kernel refused to make room for the outer header.
        EncapFailed = 4 "encap_failed",
        /// The underlay interface did not take the packet.
        RedirectFailed = 5 "redirect_failed",
        /// Over the rate limit for replicated frames.
        RateLimited = 6 "rate_limited",
    }
}

/// Number of drop counters that [`RxDrop`] may ever use; [`TxDrop`] follows behind them.
pub const RX_SLOTS: usize = if cfg!(feature = "other-layout") { 40 } else { 32 };
/// Number of drop counters in all.
pub const SLOTS: usize = RX_SLOTS + 16;

/// A reason of either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Towards the overlay.
    Rx(RxDrop),
    /// Towards the underlay.
    Tx(TxDrop),
}

impl DropReason {
    /// Index of the reason's counter, below [`SLOTS`].
    #[inline(always)]
    pub const fn index(self) -> usize {
        match self {
            Self::Rx(reason) => reason as usize,
            Self::Tx(reason) => RX_SLOTS + reason as usize,
        }
    }

    /// The value of the metric's `direction` label.
    pub const fn direction(self) -> &'static str {
        match self {
            Self::Rx(_) => "rx",
            Self::Tx(_) => "tx",
        }
    }

    /// The value of the metric's `reason` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Rx(reason) => reason.label(),
            Self::Tx(reason) => reason.label(),
        }
    }

    /// One sentence: what such a packet was.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Rx(reason) => reason.meaning(),
            Self::Tx(reason) => reason.meaning(),
        }
    }

    /// Every reason: receive first, each direction in the order of its numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        let rx = RxDrop::ALL.iter().copied().map(Self::Rx);
        rx.chain(TxDrop::ALL.iter().copied().map(Self::Tx))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_are_dense_and_fit_their_half() {
        for (position, reason) in RxDrop::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position);
        }
        for (position, reason) in TxDrop::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position);
        }
        assert!(RxDrop::ALL.len() <= RX_SLOTS);
        assert!(RX_SLOTS + TxDrop::ALL.len() <= SLOTS);
    }

    #[test]
    fn index_and_name_are_unique() {
        let all: Vec<_> = DropReason::all().collect();
        let indices: HashSet<_> = all.iter().map(|reason| reason.index()).collect();
        let names: HashSet<_> = all.iter().map(|r| (r.direction(), r.label())).collect();
        assert_eq!((indices.len(), names.len()), (all.len(), all.len()));
    }

    #[test]
    fn every_label_is_snake_case_and_has_a_meaning() {
        for reason in DropReason::all() {
            assert!(reason.label().bytes().all(|b| b == b'_' || b.is_ascii_lowercase()));
            assert!(reason.meaning().trim().ends_with('.'), "{reason:?}");
        }
    }
}
