//! An Ethernet segment that any number of hosts are plugged into: a switch in a namespace of its
//! own.

use anyhow::Result;

use crate::{
    link::{Wire, set_queue, set_wire},
    netns::{Netns, Ns},
    run::Run,
};

/// A switch. Its hosts' interfaces go with it.
#[derive(Debug)]
pub struct Segment {
    ns: Netns,
    wire: Wire,
}

impl Segment {
    pub fn new(run: &Run, role: &str, wire: Wire) -> Result<Self> {
        let ns = run.netns(role)?;
        ns.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
        // Without snooping it asks nobody for groups, so that no frame but the hosts' is on it.
        ns.run("ip link add br0 type bridge mcast_snooping 0 stp_state 0")?;
        ns.run("ip link set br0 up")?;
        Ok(Self { ns, wire })
    }

    /// Gives `host` an interface on the segment, up and with its address (`10.0.0.2/24`). `port` is
    /// the other end's name at the switch.
    pub fn plug(&self, host: &Ns, interface: &str, address: &str, port: &str) -> Result<()> {
        host.run(&format!(
            "ip link add {interface} type veth peer name {port} netns {}",
            self.ns.name()
        ))?;
        self.ns.run(&format!("ip link set {port} master br0 up"))?;
        host.sysctl(&format!("net.ipv6.conf.{interface}.addr_gen_mode"), "1")?;
        host.run(&format!("ip addr add {address} dev {interface}"))?;
        host.run(&format!("ip link set {interface} up"))?;
        // Only now that both are up: a veth accepts GRO while it is down, but does not act on it.
        set_wire(host, interface, self.wire)?;
        set_wire(&self.ns, port, self.wire)?;
        set_queue(host, interface)?;
        set_queue(&self.ns, port)
    }
}
