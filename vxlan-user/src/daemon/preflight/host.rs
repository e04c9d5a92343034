//! Checks whether this process may make a data plane and this host can carry it: capabilities,
//! kernel, underlay interface, pins.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use anyhow::bail;
use tokio::time::{Instant, sleep};
use vxlan_common::table::MAX_FLOOD_MEMBERS;

use super::addresses;
use crate::{
    config::Config,
    daemon::directories::Directories,
    host::{Host, HostError, UnderlayLink, capabilities},
    state::{HostState, UnderlayRecord},
};

/// How long duplicate address detection may take: a random delay of up to a second, and a second
/// (RFC 4862, section 5.4.2).
const MAX_DETECTION: Duration = Duration::from_secs(3);
const DETECTION_POLL: Duration = Duration::from_millis(100);

/// Refuses a PREEMPT_RT kernel. The programs keep their scratch buffers per CPU and rely on the
/// kernel not to run two of them on one CPU at a time, which a real-time kernel does.
pub(super) fn check_preemption() -> anyhow::Result<()> {
    match std::fs::read_to_string("/sys/kernel/realtime") {
        Ok(text) if text.trim() == "1" => {
            bail!(
                "this is a PREEMPT_RT kernel, on which packets of one CPU can interrupt each \
                 other: run another kernel"
            )
        }
        _ => Ok(()),
    }
}

/// Checks that this process has the capabilities that a start needs.
pub(in crate::daemon) fn check_privileges() -> anyhow::Result<()> {
    let missing = capabilities::missing();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("missing {}: run as root, or give the service these capabilities", missing.join(" and "))
}

/// Reads the underlay interface that the configuration names, and chooses its addresses. Waits
/// where that hangs on duplicate address detection, as it may just after a boot.
pub(super) async fn read_underlay(
    config: &Config,
    host: &Host,
    previous: Option<&HostState>,
) -> anyhow::Result<(UnderlayLink, (Option<Ipv4Addr>, Option<Ipv6Addr>))> {
    let interface = &config.underlay.interface;
    let before = previous.map(|state| &state.underlay);
    let before = before.filter(|underlay| underlay.interface == interface.value);
    let in_use = before.map(UnderlayRecord::in_use).unwrap_or_default();
    let deadline = Instant::now() + MAX_DETECTION;
    loop {
        let underlay = match host.underlay_link(&interface.value).await {
            Ok(underlay) => underlay,
            Err(error @ (HostError::UnknownInterface { .. } | HostError::NotEthernet { .. })) => {
                return Err(config
                    .error(interface, format!("underlay.interface: {error}."))
                    .into());
            }
            Err(error) => return Err(error.into()),
        };
        match addresses::choose(config, &underlay, &in_use) {
            Ok(chosen) => return Ok((underlay, chosen)),
            Err(_) if addresses::is_unsettled(&underlay) && Instant::now() < deadline => {
                sleep(DETECTION_POLL).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Lists conditions under which a start succeeds, but packets are lost.
pub(super) fn warnings(config: &Config, underlay: &UnderlayLink) -> Vec<String> {
    let mut warnings = Vec::new();
    if !underlay.up || !underlay.carrier {
        let what = if underlay.up { "has no carrier" } else { "is down" };
        warnings.push(format!("interface {} {what}: no packet can pass yet", underlay.name));
    }
    let mut endpoints = config.peers.iter().flat_map(|peer| &peer.endpoints);
    if endpoints.any(|endpoint| endpoint.is_ipv6()) && !addresses::has_link_local(underlay) {
        warnings.push(format!(
            "interface {} has no link-local IPv6 address (fe80::), so the kernel cannot ask \
             whether next hops answer: an IPv6 endpoint counts as working whenever there is a \
             route",
            underlay.name
        ));
    }
    for peer in config.peers.iter().filter(|peer| peer.accept_private && peer.key_file.is_none()) {
        let addresses: Vec<_> =
            peer.private_addresses.addresses().map(|address| address.to_string()).collect();
        warnings.push(format!(
            "peer \"{}\" has accept_private and no key_file: whoever has {} in the network of \
             this host can send as that peer, and no probe tells the two apart. Leave \
             accept_private out unless a private line leads to the peer",
            peer.name,
            addresses.join(" or ")
        ));
    }
    warnings.extend(other_ports(config));
    for network in config.networks.iter().filter(|network| network.members.is_empty()) {
        warnings
            .push(format!("network {} has no member: nothing can pass in it", network.vni.value));
    }
    for network in
        config.networks.iter().filter(|network| network.members.len() > MAX_FLOOD_MEMBERS)
    {
        warnings.push(format!(
            "network {} has {} members: BUM traffic (broadcast, unknown unicast, multicast) \
             goes to the first {MAX_FLOOD_MEMBERS} of them only",
            network.vni.value,
            network.members.len()
        ));
    }
    warnings
}

/// Tells of endpoints with another port than this host's, which is mostly a slip: this host sends
/// there, and hears on its own port alone.
fn other_ports(config: &Config) -> Option<String> {
    let own = config.underlay.port.value;
    let all = config.peers.iter().flat_map(|peer| {
        peer.endpoints.iter().filter(|at| at.port() != own).map(move |at| (peer, at))
    });
    let mut all = all.peekable();
    let (peer, endpoint) = *all.peek()?;
    let others = match all.count() - 1 {
        0 => String::new(),
        others => format!(", as have {others} others"),
    };
    Some(format!(
        "endpoint {endpoint} of peer \"{}\" has another port than this host, which receives on \
         {own}{others}: right only if the peer has port = {} or forwards that port",
        peer.name,
        endpoint.port()
    ))
}

/// Refuses pins without a record: they belong to a daemon with another run directory.
pub(super) fn check_foreign_pins(
    directories: &Directories,
    previous: Option<&HostState>,
) -> anyhow::Result<()> {
    if previous.is_some() || !directories.pins.exist() {
        return Ok(());
    }
    bail!(
        "{} holds pins, and this run directory knows nothing of them: name the --run-dir that \
         does, or another --pin-dir, or remove what they keep alive with `vxlan down`",
        directories.pins.directory().display()
    )
}
