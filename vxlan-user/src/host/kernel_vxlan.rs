//! The kernel's own `vxlan` devices on this host, which may share the UDP port. Reads only.

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    AddressFamily,
    link::{
        InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo,
        LinkMessage,
    },
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
        let mask = vec![LinkExtentMask::SkipStats];
        let mut request = self.handle.link().get().set_filter_mask(AddressFamily::Unspec, mask);
        // The kernel then leaves out others, if it knows the kind at all.
        let kind = vec![LinkInfo::Kind(InfoKind::Vxlan)];
        request.message_mut().attributes.push(LinkAttribute::LinkInfo(kind));
        let dump = request.execute();
        let messages: Vec<LinkMessage> =
            dump.try_collect().await.during(|| "list the interfaces".to_owned())?;
        Ok(messages.iter().filter_map(KernelVxlan::from_message).collect())
    }
}
