//! Reading network interfaces. Owns the translation of link messages into plain values; changes
//! nothing.

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    AddressFamily,
    link::{
        AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkExtentMask,
        LinkFlags, LinkInfo, LinkMessage, LinkXdp, XdpAttached,
    },
};

use crate::attach_mode::AttachMode;

use super::{
    connection::Host,
    error::{During as _, HostError},
};

/// An XDP program that is attached to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XdpAttachment {
    pub program_id: u32,
    /// Absent: the program runs on the device itself, or programs run in more than one mode. The
    /// program named is then the first that runs.
    pub mode: Option<AttachMode>,
}

/// What the kernel reports of one interface.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) ifindex: u32,
    pub(super) name: String,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) carrier: bool,
    pub(super) layer: String,
    pub(super) kind: Option<String>,
    pub(super) bus: Option<String>,
    /// The kind of its root queueing discipline.
    pub(super) qdisc: Option<String>,
    pub(super) alias: Option<String>,
    /// 0 unless somebody gave it another.
    pub(super) group: u32,
    /// The other end of a veth pair, when it is in this namespace.
    pub(super) peer: Option<u32>,
    /// There is another end, and it is in another namespace.
    pub(super) peer_is_elsewhere: bool,
    /// Whether the kernel makes a link-local address. `None`: the interface has no IPv6 at all.
    pub(super) generates_ipv6: Option<bool>,
    pub(super) ipv6_disabled: bool,
    pub(super) accept_local: bool,
    pub(super) proxy_arp: bool,
    pub(super) xdp: Option<XdpAttachment>,
}

impl From<&LinkMessage> for Link {
    fn from(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            ifindex: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            layer: format!("{:?}", message.header.link_layer_type),
            kind: None,
            bus: None,
            qdisc: None,
            alias: None,
            group: 0,
            peer: None,
            peer_is_elsewhere: false,
            generates_ipv6: None,
            ipv6_disabled: false,
            accept_local: false,
            proxy_arp: false,
            xdp: None,
        };
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(name) = attribute {
                link.name.clone_from(name);
            } else if let LinkAttribute::Address(address) = attribute {
                link.mac = address.as_slice().try_into().ok();
            } else if let LinkAttribute::Mtu(mtu) = attribute {
                link.mtu = *mtu;
            } else if let LinkAttribute::IfAlias(alias) = attribute {
                link.alias = Some(alias.clone());
            } else if let LinkAttribute::Group(group) = attribute {
                link.group = *group;
            } else if let LinkAttribute::Link(peer) = attribute {
                link.peer = Some(*peer);
            } else if let LinkAttribute::LinkNetNsId(_) = attribute {
                link.peer_is_elsewhere = true;
            } else if let LinkAttribute::Qdisc(kind) = attribute {
                link.qdisc = Some(kind.clone());
            } else if let LinkAttribute::ParentDevBusName(bus) = attribute {
                link.bus = Some(bus.clone());
            } else if let LinkAttribute::LinkInfo(infos) = attribute {
                link.kind = infos.iter().find_map(kind);
            } else if let LinkAttribute::AfSpecUnspec(families) = attribute {
                families.iter().for_each(|family| link.read_family(family));
            } else if let LinkAttribute::Xdp(attributes) = attribute {
                link.xdp = xdp(attributes);
            }
        }
        if link.peer_is_elsewhere {
            link.peer = None;
        }
        link
    }
}

impl Link {
    fn read_family(&mut self, family: &AfSpecUnspec) {
        if let AfSpecUnspec::Inet(attributes) = family {
            for attribute in attributes {
                if let AfSpecInet::DevConf(settings) = attribute {
                    self.accept_local = settings.accept_local != 0;
                    self.proxy_arp = settings.proxy_arp != 0;
                }
            }
        } else if let AfSpecUnspec::Inet6(attributes) = family {
            for attribute in attributes {
                if let AfSpecInet6::AddrGenMode(mode) = attribute {
                    self.generates_ipv6 = Some(*mode != In6AddrGenMode::None);
                } else if let AfSpecInet6::DevConf(settings) = attribute {
                    self.ipv6_disabled = settings.disable_ipv6 != 0;
                }
            }
        }
    }

    pub(super) fn is_veth(&self) -> bool {
        self.kind.as_deref() == Some("veth")
    }

    /// For error messages: enough to recognise the device in `ip link`.
    pub(super) fn describe(&self) -> String {
        let kind = self.kind.as_deref().unwrap_or("physical");
        match &self.alias {
            Some(alias) => format!("{kind} device, ifindex {}, alias \"{alias}\"", self.ifindex),
            None => format!("{kind} device, ifindex {}, no alias", self.ifindex),
        }
    }
}

fn kind(info: &LinkInfo) -> Option<String> {
    if let LinkInfo::Kind(kind) = info { Some(kind.to_string()) } else { None }
}

fn xdp(attributes: &[LinkXdp]) -> Option<XdpAttachment> {
    let mut mode = None;
    let mut program = None;
    // With several programs the kernel names each by its mode and leaves out the general id.
    let mut native = None;
    let mut generic = None;
    for attribute in attributes {
        if let LinkXdp::Attached(attached) = attribute {
            mode = Some(match *attached {
                XdpAttached::None => return None,
                XdpAttached::SocketBuffer => Some(AttachMode::Generic),
                XdpAttached::Hardware | XdpAttached::Multiple => None,
                XdpAttached::Driver | XdpAttached::Other(_) | _ => Some(AttachMode::Native),
            });
        } else if let LinkXdp::ProgId(id) = attribute {
            program = Some(*id);
        } else if let LinkXdp::DrvProgId(id) = attribute {
            native = Some(*id);
        } else if let LinkXdp::SkbProgId(id) = attribute {
            generic = Some(*id);
        }
    }
    Some(XdpAttachment { mode: mode?, program_id: program.or(native).or(generic).unwrap_or(0) })
}

impl Host {
    pub(super) async fn links(&self) -> Result<Vec<Link>, HostError> {
        // Statistics are most of what the kernel has to write for an interface.
        let mask = vec![LinkExtentMask::SkipStats];
        let request = self.handle.link().get().set_filter_mask(AddressFamily::Unspec, mask);
        let links = request.execute().map_ok(|message| Link::from(&message)).try_collect();
        links.await.during(|| "list the interfaces".to_owned())
    }

    pub(super) async fn link_by_name(&self, name: &str) -> Result<Option<Link>, HostError> {
        // One that the kernel cannot have: it would answer ERANGE, which means the same.
        if name.is_empty() || name.len() > MAX_NAME {
            return Ok(None);
        }
        let request = self.handle.link().get().match_name(name.to_owned());
        match request.execute().try_next().await.during(|| format!("look up interface {name}")) {
            Ok(message) => Ok(message.as_ref().map(Link::from)),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn existing_link(&self, name: &str) -> Result<Link, HostError> {
        match self.link_by_name(name).await? {
            Some(link) => Ok(link),
            None => {
                let existing = self.links().await?.into_iter().map(|link| link.name).collect();
                Err(HostError::UnknownInterface { name: name.to_owned(), existing })
            }
        }
    }

    /// A name for messages: never fails, since it is used where something else already has.
    pub async fn name_of(&self, ifindex: u32) -> String {
        let request = self.handle.link().get().match_index(ifindex);
        match request.execute().try_next().await {
            Ok(Some(message)) => Link::from(&message).name,
            Ok(None) | Err(_) => format!("ifindex {ifindex}"),
        }
    }
}

/// The kernel's IFNAMSIZ, less the final NUL.
pub(super) const MAX_NAME: usize = libc::IFNAMSIZ - 1;
