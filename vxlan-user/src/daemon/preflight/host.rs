//! Everything that can be known to be wrong before anything is changed.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use anyhow::bail;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};
use vxlan_common::table::MAX_FLOOD_MEMBERS;

use super::{addresses, attach_modes, keys, networks};
use crate::{
    config::{self, Config, TcMode},
    daemon::Places,
    dataplane::{AttachModes, TcHook},
    host::{Host, HostError, UnderlayLink, capabilities},
    plan::{UnderlayFacts, default_overlay_mtu},
    probe::Key,
    state::State,
};

/// Configuration and host, found to fit.
#[derive(Debug)]
pub struct Findings {
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

impl Findings {
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

/// Would a start succeed, as far as can be known without one? Changes nothing.
pub async fn check(places: &Places, host: &Host) -> anyhow::Result<Findings> {
    let findings = inspect(places, host).await?;
    // A daemon that runs has the port, and keeps it for the next one.
    if !places.run_dir.is_locked() {
        bind_metrics(&findings.config).await?;
    }
    Ok(findings)
}

/// The programs keep what they work on per CPU, and rely on the kernel not to run two of them there at
/// a time. A real-time kernel does.
fn preemption() -> anyhow::Result<()> {
    match std::fs::read_to_string("/sys/kernel/realtime") {
        Ok(text) if text.trim() == "1" => {
            bail!(
                "this is a PREEMPT_RT kernel, on which packets of one CPU can interrupt each other: \
                 run another kernel"
            )
        }
        _ => Ok(()),
    }
}

/// Reads configuration and host; changes nothing.
pub(in crate::daemon) async fn inspect(places: &Places, host: &Host) -> anyhow::Result<Findings> {
    privileges()?;
    preemption()?;
    let config = config::load(&places.config)?;
    let keys = keys::load(&config)?;
    let underlay = read_underlay(&config, host).await?;
    let (v4, v6) = addresses::to_send_from(&config, &underlay)?;
    let former = places.run_dir.load()?;
    // Without pins our own programs look foreign.
    places.pins.check()?;
    let ladder = attach_modes::of(&config, &underlay, &places.pins)?;
    foreign_pins(places, former.as_ref())?;
    let facts = UnderlayFacts { ifindex: underlay.ifindex, mtu: underlay.mtu, v4, v6 };
    let Some(address) = facts.addresses().next() else {
        return Err(addresses::none_at_all(&config, &underlay).into());
    };
    let mut warnings = warnings(&config, &underlay);
    warnings.extend(attach_modes::warnings(&ladder));
    let findings = Findings { config, underlay, address, facts, ladder, keys, former, warnings };
    networks::all(&findings, host).await?;
    Ok(findings)
}

/// May this process do what it is for?
pub(in crate::daemon) fn privileges() -> anyhow::Result<()> {
    let missing = capabilities::missing();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("missing {}: run as root, or give the service these capabilities", missing.join(" and "))
}

async fn read_underlay(config: &Config, host: &Host) -> anyhow::Result<UnderlayLink> {
    let interface = &config.underlay.interface;
    match host.underlay_link(&interface.value).await {
        Ok(underlay) => Ok(underlay),
        Err(error @ (HostError::UnknownInterface { .. } | HostError::NotEthernet { .. })) => {
            Err(config.error(interface, format!("underlay.interface: {error}.")).into())
        }
        Err(error) => Err(error.into()),
    }
}

fn warnings(config: &Config, underlay: &UnderlayLink) -> Vec<String> {
    let mut warnings = Vec::new();
    if !underlay.up || !underlay.carrier {
        let what = if underlay.up { "has no carrier" } else { "is down" };
        warnings.push(format!("interface {} {what}: no packet can pass yet", underlay.name));
    }
    let mut endpoints = config.peers.iter().flat_map(|peer| &peer.endpoints);
    if endpoints.any(|endpoint| endpoint.is_ipv6()) && !addresses::has_link_local(underlay) {
        warnings.push(format!(
            "interface {} has no link-local IPv6 address (fe80::), so the kernel cannot ask whether \
             next hops answer: an IPv6 endpoint counts as working whenever there is a route",
            underlay.name
        ));
    }
    for network in config.networks.iter().filter(|network| network.members.is_empty()) {
        warnings
            .push(format!("network {} has no member: nothing can pass in it", network.vni.value));
    }
    for network in
        config.networks.iter().filter(|network| network.members.len() > MAX_FLOOD_MEMBERS)
    {
        warnings.push(format!(
            "network {} has {} members: what is for everyone (broadcast, multicast, unknown \
             unicast) goes to the first {MAX_FLOOD_MEMBERS} of them only",
            network.vni.value,
            network.members.len()
        ));
    }
    warnings
}

/// Pins without a state of ours belong to a daemon with another run directory.
fn foreign_pins(places: &Places, former: Option<&State>) -> anyhow::Result<()> {
    if former.is_some() || !places.pins.exist() {
        return Ok(());
    }
    bail!(
        "{} holds pins, and this run directory knows nothing of them: name the --run-dir that does, \
         or another --pin-dir, or remove what they keep alive with `vxlan down`",
        places.pins.directory().display()
    )
}

/// How the configuration wants TC programs attached, or what this kernel has.
pub(in crate::daemon) fn tc_hook(config: &Config) -> TcHook {
    match config.underlay.tc {
        TcMode::Auto => TcHook::for_kernel(),
        TcMode::Tcx => TcHook::Tcx,
        TcMode::Clsact => TcHook::Netlink,
    }
}

/// Binds the metrics port, before anything is made.
pub(in crate::daemon) async fn bind_metrics(config: &Config) -> anyhow::Result<TcpListener> {
    let listen = &config.metrics.listen;
    let bound = if will_be_ours(config, listen.value.ip()) {
        bind_ahead(listen.value)
    } else {
        TcpListener::bind(listen.value).await
    };
    bound.map_err(|error| {
        let message = format!(
            "listen = \"{}\": {error}. Write an address of this host and a free port.",
            listen.value
        );
        config.error(listen, message).into()
    })
}

/// An address that this start puts on an overlay interface.
fn will_be_ours(config: &Config, address: IpAddr) -> bool {
    let own = config.networks.iter().flat_map(|network| &network.addresses);
    own.map(|at| at.value.addr()).any(|own| own == address)
}

/// Binds to an address that no interface has yet (`IP_FREEBIND`, ip(7); IPv6 sockets take it too).
fn bind_ahead(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = match listen {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    SockRef::from(&socket).set_freebind_v4(true)?;
    socket.bind(listen)?;
    socket.listen(1024)
}
