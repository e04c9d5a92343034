//! The kernel's own `vxlan` devices on this host, which may share the UDP port. Reads only.

use futures_util::TryStreamExt as _;
use netlink_packet_route::link::{
    InfoData, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::{
    connection::Host,
    error::{During as _, HostError},
};

/// The port of a device that was made without one.
const DEFAULT_PORT: u16 = 8472;

/// A `vxlan` device that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelVxlan {
    pub name: String,
    pub vni: u32,
    pub port: u16,
}

impl KernelVxlan {
    fn from_message(message: &LinkMessage) -> Option<Self> {
        if !message.header.flags.contains(LinkFlags::Up) {
            return None;
        }
        let (mut name, mut of_kind) = (None, None);
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(found) = attribute {
                name = Some(found.clone());
            } else if let LinkAttribute::LinkInfo(infos) = attribute {
                of_kind = infos.iter().find_map(|info| {
                    if let LinkInfo::Data(InfoData::Vxlan(found)) = info {
                        Some(found)
                    } else {
                        None
                    }
                });
            }
        }
        let mut device = Self { name: name?, vni: 0, port: DEFAULT_PORT };
        for setting in of_kind? {
            if let InfoVxlan::Id(vni) = setting {
                device.vni = *vni;
            } else if let InfoVxlan::Port(port) = setting {
                device.port = *port;
            }
        }
        Some(device)
    }
}

impl Host {
    /// The kernel's `vxlan` devices that are up.
    pub async fn kernel_vxlans(&self) -> Result<Vec<KernelVxlan>, HostError> {
        let dump = self.handle.link().get().execute();
        let messages: Vec<LinkMessage> =
            dump.try_collect().await.during(|| "list the interfaces".to_owned())?;
        Ok(messages.iter().filter_map(KernelVxlan::from_message).collect())
    }
}
