//! Many peers: their addresses, and what the kernel has to know of them. The first one is the other
//! end of the underlay, the others are behind it.

use std::{fmt::Write as _, net::Ipv4Addr};

use anyhow::Result;
use vxlan_tests::{Ns, link::mac_text, packet::Mac};

use crate::host::{Carrier, OVERLAY, PEER, PEER_INNER, PEER_MAC, Spec};

/// Where its packets come from, and go to.
pub(crate) fn endpoint(peer: usize) -> Ipv4Addr {
    if peer == 0 { PEER } else { numbered(8, peer) }
}

/// The host behind it.
pub(crate) fn inner(peer: usize) -> Ipv4Addr {
    if peer == 0 { PEER_INNER } else { numbered(9, peer) }
}

/// Of the host behind it.
pub(crate) fn mac(peer: usize) -> Mac {
    if peer == 0 { PEER_MAC } else { [2, 0, 0, 1, (peer >> 8) as u8, peer as u8] }
}

fn numbered(network: u8, peer: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, network, (peer >> 8) as u8, peer as u8)
}

/// Has the kernel know the MAC addresses of the hosts behind all peers but the first, so that none
/// is asked for, and its vxlan device the peers.
pub(crate) fn neighbours(ns: &Ns, spec: Spec, gateway: &str) -> Result<()> {
    let Spec { carrier, peers } = spec;
    let interface = carrier.overlay();
    let is_kernel = matches!(carrier, Carrier::Kernel | Carrier::KernelXdp);
    let (mut ip, mut bridge) = (String::new(), String::new());
    if peers > 1 && (is_kernel || !carrier.tunnels()) {
        let _ = writeln!(ip, "route add 10.9.0.0/16 dev {interface}");
    }
    for peer in 1..peers {
        let mac = if carrier.tunnels() { mac_text(mac(peer)) } else { gateway.to_owned() };
        // Writing to a string cannot fail.
        let _ = writeln!(ip, "neigh replace {} dev {interface} lladdr {mac}", inner(peer));
        let _ = writeln!(bridge, "fdb add {mac} dev {OVERLAY} dst {}", endpoint(peer));
    }
    ns.run_with_input("ip -batch -", &ip)?;
    if is_kernel {
        ns.run_with_input("bridge -batch -", &bridge)?;
    }
    Ok(())
}
