//! What the data plane has noted of a peer's data packets, made into what is reported.

use vxlan_common::table::{MemberState, ObservedEndpoint};

use super::DataMapping;

/// Of all networks that the peer is a member of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Where the packets come from: that of the network where it changed last, with the changes of
    /// all. Absent: none came yet.
    pub mapping: Option<DataMapping>,
    /// Seconds since the last packet. Absent: none came yet, or nobody set the programs' clock.
    pub last: Option<u32>,
}

impl Heard {
    /// From what was learned of the peer as a member of each network, `now` by the programs' clock.
    pub fn of(learned: &[MemberState], now: u32) -> Self {
        let last = learned.iter().map(|member| member.seen).filter(|seen| *seen != 0).max();
        Self { mapping: mapping(learned, now), last: last.map(|seen| now.saturating_sub(seen)) }
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
        place: u32,
        family: u8,
        address: Address,
        port: u16,
        changed: u32,
    ) -> ObservedEndpoint {
        let mut seen = [0; 8];
        seen[place as usize / 64] |= 1 << (place % 64);
        ObservedEndpoint { seen, address, changes: 2, changed, port, ttl: 61, family, pad: 0 }
    }

    #[test]
    fn nothing_came_yet() {
        assert_eq!(Heard::of(&[], 100), Heard::default());
        assert_eq!(Heard::of(&[member(0, ObservedEndpoint::NONE); 2], 100), Heard::default());
    }

    #[test]
    fn all_networks_count_and_the_latest_change_is_told() {
        let first = observed(7, IPV4, Address::ipv4([198, 51, 100, 20]), 0, 40);
        let mut v6 = [0; 16];
        v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
        let second = observed(300, IPV6, Address::ipv6(v6), 1024, 70);
        let heard = Heard::of(
            &[member(95, first), member(0, ObservedEndpoint::NONE), member(90, second)],
            100,
        );
        assert_eq!(heard.last, Some(5));
        let expected = DataMapping {
            address: "2001:db8::".parse().expect("an address"),
            port: Some(1024),
            ttl: 61,
            mappings: 2,
            changes: 4,
            changed: 30,
        };
        assert_eq!(heard.mapping, Some(expected));
        let alone = Heard::of(&[member(95, first)], 30).mapping.expect("a mapping");
        assert_eq!((alone.port, alone.mappings, alone.changed), (None, 1, 0));
        assert_eq!(alone.address, std::net::IpAddr::from([198, 51, 100, 20]));
    }
}
