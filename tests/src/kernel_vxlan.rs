//! A stock kernel `vxlan` device: the other end that interoperability is shown with, and the
//! yardstick. Nothing here may lean on the product.

use std::net::IpAddr;

use anyhow::Result;

use crate::netns::Ns;

/// Settings of a kernel vxlan device; [`KernelVxlan::create`] makes it.
#[derive(Debug, Clone)]
pub struct KernelVxlan {
    pub name: String,
    pub vni: u32,
    pub local: IpAddr,
    pub remote: IpAddr,
    pub port: u16,
    pub learning: bool,
    pub mtu: Option<u32>,
    /// More words of `ip link add`, as in `ttl inherit`.
    pub options: String,
    /// With their prefix lengths.
    pub addresses: Vec<String>,
    /// Reached on the device itself (`ip route add X dev NAME`).
    pub routes: Vec<String>,
}

impl KernelVxlan {
    pub fn new(name: &str, vni: u32, local: IpAddr, remote: IpAddr) -> Self {
        Self {
            name: name.to_owned(),
            vni,
            local,
            remote,
            port: 4789,
            learning: true,
            mtu: None,
            options: String::new(),
            addresses: Vec::new(),
            routes: Vec::new(),
        }
    }

    pub fn address(mut self, address: &str) -> Self {
        self.addresses.push(address.to_owned());
        self
    }

    pub fn route(mut self, destination: &str) -> Self {
        self.routes.push(destination.to_owned());
        self
    }

    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = Some(mtu);
        self
    }

    pub fn options(mut self, options: &str) -> Self {
        options.clone_into(&mut self.options);
        self
    }

    pub fn nolearning(mut self) -> Self {
        self.learning = false;
        self
    }

    /// Makes the device, up and with its addresses and routes. Returns its MAC address.
    pub fn create(&self, ns: &Ns) -> Result<[u8; 6]> {
        let Self { name, vni, local, remote, port, options, .. } = self;
        let learning = if self.learning { "learning" } else { "nolearning" };
        ns.run(&format!(
            "ip link add {name} type vxlan id {vni} local {local} remote {remote} dstport {port} \
             {learning} {options}"
        ))?;
        if let Some(mtu) = self.mtu {
            ns.run(&format!("ip link set {name} mtu {mtu}"))?;
        }
        for address in &self.addresses {
            ns.run(&format!("ip addr add {address} dev {name}"))?;
        }
        ns.run(&format!("ip link set {name} up"))?;
        for route in &self.routes {
            ns.run(&format!("ip route add {route} dev {name}"))?;
        }
        ns.mac(name)
    }
}
