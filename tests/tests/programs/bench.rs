//! A data plane that is loaded, perhaps for a previous test, and filled but not attached; runs of
//! its programs; and what each run changed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use aya::{
    maps::{Array, HashMap, PerCpuArray, PerCpuHashMap},
    programs::{TestRun as _, TestRunOptions},
};
use vxlan_common::{
    counters::Counters,
    table::{FdbEntry, FdbKey, NonMember},
};
use vxlan_tests::packet::Mac;
use vxlan_user::{
    config,
    dataplane::names,
    plan::{
        Inherited, LearnedEndpoint, OverlayFacts, PeerPath, Plan, Secrets, SlotOwner, UnderlayFacts,
    },
};

use crate::{
    daemon,
    deltas::{Deltas, Who},
    in_tc,
    pool::Pooled,
    world::{GCP_MAC, GCP_PRIVATE, OTHER_MAC, PUBLIC, UNDERLAY_MTU, gcp},
};

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Decap,
    /// `Decap` too where [`in_tc::is_on`] says so.
    DecapTc,
    Deliver,
    Encap,
}

/// What a packet's context says beside its bytes. TC only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// The device whose hook runs. 1, the loopback device, is what the kernel takes by default.
    pub(crate) ifindex: u32,
    /// Payload bytes of each segment.
    pub(crate) gso_size: u32,
    pub(crate) gso_segs: u32,
}

impl Context {
    pub(crate) const DEFAULT: Self = Self { ifindex: 1, gso_size: 0, gso_segs: 0 };

    /// `struct __sk_buff` of include/uapi/linux/bpf.h: all else must be zero.
    pub(crate) fn bytes(self) -> [u8; 192] {
        let mut bytes = [0; 192];
        let mut set = |at: usize, value: u32| {
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        };
        set(40, self.ifindex);
        set(164, self.gso_segs);
        set(176, self.gso_size);
        bytes
    }
}

/// The forwarding table: overlay interface and MAC address, index of the member.
pub(crate) type Fdb = BTreeMap<(u32, Mac), u32>;

/// What one run did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: i32,
    pub(crate) bytes: Vec<u8>,
    /// Every counter that moved.
    pub(crate) deltas: Deltas,
    pub(crate) fdb_before: Fdb,
    pub(crate) fdb: Fdb,
}

/// This host, from its own view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) v4: Option<Ipv4Addr>,
    pub(crate) v6: Option<Ipv6Addr>,
    /// One for each network.
    pub(crate) overlays: &'static [(u32, Mac)],
}

/// The interface of a second network.
pub(crate) const OTHER_IFINDEX: u32 = 9_999;

/// `gcp`, whose network 43 is on the loopback device.
pub(crate) const GCP: Host =
    Host { v4: Some(GCP_PRIVATE), v6: None, overlays: &[(1, GCP_MAC), (OTHER_IFINDEX, OTHER_MAC)] };

pub(crate) struct Bench {
    pub(crate) plane: Pooled,
    pub(crate) plan: Plan,
    pub(crate) config: config::Config,
    pub(crate) underlay: UnderlayFacts,
    /// By peer.
    pub(crate) learned: Vec<Option<LearnedEndpoint>>,
    peers: Vec<String>,
    vnis: Vec<u32>,
    counts: Deltas,
    fdb: Fdb,
}

/// Where peers are reached through.
const GATEWAYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1)),
];

/// The path to an endpoint of a peer.
pub(crate) fn path_to(peer: &config::Peer, endpoint: SocketAddr) -> Option<PeerPath> {
    match peer.name.as_str() {
        "lone" => None,
        name => Some(PeerPath {
            endpoint,
            gateway: GATEWAYS[usize::from(endpoint.is_ipv6())],
            resolved: true,
            mtu: if name == "office" { 1400 } else { UNDERLAY_MTU },
        }),
    }
}

/// Byte strings of one value each: a1, a2, a3 …
struct Fixed(u8);

impl Secrets for Fixed {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.0 += 1;
        [self.0; N]
    }
}

/// The first that [`Fixed`] draws: the secret of XDP metadata.
pub(crate) const SECRET: [u8; 8] = [0xa1; 8];
/// The destination MACs of members of network 43: of the SHA-256 of that secret and the slot, 5 and
/// 6 in four bytes, the first six; made locally administered unicast, the last two bits zero.
pub(crate) const AWS_SECRET_MAC: Mac = [0xca, 0xd6, 0xb1, 0xab, 0xfe, 0x2c];
pub(crate) const OFFICE_SECRET_MAC: Mac = [0x6e, 0x43, 0x54, 0xbb, 0x3b, 0xf8];

/// Copies of a flooded frame really leave, by the loopback device: not by the host's. Both overlay
/// interfaces are there.
pub(crate) fn own_namespace() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a namespace");
    let other = format!("link add other index {OTHER_IFINDEX} type veth peer name hidden");
    for command in ["link set lo up", &other] {
        let done = std::process::Command::new("ip").args(command.split(' ')).status();
        assert!(done.is_ok_and(|status| status.success()), "ip {command}");
    }
}

impl Bench {
    /// `gcp` as in the design.
    pub(crate) fn gcp() -> Self {
        Self::new(&gcp(PUBLIC), GCP)
    }

    /// Peers are reached through the gateways 10.0.0.1 and 2001:db8:a::1; the one called `lone` is
    /// not, and the one called `office` over a path of 1400 bytes.
    pub(crate) fn new(text: &str, host: Host) -> Self {
        own_namespace();
        Self::here(text, host)
    }

    /// The same in the namespace of the caller.
    pub(crate) fn here(text: &str, host: Host) -> Self {
        Self::with(Pooled::take(), text, host)
    }

    /// The same with a data plane of the caller's.
    pub(crate) fn with(mut plane: Pooled, text: &str, host: Host) -> Self {
        let config = config::parse(text, Path::new("test.toml")).unwrap_or_else(|e| panic!("{e}"));
        let Host { v4, v6, .. } = host;
        let underlay = UnderlayFacts { ifindex: 2, mtu: UNDERLAY_MTU, v4, v6 };
        let overlays: Vec<_> = host
            .overlays
            .iter()
            .map(|&(ifindex, mac)| OverlayFacts { ifindex, mac, redirect: None })
            .collect();
        assert_eq!(overlays.len(), config.networks.len());
        let peers: Vec<_> = config.peers.iter().map(|peer| peer.name.value.clone()).collect();
        let declared = |peer: &config::Peer| path_to(peer, peer.endpoint()?);
        let paths: Vec<_> = config.peers.iter().map(declared).collect();
        let mut plan = Plan::new(&config, &underlay, &[], &Inherited::default(), &mut Fixed(0xa0));
        plan.set_overlays(&overlays);
        plan.set_paths(&config, &underlay, &[], &paths);
        plan.probers = daemon::probers(&config);
        plane.fill(&plan).expect("maps take the plan");
        let learned = vec![None; config.peers.len()];
        let vnis = config.networks.iter().map(|network| network.vni.value.get()).collect();
        let (counts, fdb) = (Deltas::none(), Fdb::new());
        let mut bench = Self { plane, plan, config, underlay, learned, peers, vnis, counts, fdb };
        assert_eq!(bench.read_counts(), Deltas::none(), "counters begin at zero");
        bench.fdb = bench.read_fdb();
        bench
    }

    pub(crate) fn run(&mut self, program: Program, context: Context, input: &[u8]) -> Outcome {
        if program == Program::Decap && in_tc::is_on() {
            let outcome = self.run_one(Program::DecapTc, context, input);
            return in_tc::as_decap(self, input, outcome);
        }
        self.run_one(program, context, input)
    }

    fn run_one(&mut self, program: Program, context: Context, input: &[u8]) -> Outcome {
        let mut out = vec![0; input.len() + 256];
        let ctx = context.bytes();
        let options = TestRunOptions {
            data_in: Some(input),
            data_out: Some(&mut out),
            ctx_in: (program != Program::Decap).then_some(&ctx),
            ..TestRunOptions::default()
        };
        let result = match program {
            Program::Decap => self.plane.xdp().expect("it is loaded").test_run(options),
            Program::DecapTc => self.tc(names::DECAP_TC, options),
            Program::Deliver => self.tc(names::DELIVER, options),
            Program::Encap => self.tc(names::ENCAP, options),
        };
        let result = result.unwrap_or_else(|error| {
            panic!("the kernel cannot run {program:?} on {} bytes: {error:?}", input.len())
        });
        out.truncate(result.data_size_out as usize);
        let (counts, fdb) = (self.read_counts(), self.read_fdb());
        let counts_before = std::mem::replace(&mut self.counts, counts);
        let fdb_before = std::mem::replace(&mut self.fdb, fdb);
        Outcome {
            verdict: result.return_value.cast_signed(),
            bytes: out,
            deltas: self.counts.since(&counts_before),
            fdb_before,
            fdb: self.fdb.clone(),
        }
    }

    fn tc(
        &mut self,
        name: &'static str,
        options: TestRunOptions<'_>,
    ) -> Result<aya::programs::TestRunResult, aya::programs::ProgramError> {
        self.plane.classifier(name).expect("it is loaded").test_run(options)
    }

    /// Moves the daemon's clock on.
    pub(crate) fn seconds_pass(&mut self, seconds: u32) {
        let map = self.plane.maps().map_mut("CLOCK").expect("is a map");
        let mut clock: Array<_, u32> = map.try_into().expect("is an array");
        let now = clock.get(&0, 0).expect("is in range");
        clock.set(0, now + seconds, 0).expect("is in range");
    }

    /// Everything that is counted, as it is now.
    pub(crate) fn count_now(&mut self) -> Deltas {
        self.counts = self.read_counts();
        self.counts.clone()
    }

    /// Everything that is counted.
    pub(crate) fn counted(&self) -> &Deltas {
        &self.counts
    }

    /// The index of a peer.
    pub(crate) fn peer(&self, name: &str) -> u32 {
        self.peers.iter().position(|peer| peer == name).expect("is a peer") as u32
    }

    /// The number of the counter slot that stands for somebody.
    pub(crate) fn slot(&self, who: Who) -> u32 {
        let wanted = who.owner();
        let position = self.plan.names.owners().find(|(_, owner)| **owner == wanted);
        position.unwrap_or_else(|| panic!("{who:?} has no slot")).0
    }

    /// The index of a member, as FDB entries have it.
    pub(crate) fn member(&self, member: Who) -> u32 {
        let slot = self.slot(member);
        let position = self.plan.members.iter().position(|member| member.slot == slot);
        position.expect("a member has a slot") as u32
    }

    fn read_counts(&mut self) -> Deltas {
        let bpf = self.plane.maps();
        let counters: PerCpuArray<_, Counters> =
            bpf.map("COUNTERS").expect("is a map").try_into().expect("is a per-CPU array");
        let mut all = Deltas::none();
        // The slots in use and one that never is: the rest is looked at by `assert_no_other_slot`.
        for slot in 0..=(self.plan.names.slots.len() as u32) {
            let mut sum = Counters::ZERO;
            counters.get(&slot, 0).expect("is in range").iter().for_each(|cpu| sum.add(cpu));
            if sum == Counters::ZERO {
                continue;
            }
            let unnamed = || SlotOwner { peer: Some(format!("slot {slot}")), vni: None };
            let owner = self.plan.names.owner(slot as usize).cloned().unwrap_or_else(unnamed);
            all = all.slot(&owner, &sum);
        }
        let pairs: PerCpuHashMap<_, NonMember, u64> =
            bpf.map("NON_MEMBERS").expect("is a map").try_into().expect("is a per-CPU hash");
        for entry in pairs.iter() {
            let (pair, values) = entry.expect("can be read");
            let (peer, vni) = (&self.peers[pair.peer as usize], self.vnis[pair.network as usize]);
            all = all.non_member(peer, vni, values.iter().sum());
        }
        all
    }

    /// No packet was counted in a slot that has no owner.
    #[track_caller]
    pub(crate) fn assert_no_other_slot(&mut self) {
        let bpf = self.plane.maps();
        let counters: PerCpuArray<_, Counters> =
            bpf.map("COUNTERS").expect("is a map").try_into().expect("is a per-CPU array");
        for slot in self.plan.names.slots.len() as u32..counters.len() {
            let values = counters.get(&slot, 0).expect("is in range");
            assert!(values.iter().all(|cpu| *cpu == Counters::ZERO), "slot {slot}: {values:?}");
        }
    }

    fn read_fdb(&mut self) -> Fdb {
        let fdb: HashMap<_, FdbKey, FdbEntry> =
            self.plane.maps().map("FDB").expect("is a map").try_into().expect("is a hash");
        let entries = fdb.iter().map(|entry| {
            let (key, entry) = entry.expect("can be read");
            ((key.ifindex, key.mac.octets()), entry.member)
        });
        entries.collect()
    }
}
