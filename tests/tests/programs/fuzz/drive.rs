//! A program run on one frame after the other, without a look at its maps in between; and the maps
//! read whole, by names.

use std::collections::BTreeMap;

use aya::{
    maps::{HashMap, PerCpuArray, PerCpuHashMap},
    programs::{TestRun as _, TestRunOptions},
};
use vxlan_common::{
    counters::{Counters, NatField},
    reason::DropReason,
    table::{FdbEntry, FdbKey, NonMember},
};
use vxlan_user::dataplane::names;

use crate::bench::{Bench, Context, Program};

/// More than any frame here grows to.
const ROOM: usize = 8192;

pub(super) struct Drive {
    bench: Bench,
    peers: Vec<String>,
    vnis: Vec<u32>,
    context: [u8; 192],
    out: Vec<u8>,
}

/// What a program made of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran<'a> {
    pub(super) verdict: i32,
    pub(super) bytes: &'a [u8],
}

/// What is counted, by direction, kind, peer and VNI.
pub(super) type Counted = BTreeMap<String, u64>;

/// Overlay interface and MAC address, and the peer that it is behind.
pub(super) type Stations = BTreeMap<(u32, [u8; 6]), String>;

impl Drive {
    pub(super) fn new(bench: Bench, peers: Vec<String>, vnis: Vec<u32>) -> Self {
        let context = Context::DEFAULT.bytes();
        Self { bench, peers, vnis, context, out: vec![0; ROOM] }
    }

    /// Nothing where the kernel does not take the frame.
    pub(super) fn run(&mut self, program: Program, frame: &[u8]) -> Option<Ran<'_>> {
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.out),
            ctx_in: (program != Program::Decap).then_some(&self.context),
            ..TestRunOptions::default()
        };
        let plane = &mut self.bench.plane;
        let result = match program {
            Program::Decap => plane.xdp().expect("it is loaded").test_run(options),
            Program::Deliver => {
                plane.classifier(names::DELIVER).expect("it is loaded").test_run(options)
            }
            Program::Encap => {
                plane.classifier(names::ENCAP).expect("it is loaded").test_run(options)
            }
        };
        let result = result.ok()?;
        let verdict = result.return_value.cast_signed();
        Some(Ran { verdict, bytes: &self.out[..result.data_size_out as usize] })
    }

    /// Secret, network and slot: what `decap` puts in front of a frame of that member.
    pub(super) fn tag(&self, peer: &str, vni: u32) -> Vec<u8> {
        let plan = &self.bench.plan;
        let owner = |slot: u32| &plan.slots[slot as usize];
        let members = plan.members.iter().find(|member| {
            let owner = owner(member.slot);
            owner.peer.as_deref() == Some(peer) && owner.vni == Some(vni)
        });
        let member = members.expect("it is a member");
        let (network, slot) = (member.network.to_ne_bytes(), member.slot.to_ne_bytes());
        [&crate::bench::SECRET[..], &network, &slot].concat()
    }

    pub(super) fn counted(&mut self) -> Counted {
        let slots = self.bench.plan.slots.clone();
        let bpf = self.bench.plane.maps();
        let counters: PerCpuArray<_, Counters> =
            bpf.map("COUNTERS").expect("is a map").try_into().expect("is a per-CPU array");
        let mut all = Counted::new();
        for (index, owner) in slots.iter().enumerate() {
            let mut sum = Counters::ZERO;
            counters.get(&(index as u32), 0).expect("is there").iter().for_each(|cpu| sum.add(cpu));
            for (what, count) in by_name(&sum) {
                note(&mut all, what, owner.peer.as_deref(), owner.vni, count);
            }
        }
        let pairs: PerCpuHashMap<_, NonMember, u64> =
            bpf.map("NON_MEMBERS").expect("is a map").try_into().expect("is a per-CPU hash");
        for entry in pairs.iter() {
            let (pair, values) = entry.expect("can be read");
            let (peer, vni) = (&self.peers[pair.peer as usize], self.vnis[pair.network as usize]);
            note(&mut all, "rx not_a_member", Some(peer), Some(vni), values.iter().sum());
        }
        all
    }

    pub(super) fn stations(&mut self) -> Stations {
        let plan = &self.bench.plan;
        let slots = plan.members.iter().map(|member| plan.slots[member.slot as usize].clone());
        let names: Vec<_> = slots.map(|slot| slot.peer.unwrap_or_default()).collect();
        let fdb: HashMap<_, FdbKey, FdbEntry> =
            self.bench.plane.maps().map("FDB").expect("is a map").try_into().expect("is a hash");
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
        ("tx_packets".to_owned(), counters.tx_packets),
        ("tx_bytes".to_owned(), counters.tx_bytes),
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
pub(super) fn note(
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
