//! What the preflight reads of configuration and host, for all who act on it afterwards.

use std::net::IpAddr;

use crate::{
    config::{self, Config},
    dataplane::AttachModes,
    host::UnderlayLink,
    plan::{UnderlayFacts, default_overlay_mtu},
    probe::Key,
    state::State,
};

/// Configuration and host, found to fit.
#[derive(Debug)]
pub struct Preflight {
    pub config: Config,
    pub underlay: UnderlayLink,
    /// The first of the addresses to send from.
    pub address: IpAddr,
    pub facts: UnderlayFacts,
    /// Where to receive.
    pub ladder: AttachModes,
    /// By peer.
    pub keys: Vec<Option<Key>>,
    /// What a former run left, if anything.
    pub former: Option<State>,
    /// Not wrong, but worth a sentence.
    pub warnings: Vec<String>,
}

impl Preflight {
    /// The MTU of a network's overlay interface.
    pub fn overlay_mtu(&self, network: &config::Network) -> u32 {
        let fits = || default_overlay_mtu(&self.config, network, &self.facts);
        network.mtu.map_or_else(fits, |at| at.value)
    }

    /// The addresses that packets leave from, for a sentence.
    pub fn sends_from(&self) -> String {
        let all: Vec<_> = self.facts.addresses().map(|address| address.to_string()).collect();
        all.join(" and ")
    }
}
