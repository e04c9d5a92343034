//! A data plane of the fuzz test's own: runs a program on one frame after the other, without
//! reading its maps in between; and reads the maps whole, by names.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use aya::{
    maps::{HashMap, PerCpuArray, PerCpuHashMap},
    programs::{TestRun as _, TestRunOptions},
};
use vxlan_common::{
    counters::{Counters, NatField},
    reason::DropReason,
    table::{FdbEntry, FdbKey, NonMember, ObservedEndpoint},
};
use vxlan_tests::model::{Mapping, Peer};
use vxlan_user::{
    config,
    dataplane::{DataPlane, LoadOptions, names},
    plan::{
        Inherited, LearnedEndpoint, Memberships, Moved, OverlayFacts, PeerPath, Plan,
        RedirectTarget, Secrets, UnderlayFacts, peer_entry,
    },
};

use super::setups::{Setup, UNDERLAY_IFINDEX};
use crate::{
    bench::{Context, Program},
    daemon::{self, ProbeEvent},
    world::UNDERLAY_MTU,
};

/// More than any frame here grows to.
const ROOM: usize = 8192;
/// Where peers are reached through.
const GATEWAYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1)),
];

pub(super) struct FuzzPlane {
    plane: DataPlane,
    plan: Plan,
    config: config::Config,
    underlay: UnderlayFacts,
    learned: Vec<Option<LearnedEndpoint>>,
    peers: Vec<String>,
    vnis: Vec<u32>,
    context: [u8; 192],
    out: Vec<u8>,
}

/// Verdict and bytes of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunResult<'a> {
    pub(super) verdict: i32,
    pub(super) bytes: &'a [u8],
}

/// The hidden port of every network; nobody has it.
const HIDDEN_IFINDEX: u32 = 9_999;
/// So that there are datagrams that are too long to be redirected.
pub(super) const REDIRECTED_MTU: u32 = 300;

/// What is counted, by direction, kind, peer and VNI.
pub(super) type Counted = BTreeMap<String, u64>;

/// Overlay interface and MAC address, and the peer that it is behind.
pub(super) type Fdb = BTreeMap<(u32, [u8; 6]), String>;

/// What is known of a peer whose endpoint is learned.
fn learned(peer: &Peer) -> Option<LearnedEndpoint> {
    let at = *peer.endpoints.first().filter(|_| peer.learn)?;
    let sent_from = peer.sent_from.first().copied().unwrap_or(at);
    Some(LearnedEndpoint { endpoint: SocketAddr::new(at, peer.port), sent_from })
}

/// How packets get to a peer.
fn path(peer: &config::Peer, ours: &Peer, learned: Option<LearnedEndpoint>) -> Option<PeerPath> {
    let learned = learned.map(|learned| learned.endpoint);
    let endpoint = learned.or_else(|| peer.endpoint())?;
    ours.reachable.then(|| PeerPath {
        endpoint,
        gateway: GATEWAYS[usize::from(endpoint.is_ipv6())],
        resolved: true,
        mtu: ours.path_mtu as u32,
    })
}

/// Not secret, as nobody is there to guess.
struct Numbered(u8);

impl Secrets for Numbered {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.0 += 1;
        [self.0; N]
    }
}

impl FuzzPlane {
    /// `memo_entries`: with one, every packet meets what was remembered of another.
    pub(super) fn new(setup: &Setup, memo_entries: Option<u32>) -> Self {
        let text = setup.text();
        let config = config::parse(&text, Path::new(setup.name));
        let config = config.unwrap_or_else(|e| panic!("{e}\n{text}"));
        let underlay = UnderlayFacts {
            ifindex: UNDERLAY_IFINDEX,
            mtu: UNDERLAY_MTU,
            v4: setup.config.addresses.iter().find_map(|address| match address {
                IpAddr::V4(v4) => Some(*v4),
                IpAddr::V6(_) => None,
            }),
            v6: setup.config.addresses.iter().find_map(|address| match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(v6) => Some(*v6),
            }),
        };
        let redirect = Some(RedirectTarget { ifindex: HIDDEN_IFINDEX, mtu: REDIRECTED_MTU });
        let overlays = setup.overlays.iter();
        let overlays: Vec<_> =
            overlays.map(|&(ifindex, mac)| OverlayFacts { ifindex, mac, redirect }).collect();
        let learned: Vec<_> = setup.config.peers.iter().map(learned).collect();
        let peers = config.peers.iter().zip(&setup.config.peers).zip(&learned);
        let paths: Vec<_> =
            peers.map(|((peer, ours), learned)| path(peer, ours, *learned)).collect();
        let mut plan =
            Plan::new(&config, &underlay, &learned, &Inherited::default(), &mut Numbered(0xa0));
        plan.set_overlays(&overlays);
        plan.set_paths(&config, &underlay, &learned, &paths);
        let tags = setup.config.peers.iter().zip(0..);
        plan.probers = tags.filter_map(|(peer, index)| Some((peer.tag?, index))).collect();
        let options = LoadOptions {
            trace_packets: false,
            slots: plan.names.slots.len() as u32,
            mac_addresses: Plan::fdb_entries_for(&config),
            neighbours: Plan::neighbours_for(&config),
            memo_entries,
            ..LoadOptions::default()
        };
        let mut plane = DataPlane::load(options).unwrap_or_else(|e| panic!("{e} (are you root?)"));
        plane.fill(&plan).expect("maps take the plan");
        let peers = config.peers.iter().map(|peer| peer.name.value.clone()).collect();
        let vnis = config.networks.iter().map(|network| network.vni.value.get()).collect();
        let context = Context::DEFAULT.bytes();
        let out = vec![0; ROOM];
        Self { plane, plan, config, underlay, learned, peers, vnis, context, out }
    }

    /// The peer is now where the model has it; of one that is not learned nothing changes.
    pub(super) fn moves(&mut self, index: usize, ours: &Peer) {
        let new = learned(ours);
        let moved = |(peer, from, to)| Moved { peer, from, to };
        let there = self.learned.iter().enumerate().map(|(peer, at)| moved((peer, None, *at)));
        let mut memberships = Memberships::new(&self.config);
        memberships.apply(&self.config, &there.collect::<Vec<_>>());
        let moved = moved((index, self.learned[index], new));
        let changes = memberships.apply(&self.config, &[moved]);
        self.plane.change(&changes).expect("takes it");
        self.learned[index] = new;
        let peer = &self.config.peers[index];
        let path = path(peer, ours, new);
        let slot = self.plan.peers[index].slot;
        let entry = peer_entry(peer, &self.underlay, path.as_ref(), new.as_ref(), slot);
        self.plane.set_peer(index as u32, &entry).expect("takes it");
    }

    /// Nothing where the kernel does not take the frame.
    pub(super) fn run(&mut self, program: Program, frame: &[u8]) -> Option<RunResult<'_>> {
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.out),
            ctx_in: (program != Program::Decap).then_some(&self.context),
            ..TestRunOptions::default()
        };
        let plane = &mut self.plane;
        let result = match program {
            Program::Decap => plane.xdp().expect("it is loaded").test_run(options),
            Program::DecapTc => {
                plane.classifier(names::DECAP_TC).expect("it is loaded").test_run(options)
            }
            Program::Deliver => {
                plane.classifier(names::DELIVER).expect("it is loaded").test_run(options)
            }
            Program::Encap => {
                plane.classifier(names::ENCAP).expect("it is loaded").test_run(options)
            }
        };
        let result = result.ok()?;
        let verdict = result.return_value.cast_signed();
        Some(RunResult { verdict, bytes: &self.out[..result.data_size_out as usize] })
    }

    fn member(&self, peer: &str, vni: u32) -> u32 {
        let owner = |slot: u32| self.plan.names.owner(slot as usize).expect("is somebody's");
        let position = self.plan.members.iter().position(|member| {
            let owner = owner(member.slot);
            owner.peer.as_deref() == Some(peer) && owner.vni == Some(vni)
        });
        position.expect("it is a member") as u32
    }

    /// Secret, interface and slot: what `decap` puts in front of a frame of that member.
    pub(super) fn tag(&self, peer: &str, vni: u32) -> Vec<u8> {
        let member = self.plan.members[self.member(peer, vni) as usize];
        let ifindex = self.plan.networks[member.network as usize].ifindex;
        let (ifindex, slot) = (ifindex.to_ne_bytes(), member.slot.to_ne_bytes());
        [&self.plan.settings.secret[..], &ifindex, &slot].concat()
    }

    pub(super) fn counted(&mut self) -> Counted {
        let bpf = self.plane.maps();
        let counters: PerCpuArray<_, Counters> =
            bpf.map("COUNTERS").expect("is a map").try_into().expect("is a per-CPU array");
        let mut all = Counted::new();
        for (slot, owner) in self.plan.names.owners() {
            let mut sum = Counters::ZERO;
            counters.get(&slot, 0).expect("is there").iter().for_each(|cpu| sum.add(cpu));
            for (what, count) in by_name(&sum) {
                record(&mut all, what, owner.peer.as_deref(), owner.vni, count);
            }
        }
        let pairs: PerCpuHashMap<_, NonMember, u64> =
            bpf.map("NON_MEMBERS").expect("is a map").try_into().expect("is a per-CPU hash");
        for entry in pairs.iter() {
            let (pair, values) = entry.expect("can be read");
            let (peer, vni) = (&self.peers[pair.peer as usize], self.vnis[pair.network as usize]);
            record(&mut all, "rx not_a_member", Some(peer), Some(vni), values.iter().sum());
        }
        all
    }

    /// What was handed to the daemon, taken out; then as many may come as at first.
    pub(super) fn probes(&mut self) -> Vec<ProbeEvent> {
        let bpf = self.plane.maps();
        let events = daemon::take_probes(bpf).into_iter().map(|(_, events)| events).collect();
        daemon::refill_probes(bpf, self.peers.len() as u32);
        events
    }

    /// What was recorded of a peer in a network, if the model has something else.
    pub(super) fn mapping_differs(
        &mut self,
        peer: &str,
        vni: u32,
        expected: Option<&Mapping>,
    ) -> Option<String> {
        let member = self.member(peer, vni);
        let observed = daemon::observed(self.plane.maps(), member);
        let mut seen = [0; 8];
        let Some(expected) = expected else {
            let nothing = observed.family == 0 && observed.seen == seen && observed.changes == 0;
            return (!nothing).then(|| format!("  {peer}: model nothing, program {observed:?}\n"));
        };
        for (address, port) in &expected.seen {
            let place = ObservedEndpoint::bit_for(&daemon::bytes_of(*address), *port);
            seen[place as usize / 64] |= 1 << (place % 64);
        }
        let same = observed.family != 0
            && daemon::address_of(observed.family, &observed.address) == expected.address
            && (observed.port, observed.ttl) == (expected.port, expected.ttl)
            && (observed.changes, observed.seen) == (expected.changes, seen);
        (!same).then(|| format!("  {peer}: model {expected:?}, program {observed:?}\n"))
    }

    pub(super) fn fdb(&mut self) -> Fdb {
        let owner = |slot: u32| self.plan.names.owner(slot as usize).cloned();
        let owners = self.plan.members.iter().filter_map(|member| owner(member.slot));
        let names: Vec<_> = owners.map(|owner| owner.peer.unwrap_or_default()).collect();
        let fdb: HashMap<_, FdbKey, FdbEntry> =
            self.plane.maps().map("FDB").expect("is a map").try_into().expect("is a hash");
        let entries = fdb.iter().map(|entry| {
            let (key, entry) = entry.expect("can be read");
            ((key.ifindex, key.mac.octets()), names[entry.member as usize].clone())
        });
        entries.collect()
    }
}

fn by_name(counters: &Counters) -> Vec<(String, u64)> {
    let mut all = vec![
        ("rx_packets".to_owned(), counters.rx_packets),
        ("rx_bytes".to_owned(), counters.rx_bytes),
        ("accepted".to_owned(), counters.accepted),
        ("tx_packets".to_owned(), counters.tx_packets),
        ("tx_bytes".to_owned(), counters.tx_bytes),
        ("neighbour_replies".to_owned(), counters.neighbour_replies),
        ("too_big_sent".to_owned(), counters.too_big_sent),
        ("probes".to_owned(), counters.probes),
    ];
    for field in NatField::ALL {
        all.push((format!("nat {}", field.label()), counters.nat[field as usize]));
    }
    for reason in DropReason::all() {
        let name = format!("{} {}", reason.direction(), reason.label());
        all.push((name, counters.drops[reason.index()]));
    }
    all
}

/// Adds what is not zero.
pub(super) fn record(
    all: &mut Counted,
    what: impl std::fmt::Display,
    peer: Option<&str>,
    vni: Option<u32>,
    count: u64,
) {
    if count != 0 {
        let vni = vni.map_or("-".to_owned(), |vni| vni.to_string());
        let name = format!("{what} peer={} vni={vni}", peer.unwrap_or("-"));
        *all.entry(name).or_default() += count;
    }
}
