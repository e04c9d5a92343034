//! One frame to the program and to the model, and what they do not agree on.

use std::{collections::BTreeSet, fmt::Write as _};

use vxlan_tests::{
    model::{Counter, Fate, Model, Probe, Who},
    packet::diff,
};

use super::{
    plane::{Counted, Fdb, FuzzPlane, REDIRECTED_MTU, record},
    setups::Setup,
};
use crate::{
    bench::Program,
    daemon::ProbeEvent,
    rows::{TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC, XDP_DROP, XDP_PASS, XDP_REDIRECT},
};

pub(super) struct Comparison<'a> {
    setup: &'a Setup,
    plane: FuzzPlane,
    model: Model,
    /// What `decap` puts in front of a member's frames, by network and member.
    tags: Vec<Vec<Vec<u8>>>,
    /// `decap_tc` stands for `decap`.
    in_tc: bool,
    /// Frames so far.
    number: u64,
}

/// A disagreement.
#[derive(Debug)]
pub(super) struct Failure {
    /// Which frame it was, or the last one before the state was compared.
    pub(super) number: u64,
    /// In few words, the same for what is likely the same fault.
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) frame: Option<Vec<u8>>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(setup: &'a Setup, in_tc: bool, memo_entries: Option<u32>) -> Self {
        let model = Model::new(setup.config.clone());
        let peers: Vec<_> = setup.config.peers.iter().map(|peer| peer.name.clone()).collect();
        let networks = &setup.config.networks;
        let plane = FuzzPlane::new(setup, memo_entries);
        let tags = networks.iter().map(|network| {
            let tag = |peer: usize| plane.tag(&peers[peer], network.vni);
            network.members.iter().map(|member| tag(member.peer)).collect()
        });
        let tags = tags.collect();
        Self { setup, plane, model, tags, in_tc, number: 0 }
    }

    /// A peer that is learned loses its port to nobody, or gets it back; the tables change for
    /// any other peer, too, into what they are.
    pub(super) fn moves(&mut self, peer: usize) {
        let (ours, original) = (&mut self.model.config.peers[peer], &self.setup.config.peers[peer]);
        if ours.learn {
            ours.port = if ours.port == original.port { ours.port ^ 0x100 } else { original.port };
        }
        self.plane.moves(peer, &self.model.config.peers[peer]);
    }

    /// Verdict and bytes. The peer of a frame that was received and
    /// accepted.
    pub(super) fn compare(
        &mut self,
        program: Program,
        frame: &[u8],
    ) -> Result<Option<usize>, Failure> {
        self.number += 1;
        let program =
            if program == Program::Decap && self.in_tc { Program::DecapTc } else { program };
        let Some(ran) = self.plane.run(program, frame) else { return Ok(None) };
        let fate = match program {
            Program::Decap | Program::DecapTc => self.model.receive(frame),
            Program::Deliver | Program::Encap => self.model.judge(0, frame),
        };
        let tag = match &fate {
            Fate::Accepted { network, member, .. } if !self.in_tc => {
                &self.tags[*network][*member][..]
            }
            Fate::NotOurs
            | Fate::Refused(_)
            | Fate::Accepted { .. }
            | Fate::Probe(_)
            | Fate::Sent { .. }
            | Fate::Flooded(_)
            | Fate::Answered { .. }
            | Fate::TooBig { .. } => &[],
        };
        let fates = alternatives(&fate);
        let agreed = fates.iter().find(|fate| {
            let (verdict, bytes) = expected(program, fate, frame);
            verdict == ran.verdict && bytes.is_none_or(|bytes| ran.bytes == tagged(tag, bytes))
        });
        if let Some(agreed) = agreed {
            if program == Program::Encap {
                self.model.count(0, frame.len(), agreed);
            }
            return match &fate {
                Fate::Probe(probe) => self.compare_probe(probe, (program, frame)).map(|()| None),
                Fate::Accepted { network, member, .. } => {
                    Ok(Some(self.setup.config.networks[*network].members[*member].peer))
                }
                Fate::NotOurs
                | Fate::Refused(_)
                | Fate::Sent { .. }
                | Fate::Flooded(_)
                | Fate::Answered { .. }
                | Fate::TooBig { .. } => Ok(None),
            };
        }
        let (verdict, bytes) = expected(program, &fates[0], frame);
        let frame_bytes = ran.bytes.strip_prefix(tag).unwrap_or(ran.bytes);
        let mut text = format!("model: {}; verdict {verdict}, not {}\n", name(&fate), ran.verdict);
        let mut place = String::new();
        if verdict == ran.verdict
            && let Some(difference) = bytes.and_then(|bytes| diff(bytes, frame_bytes))
        {
            let line = difference.lines().next().unwrap_or_default();
            place = line.split_once(", in").map_or("", |(_, field)| field).to_owned();
            // A frame of many lines would hide the next disagreement.
            difference.lines().take(16).for_each(|line| text.push_str(&format!("{line}\n")));
        }
        let kind = format!("{program:?}, {} / {}{place}", name(&fate), ran.verdict);
        let counters = self.counters_that_differ().unwrap_or_default();
        text.push_str(&counters);
        Err(self.failure(kind, text, Some((program, frame))))
    }

    /// Exactly this one was handed out.
    fn compare_probe(&mut self, probe: &Probe, at: (Program, &[u8])) -> Result<(), Failure> {
        let expected = ProbeEvent {
            peer: probe.peer as u32,
            length: probe.length as u32,
            source: probe.src,
            destination: probe.dst,
            source_port: probe.source_port,
            destination_port: probe.destination_port,
            checksum: probe.checksum.to_be_bytes(),
            ttl: probe.ttl,
            tos: probe.tos,
            dont_fragment: probe.dont_fragment,
            bytes: probe.bytes.clone(),
        };
        let events = self.plane.probes();
        if events == [expected] {
            return Ok(());
        }
        let text = format!("model {probe:?}\nprogram {events:?}\n");
        Err(self.failure("probe".to_owned(), text, Some(at)))
    }

    fn mappings_that_differ(&mut self) -> String {
        let mut text = String::new();
        for (n, network) in self.setup.config.networks.iter().enumerate() {
            for (m, member) in network.members.iter().enumerate() {
                let peer = &self.setup.config.peers[member.peer].name;
                let expected = self.model.mappings.get(&(n, m));
                let differs = self.plane.mapping_differs(peer, network.vni, expected);
                text.extend(differs);
            }
        }
        text
    }

    /// What was counted of anybody, without whom.
    pub(super) fn kinds(&self) -> BTreeSet<String> {
        let names = self.counted().into_keys();
        names.filter_map(|name| Some(name.split_once(" peer=")?.0.to_owned())).collect()
    }

    fn counters_that_differ(&mut self) -> Option<String> {
        let (theirs, ours) = (self.plane.counted(), self.counted());
        if theirs == ours {
            return None;
        }
        let names: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
        let lines = names.into_iter().filter_map(|name| {
            let count = |all: &Counted| all.get(name).copied().unwrap_or(0);
            let (ours, theirs) = (count(&ours), count(&theirs));
            (ours != theirs).then(|| format!("  {name}: model {ours}, program {theirs}\n"))
        });
        Some(lines.collect())
    }

    /// Compares counters, forwarding table and mappings.
    pub(super) fn compare_state(&mut self, last: Option<(Program, &[u8])>) -> Result<(), Failure> {
        if let Some(text) = self.counters_that_differ() {
            let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
            let kind = format!("counters:{}", names.collect::<String>());
            return Err(self.failure(kind, text, last));
        }
        let (theirs, ours) = (self.plane.fdb(), self.fdb());
        if theirs != ours {
            let mut text = String::new();
            for (key, peer) in &ours {
                if theirs.get(key) != Some(peer) {
                    let _ =
                        writeln!(text, "  {key:x?}: model {peer}, program {:?}", theirs.get(key));
                }
            }
            for (key, peer) in theirs.iter().filter(|(key, _)| !ours.contains_key(*key)) {
                let _ = writeln!(text, "  {key:x?}: program {peer}, model nobody");
            }
            return Err(self.failure("fdb".to_owned(), text, last));
        }
        let text = self.mappings_that_differ();
        if !text.is_empty() {
            return Err(self.failure("mappings".to_owned(), text, last));
        }
        let events = self.plane.probes();
        if !events.is_empty() {
            let text = format!("  program {events:?}\n");
            return Err(self.failure("probes that are none".to_owned(), text, last));
        }
        Ok(())
    }

    fn counted(&self) -> Counted {
        let mut all = Counted::new();
        let networks = &self.model.config.networks;
        let peer_name = |peer: usize| self.model.config.peers[peer].name.as_str();
        for ((who, what), count) in &self.model.counters.0 {
            let (peer, vni) = match *who {
                Who::Nobody => (None, None),
                Who::Peer(peer) => (Some(peer), None),
                Who::Network(network) => (None, Some(network)),
                Who::Member { network, member } => {
                    (Some(networks[network].members[member].peer), Some(network))
                }
                Who::Pair { peer, network } => (Some(peer), Some(network)),
            };
            let vni = vni.map(|network| networks[network].vni);
            if matches!(what, Counter::RxPackets) {
                record(&mut all, "accepted", peer.map(peer_name), vni, *count);
            }
            let what = match what {
                // Where there is a `deliver`, it counts these.
                Counter::RxPackets | Counter::RxBytes if !self.in_tc => continue,
                Counter::RxPackets => "rx_packets".to_owned(),
                Counter::RxBytes => "rx_bytes".to_owned(),
                Counter::TxPackets => "tx_packets".to_owned(),
                Counter::TxBytes => "tx_bytes".to_owned(),
                Counter::RxDrop(reason) => format!("rx {reason}"),
                Counter::TxDrop(reason) => format!("tx {reason}"),
                Counter::Nat(field) => format!("nat {field}"),
                Counter::Probes => "probes".to_owned(),
                Counter::NeighbourReplies => "neighbour_replies".to_owned(),
                Counter::TooBigSent => "too_big_sent".to_owned(),
            };
            record(&mut all, what, peer.map(peer_name), vni, *count);
        }
        all
    }

    fn fdb(&self) -> Fdb {
        let config = &self.model.config;
        let named = self.model.fdb.iter().map(|((network, mac), entry)| {
            let peer = config.networks[*network].members[entry.member].peer;
            ((self.setup.overlays[*network].0, *mac), config.peers[peer].name.clone())
        });
        named.collect()
    }

    fn failure(&self, kind: String, text: String, at: Option<(Program, &[u8])>) -> Failure {
        let line = at.map_or(String::new(), |(program, frame)| {
            let program = format!("{program:?}").to_lowercase();
            let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{program} {} {hex}\n", self.setup.name)
        });
        let text = format!("{line}{text}");
        let frame = at.map(|(_, frame)| frame.to_vec());
        Failure { number: self.number.saturating_sub(1), kind, text, frame }
    }
}

/// A frame behind its tag, if any. The tag of a frame to a group holds the first byte of it, and
/// the frame one of no station.
fn tagged(tag: &[u8], frame: &[u8]) -> Vec<u8> {
    let mut all = [tag, frame].concat();
    if !tag.is_empty() && frame[0] & 1 != 0 {
        all[15] = std::mem::replace(&mut all[16], 0x02);
    }
    all
}

/// What may become of a frame, as far as the program that it is run by sees it.
fn alternatives(fate: &Fate) -> Vec<Fate> {
    match fate {
        // The frame itself is the last copy. The others enter the overlay interface, where the
        // program would meet them again if it were attached.
        Fate::Flooded(copies) => copies.last().cloned().into_iter().collect(),
        Fate::Answered { forgotten, .. } => [vec![fate.clone()], alternatives(forgotten)].concat(),
        // Messages about packets that are too large are limited per second.
        Fate::TooBig { refusal, .. } => vec![fate.clone(), Fate::Refused(*refusal)],
        Fate::NotOurs
        | Fate::Refused(_)
        | Fate::Accepted { .. }
        | Fate::Probe(_)
        | Fate::Sent { .. } => vec![fate.clone()],
    }
}

/// UDP, or a fragment of it, that the hidden port carries.
fn is_redirected(inner: &[u8]) -> bool {
    let protocol = match inner.get(12..14) {
        Some([0x08, 0x00]) => inner.get(23),
        // A fragment header that is whole.
        Some([0x86, 0xdd]) if inner.get(20) == Some(&44) => {
            inner.get(54).filter(|_| inner.get(18..20).is_some_and(|length| length >= &[0, 8][..]))
        }
        Some([0x86, 0xdd]) => inner.get(20),
        _ => None,
    };
    protocol == Some(&17) && inner.len() <= 14 + REDIRECTED_MTU as usize
}

/// Verdict and bytes, unless the packet is gone.
fn expected<'f>(program: Program, fate: &'f Fate, frame: &'f [u8]) -> (i32, Option<&'f [u8]>) {
    let dropped = if program == Program::Decap { XDP_DROP } else { TC_ACT_SHOT };
    let in_tc = program == Program::DecapTc;
    match fate {
        Fate::NotOurs if in_tc => (TC_ACT_UNSPEC, Some(frame)),
        Fate::NotOurs => (XDP_PASS, Some(frame)),
        Fate::Refused(_) | Fate::Probe(_) | Fate::Flooded(_) => (dropped, None),
        Fate::Accepted { inner, .. } if in_tc => (TC_ACT_REDIRECT, Some(inner)),
        Fate::Accepted { inner, .. } if is_redirected(inner) => (XDP_REDIRECT, Some(inner)),
        Fate::Accepted { inner, .. } => (XDP_PASS, Some(inner)),
        Fate::Sent { outer, .. } => (TC_ACT_REDIRECT, Some(outer)),
        Fate::Answered { reply, .. } | Fate::TooBig { reply, .. } => (TC_ACT_REDIRECT, Some(reply)),
    }
}

pub(super) fn name(fate: &Fate) -> String {
    match fate {
        Fate::NotOurs => "not ours".to_owned(),
        Fate::Refused(refusal) => format!("refused, {} ({:?})", refusal.reason, refusal.who),
        Fate::Accepted { .. } => "accepted".to_owned(),
        Fate::Probe(_) => "probe".to_owned(),
        Fate::Sent { .. } => "sent".to_owned(),
        Fate::Flooded(copies) => {
            let names: Vec<_> = copies.iter().map(name).collect();
            format!("everyone: {}", names.join(", "))
        }
        Fate::Answered { .. } => "answered".to_owned(),
        Fate::TooBig { refusal, .. } => format!("too big, {}", refusal.reason),
    }
}
