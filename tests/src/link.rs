//! Veth pairs between namespaces: making one, and giving it the properties of a real wire.

use std::net::IpAddr;

use anyhow::Result;

use crate::netns::Ns;

/// The interface every host has its underlay on.
pub const UNDERLAY: &str = "eth0";

/// What the underlay's veth pairs behave like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// As the kernel makes them: 64 KiB GSO packets cross by pointer, checksums are never computed.
    Default,
    /// As a wire: full checksums, frames no longer than the MTU, GRO on the receiving side.
    Real,
}

/// One end of a veth pair.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub ns: &'a Ns,
    pub interface: &'a str,
    /// With the prefix length, as in `10.0.0.2/24`.
    pub address: &'a str,
}

/// Makes a veth pair, gives both ends their address, and sets them up.
pub fn connect(left: End<'_>, right: End<'_>, mtu: u32, wire: Wire) -> Result<()> {
    left.ns.run(&format!(
        "ip link add {} mtu {mtu} type veth peer name {} mtu {mtu} netns {}",
        left.interface,
        right.interface,
        right.ns.name(),
    ))?;
    for End { ns, interface, address } in [left, right] {
        // No link-local address, so no solicitation or report that nobody asked for.
        ns.sysctl(&format!("net.ipv6.conf.{interface}.addr_gen_mode"), "1")?;
        ns.run(&format!("ip addr add {address} dev {interface}"))?;
        ns.run(&format!("ip link set {interface} up"))?;
    }
    // Only now that both are up: a veth accepts GRO while it is down, but does not act on it.
    for End { ns, interface, .. } in [left, right] {
        set_wire(ns, interface, wire)?;
    }
    Ok(())
}

/// Gives one end of a veth pair a transmit queue, as a NIC has: what its ring has no room for then
/// waits. Without one it is dropped, which TCP at full speed makes happen (Linux 6.16 and newer
/// wait).
pub fn set_queue(ns: &Ns, interface: &str) -> Result<()> {
    ns.run(&format!("tc qdisc replace dev {interface} root pfifo limit 10000")).map(drop)
}

/// Gives one end of a veth pair the offloads of `wire`. The interface must be up.
pub fn set_wire(ns: &Ns, interface: &str, wire: Wire) -> Result<()> {
    let offloads = match wire {
        Wire::Default => return Ok(()),
        Wire::Real => "tx off tso off gso off gro on",
    };
    ns.run(&format!("ethtool -K {interface} {offloads}")).map(drop)
}

/// Has an interface send no neighbour discovery and no multicast reports of its own accord, so that
/// what crosses an IPv6 wire can be counted to the packet. The neighbours must be static.
pub fn hush_ipv6(ns: &Ns, interface: &str) -> Result<()> {
    let rules = format!(
        "table ip6 hush {{\n chain out {{\n type filter hook output priority 0;\n \
         oifname \"{interface}\" meta l4proto icmpv6 drop\n }}\n}}\n"
    );
    ns.run_with_input("nft -f -", &rules).map(drop)
}

/// As `ip` writes it.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Tells each of these hosts the MAC address that belongs to the addresses of each other one, so
/// that no ARP or neighbour discovery disturbs a count. All of them are on one link, by
/// `interface`.
pub fn static_neighbours(interface: &str, hosts: &[(&Ns, &[IpAddr])]) -> Result<()> {
    for (host, addresses) in hosts {
        let mac = mac_text(host.mac(interface)?);
        for (on, _) in hosts.iter().filter(|(on, _)| on.name() != host.name()) {
            for address in *addresses {
                on.run(&format!("ip neigh replace {address} dev {interface} lladdr {mac}"))?;
            }
        }
    }
    Ok(())
}
