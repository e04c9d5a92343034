//! What the data plane has recorded of the data packets of one peer.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vxlan_common::table::{MemberState, ObservedEndpoint};

/// The source that the data packets of a peer come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataMapping {
    pub address: IpAddr,
    /// Absent: the port is the one that the peer sent from.
    pub port: Option<u16>,
    pub ttl: u8,
    /// Number of different sources so far: exact for a few, an estimate for hundreds.
    pub mappings: u32,
    pub changes: u32,
    /// Seconds since the last change, or since the first packet.
    pub changed: u32,
}

/// The data packets of a peer in all networks that it is a member of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObservedData {
    /// The source in the network where it changed last, with the changes in all networks. Absent:
    /// no packet came yet.
    pub mapping: Option<DataMapping>,
    /// Seconds since the last packet. Absent: no packet came yet, or the clock of the BPF programs
    /// is not set.
    pub last_seen: Option<u32>,
}

impl ObservedData {
    /// Combines what was learned of the peer as a member of each network. `now`: by the clock of
    /// the BPF programs, in seconds.
    pub fn from_learned(learned: &[MemberState], now: u32) -> Self {
        let last_seen = learned.iter().map(|member| member.seen).filter(|seen| *seen != 0).max();
        let last_seen = last_seen.map(|seen| now.saturating_sub(seen));
        Self { mapping: mapping(learned, now), last_seen }
    }
}

fn mapping(learned: &[MemberState], now: u32) -> Option<DataMapping> {
    let observed = || learned.iter().map(|member| &member.observed).filter(|at| at.family != 0);
    let latest = observed().max_by_key(|at| at.changed)?;
    let mut seen = latest.seen;
    for other in observed() {
        seen.iter_mut().zip(other.seen).for_each(|(word, bits)| *word |= bits);
    }
    Some(DataMapping {
        address: latest.address.to_ip(latest.family),
        port: (latest.port != 0).then_some(latest.port),
        ttl: latest.ttl,
        mappings: ObservedEndpoint::mappings(&seen),
        changes: observed().map(|at| at.changes).fold(0, u32::saturating_add),
        changed: now.saturating_sub(latest.changed),
    })
}

#[cfg(test)]
mod tests {
    use vxlan_common::addr::{Address, IPV4, IPV6, Mac};

    use super::*;

    fn member(seen: u32, observed: ObservedEndpoint) -> MemberState {
        MemberState { last: Mac::ZERO, stations: 0, seen, pad: 0, observed }
    }

    fn observed(
        bit: u32,
        family: u8,
        address: Address,
        port: u16,
        changed: u32,
    ) -> ObservedEndpoint {
        let mut seen = [0; 8];
        seen[bit as usize / 64] |= 1 << (bit % 64);
        ObservedEndpoint { seen, address, changes: 2, changed, port, ttl: 61, family, pad: 0 }
    }

    #[test]
    fn nothing_came_yet() {
        assert_eq!(ObservedData::from_learned(&[], 100), ObservedData::default());
        assert_eq!(
            ObservedData::from_learned(&[member(0, ObservedEndpoint::NONE); 2], 100),
            ObservedData::default()
        );
    }

    #[test]
    fn all_networks_count_and_the_latest_change_is_reported() {
        let first = observed(7, IPV4, Address::ipv4([198, 51, 100, 20]), 0, 40);
        let mut v6 = [0; 16];
        v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
        let second = observed(300, IPV6, Address::ipv6(v6), 1024, 70);
        let data = ObservedData::from_learned(
            &[member(95, first), member(0, ObservedEndpoint::NONE), member(90, second)],
            100,
        );
        assert_eq!(data.last_seen, Some(5));
        let expected = DataMapping {
            address: "2001:db8::".parse().expect("an address"),
            port: Some(1024),
            ttl: 61,
            mappings: 2,
            changes: 4,
            changed: 30,
        };
        assert_eq!(data.mapping, Some(expected));
        let alone =
            ObservedData::from_learned(&[member(95, first)], 30).mapping.expect("a mapping");
        assert_eq!((alone.port, alone.mappings, alone.changed), (None, 1, 0));
        assert_eq!(alone.address, IpAddr::from([198, 51, 100, 20]));
    }
}
