//! The result of the preflight: what was read of configuration and host. All later steps act on it.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::{
    attach_mode::AttachMode,
    config::{self, Config},
    dataplane::AttachModes,
    host::{Overlay, UnderlayLink},
    plan::{RedirectTarget, UnderlayFacts, default_overlay_mtu, unfit_endpoint},
    probe::Key,
    state::HostState,
};

/// A configuration, and the host that it fits.
#[derive(Debug)]
pub struct Preflight {
    pub config: Config,
    pub underlay: UnderlayLink,
    /// The first of the addresses to send from.
    pub address: IpAddr,
    /// What the plan needs of the underlay interface.
    pub facts: UnderlayFacts,
    /// The modes to receive in, in the fallback order.
    pub attach_modes: AttachModes,
    /// The key of each peer that has one.
    pub keys: Vec<Option<Key>>,
    /// The record of a previous run, if there is one.
    pub previous: Option<HostState>,
    /// Sentences for the user about what is valid but may not be intended.
    pub warnings: Vec<String>,
}

impl Preflight {
    /// Returns the MTU of a network's overlay interface.
    pub fn overlay_mtu(&self, network: &config::Network) -> u32 {
        let fits = || default_overlay_mtu(&self.config, network, &self.facts);
        network.mtu.map_or_else(fits, |at| at.value)
    }

    /// Tells why no peer can be at a learned endpoint. `None`: a peer can.
    pub fn unfit_endpoint(&self, endpoint: SocketAddr) -> Option<&'static str> {
        let own = self.underlay.addresses.iter().map(|own| own.address);
        let public = self.config.underlay.public_address.addresses().map(IpNet::from);
        unfit_endpoint(endpoint, &own.chain(public).collect::<Vec<_>>())
    }

    /// Returns where XDP redirects frames that are to arrive at an overlay interface.
    pub fn redirect_target(&self, overlay: &Overlay, mtu: u32) -> Option<RedirectTarget> {
        let modes = &self.attach_modes;
        let native = modes.allowed.contains(&AttachMode::Native);
        let target = RedirectTarget { ifindex: overlay.hidden_ifindex, mtu };
        (native && modes.no_redirect.is_none()).then_some(target)
    }

    /// Lists the addresses that packets leave from, for a message.
    pub fn sends_from(&self) -> String {
        let addresses: Vec<_> = self.facts.addresses().map(|address| address.to_string()).collect();
        addresses.join(" and ")
    }
}
