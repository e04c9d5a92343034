//! Inner addresses: those that belong there, and all that have a rule of their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::Rng as _;
use vxlan_tests::model::Prefix;

use super::{
    generate::Generator,
    inner::{Direction, Ends, Place},
    setups::{PRIVATE6, PUBLIC6},
};
use crate::world::{GCP_PRIVATE, GCP_PUBLIC, NOWHERE};

impl Generator<'_> {
    /// Addresses of a packet in the right direction, of that family if the member has it.
    pub(super) fn addresses(&mut self, place: Place, v6: bool) -> Ends<IpAddr> {
        let network = &self.config.networks[place.network];
        let theirs = network.members[place.member].allowed.clone();
        let ours = network.local.clone();
        let (theirs, ours) = (self.within(&theirs, v6), self.within(&ours, v6));
        let (mut src, mut dst) = match place.direction {
            Direction::In => (theirs, ours),
            Direction::Out => (ours, theirs),
        };
        if self.odd() {
            src = self.any_address(place, v6);
        }
        if self.odd() || self.one_in(16) {
            dst = self.any_address(place, v6);
        }
        Ends { src, dst }
    }

    /// An address in one of the prefixes, or in none where none is of that family.
    fn within(&mut self, prefixes: &[Prefix], v6: bool) -> IpAddr {
        let family: Vec<_> =
            prefixes.iter().filter(|prefix| prefix.address.is_ipv6() == v6).copied().collect();
        if family.is_empty() {
            return if v6 { [0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 1].into() } else { NOWHERE.into() };
        }
        match self.pick(&family).address {
            IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::from([9, 9, 9, 9]),
            IpAddr::V4(v4) => {
                let host = self.pick(&[1, 1, 1, 2, 254]);
                Ipv4Addr::from(u32::from(v4) | host).into()
            }
            IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::from([0x2600, 0, 0, 0, 0, 0, 0, 1]),
            IpAddr::V6(v6) => {
                let host = self.pick(&[1, 1, 1, 2]);
                Ipv6Addr::from(u128::from(v6) | host).into()
            }
        }
    }

    pub(super) fn any_address(&mut self, place: Place, v6: bool) -> IpAddr {
        let network = &self.config.networks[place.network];
        let mut all: Vec<Prefix> = network.local.clone();
        network.members.iter().for_each(|member| all.extend(&member.allowed));
        if self.rng.random_bool(0.4) {
            return self.within(&all, v6);
        }
        if v6 {
            let random: [u8; 16] = self.rng.random();
            let words = self.pick(&[
                "::",
                "::1",
                "ff02::1",
                "ff02::1:ff00:1",
                "ff0e::9",
                "fe80::43:1",
                "fe80::44:1",
                "febf::1",
                "fec0::1",
                "2001:db8:43::1",
                "::ffff:192.168.44.1",
                "ff12::1",
            ]);
            let known = words.parse().expect("is an address");
            self.pick(&[known, known, known, PRIVATE6, PUBLIC6, random.into()]).into()
        } else {
            let random: [u8; 4] = self.rng.random();
            let words = self.pick(&[
                "0.0.0.0",
                "0.1.2.3",
                "127.0.0.1",
                "224.0.0.1",
                "239.1.2.3",
                "240.0.0.1",
                "255.255.255.255",
                "192.168.43.255",
                "192.168.44.255",
                "192.168.43.1",
                "192.168.43.0",
                "172.16.255.255",
                "169.254.1.1",
                "223.255.255.255",
                "128.0.0.0",
            ]);
            let known = words.parse().expect("is an address");
            self.pick(&[known, known, known, GCP_PRIVATE, GCP_PUBLIC, random.into()]).into()
        }
    }
}
