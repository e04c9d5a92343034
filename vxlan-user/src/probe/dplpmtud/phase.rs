//! The phases of a search, and the constants of RFC 8899.

use std::time::Duration;

use vxlan_common::wire::ipv6;

/// BASE_PLPMTU over IPv4 (RFC 8899, section 5.1.2).
pub const BASE_PLPMTU_IPV4: u16 = 1200;
/// BASE_PLPMTU over IPv6: the MTU that every link has (RFC 8200, section 5).
pub const BASE_PLPMTU_IPV6: u16 = ipv6::MIN_MTU as u16;
/// A size that is lost so often in a row is too large (RFC 8899, section 5.1.2).
pub const MAX_PROBES: u8 = 3;
/// Time after which a larger size is searched for again (RFC 8899, section 5.1.1).
pub const PMTU_RAISE_TIMER: Duration = Duration::from_secs(600);
/// Time between two confirmations of the size in use (RFC 8899, section 5.1.1).
pub const CONFIRMATION_TIMER: Duration = Duration::from_secs(60);
/// Time in which no second report of a router has the size in use confirmed: anyone can send
/// reports.
pub const SUSPICION_TIMER: Duration = Duration::from_secs(1);
/// Most sizes that one search probes, up to 9001: the base and the maximum, 4 common sizes, one
/// more than a common size, and 13 in the widest gap between two. Each takes at most [`MAX_PROBES`]
/// probes. A size that a router reports adds two.
pub const MAX_SIZES: u32 = 20;

/// The phases of RFC 8899, section 5.2. In `Base` and `Error` no size has passed yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// BASE_PLPMTU is being probed.
    Base {
        /// See [`Phase::Searching`].
        publish_interim: bool,
        /// The MTU that a router reports of a path which was found to be narrower than before:
        /// probed in place of the base, once.
        reported: Option<u16>,
    },
    Searching {
        /// The largest size that passed in this search.
        low: u16,
        /// The previous PLPMTU passes no more: whatever passes is published at once, not only at
        /// the end.
        publish_interim: bool,
    },
    SearchComplete {
        /// The size in use, which is the largest that passed.
        low: u16,
        confirm_at: Duration,
        raise_at: Duration,
    },
    /// Not even BASE_PLPMTU passes.
    Error { retry_at: Duration },
}
