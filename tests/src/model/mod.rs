//! The rules of `docs/packets.md` a second time, as plain code over plain types: what becomes of a
//! frame, which bytes leave, which counters move, what is learned. Written from that page and the
//! RFCs alone. It shares nothing with the product, and clarity comes before speed: where program
//! and model disagree, one of them is not what the page says.
//!
//! Without clocks: rates (`packets_per_second`, `broadcast_rate`, probes and answers per second)
//! never limit here, and nothing that was learned grows old.

mod bytes;
mod config;
mod counters;
mod decap;
mod encap;
mod flow;
mod inner;
mod nat;
mod outer;
mod policy;
mod probe;
mod reply;
mod rewrite;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_nat;

use std::{collections::HashMap, net::IpAddr};

pub use config::{Config, FieldSource, Member, Network, Peer, Prefix, SourcePort};
pub use counters::{Counter, Counters, Who};
pub use nat::Mapping;
pub use probe::Probe;

use crate::packet::Mac;

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Passed on untouched.
    NotOurs,
    Refused(Refusal),
    /// Handed to the overlay interface of that network.
    Accepted {
        inner: Vec<u8>,
        network: usize,
        member: usize,
    },
    /// Handed to the daemon, and dropped.
    Probe(Probe),
    /// Sent to that member as these bytes, the Ethernet addresses zero.
    Sent {
        outer: Vec<u8>,
        member: usize,
    },
    /// One fate for each member in the order of the configuration, never empty.
    Flooded(Vec<Fate>),
    /// Handed back to the sender, as a proxy for that member.
    Answered {
        reply: Vec<u8>,
        member: usize,
        /// What becomes of the frame where the owner's MAC address is forgotten: the programs have
        /// room for a few of each member. Or the owner was asked at that address, and has not
        /// answered.
        forgotten: Box<Fate>,
    },
    /// Refused, and the sender gets these bytes, unless the limit of such messages is used up.
    TooBig {
        reply: Vec<u8>,
        refusal: Refusal,
    },
}

/// Why a frame was refused, and for whom that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: &'static str,
    pub who: Who,
}

impl Refusal {
    fn new(reason: &'static str, who: Who) -> Self {
        Self { reason, who }
    }
}

/// Where a frame is sent from with `source_port = "flow"`. Nothing for one that cannot be read.
pub fn flow_port(frame: &[u8]) -> Option<u16> {
    let inner = inner::Inner::read(frame).ok()?;
    Some(flow::source_port(flow::hash(&inner)))
}

/// The member behind which a MAC address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbEntry {
    pub member: usize,
    /// By a `mac` of the configuration, and never learned over.
    pub declared: bool,
}

/// A data plane: its configuration, and what it has seen.
#[derive(Clone, Debug)]
pub struct Model {
    pub config: Config,
    pub counters: Counters,
    /// By network and MAC address.
    pub fdb: HashMap<(usize, Mac), FdbEntry>,
    /// By network, member and the address that the member has announced.
    pub neighbours: HashMap<(usize, usize, IpAddr), Mac>,
    /// By network and member.
    pub mappings: HashMap<(usize, usize), Mapping>,
}

impl Model {
    pub fn new(config: Config) -> Self {
        let mut fdb = HashMap::new();
        for (n, network) in config.networks.iter().enumerate() {
            for (m, member) in network.members.iter().enumerate() {
                if let Some(mac) = member.mac {
                    fdb.insert((n, mac), FdbEntry { member: m, declared: true });
                }
            }
        }
        Self {
            config,
            counters: Counters::default(),
            fdb,
            neighbours: HashMap::new(),
            mappings: HashMap::new(),
        }
    }

    /// A frame that enters by the underlay interface.
    pub fn receive(&mut self, frame: &[u8]) -> Fate {
        decap::receive(self, frame)
    }

    /// A frame that is sent into the overlay interface of a network.
    pub fn transmit(&mut self, network: usize, frame: &[u8]) -> Fate {
        let fate = self.judge(network, frame);
        self.count(network, frame.len(), &fate);
        fate
    }

    /// The same, not counted.
    pub fn judge(&self, network: usize, frame: &[u8]) -> Fate {
        encap::decide(self, network, frame)
    }

    /// Counts a frame of so many bytes that had this fate on its way out.
    pub fn count(&mut self, network: usize, bytes: usize, fate: &Fate) {
        encap::count(&mut self.counters, network, bytes, fate);
    }
}
