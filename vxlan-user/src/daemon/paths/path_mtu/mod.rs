//! How narrow routers say that the paths to the peers are: which ICMP messages are to be believed,
//! and for how long. Pure: bytes and points in time in, numbers out.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use vxlan_common::addr::IPV6;

use crate::{
    plan::{Plan, entry_endpoint},
    state::NarrowPath,
};

/// After this a path may have become wider again (RFC 1191, section 6.3; RFC 8201, section 4).
pub(in crate::daemon) const LIFETIME: Duration = Duration::from_secs(600);

/// No IPv4 path is taken to be narrower: what every host must be able to receive (RFC 791).
const LEAST_IPV4: u32 = 576;
/// No IPv6 link is narrower (RFC 8200, section 5).
const LEAST_IPV6: u32 = 1280;
/// MTUs that links really have, for routers that do not name theirs (RFC 1191, section 7).
const PLATEAUS: [u32; 8] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508];

/// The first of the source ports that are made from the flow hash; the last is the last of all.
const FIRST_FLOW_PORT: u16 = 49_152;

/// What a packet must have in its headers to be one of ours.
#[derive(Debug)]
pub(in crate::daemon) struct Ours {
    /// Where we send from, and what a NAT makes of that.
    addresses: Vec<IpAddr>,
    /// The one source port, unless it is made from the flow.
    fixed_source_port: Option<u16>,
    vnis: Vec<[u8; 3]>,
    /// Where we send to.
    endpoints: Vec<SocketAddr>,
}

/// What a believable message says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::daemon) struct TooBig {
    pub(in crate::daemon) endpoint: SocketAddr,
    pub(in crate::daemon) mtu: u32,
}

impl Ours {
    pub(in crate::daemon) fn of(plan: &Plan) -> Self {
        let settings = &plan.settings;
        let v4 = [settings.address, settings.public_address].map(Ipv4Addr::from);
        let v6 = [settings.address6, settings.public_address6].map(|at| at.to_ip(IPV6));
        let all = v4.into_iter().map(IpAddr::V4).chain(v6);
        let port = u16::from_be_bytes(settings.port);
        Self {
            addresses: all.filter(|address| !address.is_unspecified()).collect(),
            fixed_source_port: (settings.fixed_source_port != 0).then_some(port),
            vnis: plan.networks.iter().map(|network| network.vni).collect(),
            // One that is not learned yet is unspecified, and no packet goes there.
            endpoints: plan.peers.iter().map(entry_endpoint).collect(),
        }
    }

    /// Reads a message from its ICMP header on. Whoever knows the outer addresses
    /// and a VNI can forge one that is believed (over IPv4 also without the VNI, as not every router
    /// quotes as much), and may then lower the path MTU of that peer, within limits.
    pub(in crate::daemon) fn read(&self, message: &[u8], ipv6: bool) -> Option<TooBig> {
        let quoted = message.get(8..)?;
        let kind = [message[0], message[1]];
        if ipv6 {
            let mtu = u32::from_be_bytes(array(message, 4)?);
            let endpoint = self.quoted_v6(quoted)?;
            let length = 40 + u32::from(u16::from_be_bytes(array(quoted, 4)?));
            // RFC 8201, section 4: such a message must be discarded.
            let possible = mtu >= LEAST_IPV6 && length > mtu;
            return (kind == [2, 0] && possible).then_some(TooBig { endpoint, mtu });
        }
        if kind != [3, 4] || !sums_up(message) {
            return None;
        }
        let endpoint = self.quoted_v4(quoted)?;
        let told = u32::from(u16::from_be_bytes(array(message, 6)?));
        let length = u32::from(u16::from_be_bytes(array(quoted, 2)?));
        let mtu = if told == 0 { plateau_below(length) } else { told };
        // A packet that would have fitted was not dropped for its length.
        if length <= mtu {
            return None;
        }
        Some(TooBig { endpoint, mtu: mtu.max(LEAST_IPV4) })
    }

    fn quoted_v4(&self, quoted: &[u8]) -> Option<SocketAddr> {
        // We send nothing else: identification zero, DF.
        let never_cut = array(quoted, 4)? == [0, 0, 0x40, 0];
        if quoted[0] != 0x45 || !never_cut || *quoted.get(9)? != UDP {
            return None;
        }
        let source = Ipv4Addr::from(array::<4>(quoted, 12)?);
        let destination = Ipv4Addr::from(array::<4>(quoted, 16)?);
        self.quoted_udp(source.into(), destination.into(), quoted.get(20..)?, false)
    }

    fn quoted_v6(&self, quoted: &[u8]) -> Option<SocketAddr> {
        if *quoted.first()? >> 4 != 6 || *quoted.get(6)? != UDP {
            return None;
        }
        let source = Ipv6Addr::from(array::<16>(quoted, 8)?);
        let destination = Ipv6Addr::from(array::<16>(quoted, 24)?);
        // An IPv6 router quotes as much as fits (RFC 4443, section 2.4).
        self.quoted_udp(source.into(), destination.into(), quoted.get(40..)?, true)
    }

    /// From the UDP header on, of which the ports must be there, and the VXLAN header if `whole`.
    fn quoted_udp(&self, from: IpAddr, to: IpAddr, udp: &[u8], whole: bool) -> Option<SocketAddr> {
        let source_port = u16::from_be_bytes(array(udp, 0)?);
        let endpoint = SocketAddr::new(to, u16::from_be_bytes(array(udp, 2)?));
        let is_source_port = match self.fixed_source_port {
            Some(port) => source_port == port,
            None => source_port >= FIRST_FLOW_PORT,
        };
        let is_vni = array(udp, 12).map_or(!whole, |vni| self.vnis.contains(&vni));
        let ours = self.addresses.contains(&from) && self.endpoints.contains(&endpoint);
        (ours && is_source_port && is_vni).then_some(endpoint)
    }
}

/// Is a message, from its ICMP header on, of the kind that is read here?
pub(in crate::daemon) fn is_too_big(message: &[u8], ipv6: bool) -> bool {
    let kind: [u8; 2] = if ipv6 { [2, 0] } else { [3, 4] };
    message.starts_with(&kind)
}

const UDP: u8 = 17;

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// RFC 1071: with its checksum in place, a message sums up to all ones.
fn sums_up(message: &[u8]) -> bool {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low));
    let sum: u64 = message.chunks(2).map(word).sum();
    sum != 0 && sum.is_multiple_of(0xffff)
}

fn plateau_below(length: u32) -> u32 {
    PLATEAUS.into_iter().find(|plateau| *plateau < length).unwrap_or(LEAST_IPV4)
}

#[derive(Debug)]
struct Narrow {
    mtu: u32,
    until: Instant,
}

/// What is believed of the paths, by endpoint.
#[derive(Debug)]
pub(in crate::daemon) struct PathMtus {
    lifetime: Duration,
    narrow: HashMap<SocketAddr, Narrow>,
}

impl PathMtus {
    pub(in crate::daemon) fn new(lifetime: Duration) -> Self {
        Self { lifetime, narrow: HashMap::new() }
    }

    /// What a former run has found, at the point in time `now`, `uptime` seconds after boot.
    pub(in crate::daemon) fn of_record(
        lifetime: Duration,
        known: &[NarrowPath],
        now: Instant,
        uptime: u32,
    ) -> Self {
        let narrow = known.iter().filter(|path| path.until > uptime).map(|path| {
            // Not longer than the lifetime, whatever the clock was then.
            let left = Duration::from_secs((path.until - uptime).into()).min(lifetime);
            (path.endpoint, Narrow { mtu: path.mtu, until: now + left })
        });
        Self { lifetime, narrow: narrow.collect() }
    }

    /// For the next start: which of these ways are narrower than link and route allow. Each is to an
    /// endpoint, with what passes and with what those allow. What probes have found counts as if it was
    /// said now.
    pub(in crate::daemon) fn record(
        &self,
        ways: impl Iterator<Item = (SocketAddr, u32, u32)>,
        now: Instant,
        uptime: u32,
    ) -> Vec<NarrowPath> {
        let narrow = ways.filter(|(_, mtu, widest)| mtu < widest).map(|(endpoint, mtu, _)| {
            let said = self.narrow.get(&endpoint).map(|narrow| narrow.until);
            let left = said.map_or(self.lifetime, |until| until.saturating_duration_since(now));
            NarrowPath { endpoint, mtu, until: uptime + left.as_secs() as u32 }
        });
        narrow.collect()
    }

    /// Takes note of what was said, if that is less than what is `known`.
    pub(in crate::daemon) fn lower(&mut self, said: &TooBig, known: u32, now: Instant) -> bool {
        let lower = said.mtu < known;
        if lower {
            let until = now + self.lifetime;
            self.narrow.insert(said.endpoint, Narrow { mtu: said.mtu, until });
        }
        lower
    }

    /// Forgets what was said of the path to an endpoint.
    pub(in crate::daemon) fn forget(&mut self, endpoint: SocketAddr) {
        self.narrow.remove(&endpoint);
    }

    /// Forgets what is too old, and says of which endpoints that was.
    pub(in crate::daemon) fn expire(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.narrow.extract_if(|_, narrow| narrow.until <= now).map(|(of, _)| of).collect()
    }

    /// The MTU of the path to an endpoint, where link and route allow `mtu`.
    pub(in crate::daemon) fn limit(&self, endpoint: SocketAddr, mtu: u32) -> u32 {
        self.narrow.get(&endpoint).map_or(mtu, |narrow| narrow.mtu.min(mtu))
    }
}

/// Is it worth while to write down the one where the other is on record?
pub(in crate::daemon) fn differ(found: &[NarrowPath], recorded: &[NarrowPath]) -> bool {
    let same = |(found, recorded): (&NarrowPath, &NarrowPath)| {
        let age = found.until.abs_diff(recorded.until);
        (found.endpoint, found.mtu) == (recorded.endpoint, recorded.mtu)
            && u64::from(age) < LIFETIME.as_secs() / 2
    };
    found.len() != recorded.len() || !found.iter().zip(recorded).all(same)
}

#[cfg(test)]
mod tests;
