//! The underlay interface as the data plane must know it before it attaches. Reads only.

use super::{address::InterfaceAddress, connection::Host, error::HostError, link::XdpAttachment};

/// The interface that VXLAN packets enter and leave by.
#[derive(Debug, Clone)]
pub struct UnderlayLink {
    pub ifindex: u32,
    pub name: String,
    pub mac: [u8; 6],
    pub mtu: u32,
    /// The kind of a virtual device (`veth`, `bond`, …); hardware has none.
    pub kind: Option<String>,
    /// The bus that hardware sits on (`pci`, `virtio`, …); virtual devices have none.
    pub bus: Option<String>,
    /// In the kernel's order: the first that is not secondary is the primary one of its family.
    pub addresses: Vec<InterfaceAddress>,
    pub up: bool,
    /// Whether the lower layer is there: a cable, or the other end of a veth pair.
    pub carrier: bool,
    /// A program that is attached already, ours or somebody else's.
    pub xdp: Option<XdpAttachment>,
}

impl Host {
    /// Reads the interface of this name.
    pub async fn underlay_link(&self, name: &str) -> Result<UnderlayLink, HostError> {
        let link = self.existing_link(name).await?;
        let Some(mac) = link.mac else {
            let found = match &link.kind {
                Some(kind) => format!("a {kind} device"),
                None => format!("link type {}", link.layer),
            };
            return Err(HostError::NotEthernet { name: name.to_owned(), found });
        };
        Ok(UnderlayLink {
            ifindex: link.ifindex,
            mac,
            mtu: link.mtu,
            addresses: self.addresses(link.ifindex).await?,
            up: link.up,
            carrier: link.carrier,
            xdp: link.xdp,
            kind: link.kind,
            bus: link.bus,
            name: link.name,
        })
    }
}
