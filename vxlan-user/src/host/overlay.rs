//! Overlay devices: a veth pair per network, of which the host uses one end and the data plane
//! the other, the hidden port.
//!
//! Owns their creation, adoption after a restart, and removal. A device is ours when its alias says
//! so ([`overlay_alias`]), or, until it has one, its group ([`OVERLAY_GROUP`]); nothing here changes any
//! other. Routes are `route`'s, programs are not
//! this room's.

use std::collections::HashSet;

use ipnet::IpNet;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoVeth, LinkAttribute,
};
use rtnetlink::{
    LinkMessageBuilder, LinkUnspec, LinkVeth,
    packet_core::{DefaultNla, NLA_F_NESTED},
};

use super::{
    Host,
    error::{During as _, HostError},
    link::{Link, MAX_NAME},
};

/// The overlay interface of one network, as it shall be.
#[derive(Debug, Clone)]
pub struct OverlaySpec {
    pub name: String,
    pub hidden_name: String,
    pub vni: u32,
    /// Of a new interface; one that is there keeps its own.
    pub mac: [u8; 6],
    pub mtu: u32,
    /// The first of each family becomes the primary one.
    pub addresses: Vec<IpNet>,
    /// Whether the interface speaks IPv6. If not, it also gets no link-local address.
    pub ipv6: bool,
    /// Whether this host answers ARP requests for addresses that it routes elsewhere.
    pub proxy_arp: bool,
}

/// An overlay interface that is up, with what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlay {
    pub ifindex: u32,
    pub hidden_ifindex: u32,
    pub mac: [u8; 6],
    /// It was there already, from an earlier run. Undoing a failed start must then leave it.
    pub adopted: bool,
}

/// An overlay interface of ours that was found on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedOverlay {
    pub name: String,
    pub vni: u32,
    pub ifindex: u32,
    /// `None` when somebody moved the hidden port to another namespace.
    pub hidden_ifindex: Option<u32>,
}

/// Of include/uapi/linux/ip.h and if_link.h.
const IPV4_DEVCONF_PROXY_ARP: u16 = 3;
const IPV4_DEVCONF_ACCEPT_LOCAL: u16 = 23;
const IFLA_INET_CONF: u16 = 1;

const OVERLAY_ALIAS: &str = "vxlan overlay VNI ";
const HIDDEN_ALIAS: &str = "vxlan hidden port VNI ";
/// A pair is made with these groups and its VNI in their lower 24 bits, as no alias can be given in the
/// same step: whoever is killed before the next one leaves a pair that can be told from anybody else's.
const OVERLAY_GROUP: u32 = 0x7600_0000;
const HIDDEN_GROUP: u32 = 0x7700_0000;
/// RFC 8200 section 5: no link with a smaller MTU carries IPv6, and the kernel switches it off.
pub const MIN_IPV6_MTU: u32 = 1280;

fn overlay_alias(vni: u32) -> String {
    format!("{OVERLAY_ALIAS}{vni}")
}

fn hidden_alias(vni: u32) -> String {
    format!("{HIDDEN_ALIAS}{vni}")
}

/// Of a pair of ours: the VNI that one of its ends bears, in its alias or, until it has one, in its group.
fn marked(link: &Link, alias: &str, group: u32) -> Option<u32> {
    if !link.is_veth() {
        return None;
    }
    match &link.alias {
        Some(given) => given.strip_prefix(alias)?.parse().ok(),
        None => (link.group & 0xff00_0000 == group).then_some(link.group & 0x00ff_ffff),
    }
}

fn vni_of(overlay: &Link) -> Option<u32> {
    marked(overlay, OVERLAY_ALIAS, OVERLAY_GROUP)
}

fn vni_of_hidden(port: &Link) -> Option<u32> {
    marked(port, HIDDEN_ALIAS, HIDDEN_GROUP)
}

impl Host {
    /// Creates the pair, or adopts it if it is there and ours: then MTU and addresses are brought to what
    /// is asked; MAC and both interface indexes stay.
    ///
    /// Adoption may drop routes through the interface (the kernel does when its last address or its
    /// IPv6 mode changes), so call [`Host::add_route`] afterwards. A creation that fails leaves
    /// nothing behind; an adoption that fails leaves the device, as it is in use.
    pub async fn create_overlay(&self, spec: &OverlaySpec) -> Result<Overlay, HostError> {
        validate(spec)?;
        let overlay = self.link_by_name(&spec.name).await?;
        let hidden = self.link_by_name(&spec.hidden_name).await?;
        let (overlay, hidden) = match (overlay, hidden) {
            (None, None) => return self.make(spec).await,
            (Some(overlay), Some(hidden)) => (overlay, hidden),
            (Some(lone), None) | (None, Some(lone)) => return Err(foreign(&lone)),
        };
        if vni_of(&overlay) != Some(spec.vni) {
            return Err(foreign(&overlay));
        }
        // The overlay's alias speaks for both ends, as they were made together.
        if overlay.peer != Some(hidden.ifindex) {
            return Err(foreign(&hidden));
        }
        self.adopt(spec, &overlay, &hidden).await?;
        self.read_back(spec, true).await
    }

    /// Is this name free for one end of an overlay pair, or does it have one of ours? With `known`
    /// one of any network will do, as the caller made it and may remove it. Changes nothing.
    ///
    /// # Errors
    /// [`HostError::ForeignInterface`]
    pub async fn may_use_name(&self, name: &str, vni: u32, known: bool) -> Result<(), HostError> {
        let Some(link) = self.link_by_name(name).await? else { return Ok(()) };
        let found = vni_of(&link).or(vni_of_hidden(&link));
        let ours = found.is_some_and(|found| known || found == vni);
        if ours { Ok(()) } else { Err(foreign(&link)) }
    }

    /// Sets the MTU of both ends. An end that is to send less does so before the other one takes
    /// less.
    pub async fn set_overlay_mtu(&self, name: &str, mtu: u32) -> Result<(), HostError> {
        let overlay = self.existing_link(name).await?;
        if vni_of(&overlay).is_none() {
            return Err(foreign(&overlay));
        }
        let links = self.links().await?;
        let hidden = links.into_iter().find(|link| Some(link.ifindex) == overlay.peer);
        let mut ends: Vec<Link> = hidden.into_iter().collect();
        ends.insert(if mtu < overlay.mtu { 0 } else { ends.len() }, overlay);
        for link in &ends {
            let change = LinkUnspec::new_with_index(link.ifindex).mtu(mtu);
            self.change(link, change, &format!("set MTU {mtu} on")).await?;
        }
        Ok(())
    }

    /// Removes the pair of this name if it is ours. `false`: there is no such interface.
    pub async fn delete_overlay(&self, name: &str) -> Result<bool, HostError> {
        let Some(link) = self.link_by_name(name).await? else { return Ok(false) };
        if vni_of(&link).is_none() {
            return Err(foreign(&link));
        }
        self.delete_link(&link).await?;
        Ok(true)
    }

    /// All overlay interfaces in this namespace that are ours, whatever their names.
    pub async fn list_overlays(&self) -> Result<Vec<OwnedOverlay>, HostError> {
        let owned = |link: Link| {
            Some(OwnedOverlay {
                vni: vni_of(&link)?,
                ifindex: link.ifindex,
                hidden_ifindex: link.peer,
                name: link.name,
            })
        };
        Ok(self.links().await?.into_iter().filter_map(owned).collect())
    }

    async fn make(&self, spec: &OverlaySpec) -> Result<Overlay, HostError> {
        let hidden = LinkUnspec::new_with_name(&spec.hidden_name)
            .mtu(spec.mtu)
            .append_extra_attribute(LinkAttribute::Group(HIDDEN_GROUP | spec.vni))
            .build();
        // udev replaces an address that the kernel has drawn, a moment after it was read here, and
        // leaves one that was asked for (systemd.link(5), MACAddressPolicy=).
        let overlay = LinkVeth::new(&spec.name, &spec.hidden_name)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(hidden)))
            .mtu(spec.mtu)
            .address(spec.mac.to_vec())
            .append_extra_attribute(LinkAttribute::Group(OVERLAY_GROUP | spec.vni));
        let doing = || {
            format!(
                "create overlay interface {} and its hidden port {} with MTU {}",
                spec.name, spec.hidden_name, spec.mtu
            )
        };
        self.handle.link().add(overlay.build()).execute().await.during(doing)?;

        let error = match self.finish(spec).await {
            Ok(overlay) => return Ok(overlay),
            Err(error) => error,
        };
        let removal = async {
            let link = self.existing_link(&spec.name).await?;
            self.delete_link(&link).await
        };
        match removal.await {
            Ok(()) => Err(error),
            Err(cleanup) => Err(HostError::HalfMade {
                name: spec.name.clone(),
                source: Box::new(error),
                cleanup: Box::new(cleanup),
            }),
        }
    }

    async fn finish(&self, spec: &OverlaySpec) -> Result<Overlay, HostError> {
        let overlay = self.existing_link(&spec.name).await?;
        let hidden = self.existing_link(&spec.hidden_name).await?;
        self.configure(spec, &overlay, &hidden).await?;
        self.read_back(spec, false).await
    }

    async fn adopt(
        &self,
        spec: &OverlaySpec,
        overlay: &Link,
        hidden: &Link,
    ) -> Result<(), HostError> {
        for link in [overlay, hidden] {
            if link.mtu != spec.mtu {
                let change = LinkUnspec::new_with_index(link.ifindex).mtu(spec.mtu);
                self.change(link, change, &format!("set MTU {} on", spec.mtu)).await?;
            }
        }
        if spec.ipv6 && !overlay.generates_ipv6 {
            // The kernel makes a link-local address only when an interface comes up.
            let down = LinkUnspec::new_with_index(overlay.ifindex).down();
            self.change(overlay, down, "take down").await?;
        }
        self.configure(spec, overlay, hidden).await
    }

    /// The part that creation and adoption share.
    async fn configure(
        &self,
        spec: &OverlaySpec,
        overlay: &Link,
        hidden: &Link,
    ) -> Result<(), HostError> {
        self.mark(overlay, overlay_alias(spec.vni)).await?;
        self.mark(hidden, hidden_alias(spec.vni)).await?;
        if !spec.ipv6 {
            self.set_ipv6_generation(overlay, In6AddrGenMode::None).await?;
        } else if !overlay.generates_ipv6 {
            self.set_ipv6_generation(overlay, In6AddrGenMode::Eui64).await?;
        }
        self.set_ipv6_generation(hidden, In6AddrGenMode::None).await?;
        self.set_ipv4(spec, overlay).await?;
        for link in [hidden, overlay] {
            self.change(link, LinkUnspec::new_with_index(link.ifindex).up(), "bring up").await?;
        }
        self.set_addresses(overlay.ifindex, &overlay.name, &spec.addresses, spec.ipv6).await
    }

    /// For the reader of `ip link` too; the group is whoever's from then on.
    async fn mark(&self, link: &Link, alias: String) -> Result<(), HostError> {
        if link.alias.is_some() {
            return Ok(());
        }
        let change = LinkUnspec::new_with_index(link.ifindex)
            .alias(alias)
            .append_extra_attribute(LinkAttribute::Group(0));
        self.change(link, change, "mark as ours").await
    }

    /// The ICMP messages of `encap` come from the interface's own address and enter by it: without
    /// `accept_local` the kernel takes them for a forgery. Peers' frames with our address, and ARP
    /// requests for what is not behind this host, are refused before.
    async fn set_ipv4(&self, spec: &OverlaySpec, overlay: &Link) -> Result<(), HostError> {
        // The crate's own type leaves out what is zero, which here means: switch it off.
        let settings =
            [(IPV4_DEVCONF_PROXY_ARP, u32::from(spec.proxy_arp)), (IPV4_DEVCONF_ACCEPT_LOCAL, 1)];
        let values = settings.iter().flat_map(|(setting, value)| {
            let [a, b] = 8_u16.to_ne_bytes();
            let [c, d] = setting.to_ne_bytes();
            [a, b, c, d].into_iter().chain(value.to_ne_bytes())
        });
        let nested = DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, values.collect());
        let family = AfSpecUnspec::Inet(vec![AfSpecInet::Other(nested)]);
        let change = LinkUnspec::new_with_index(overlay.ifindex)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![family]));
        self.change(overlay, change, "set accept_local and proxy_arp on").await
    }

    async fn set_ipv6_generation(
        &self,
        link: &Link,
        mode: In6AddrGenMode,
    ) -> Result<(), HostError> {
        let family = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(mode)]);
        let change = LinkUnspec::new_with_index(link.ifindex)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![family]));
        match self.change(link, change, "set the IPv6 address generation of").await {
            // No IPv6 in this kernel or at this MTU: nothing that could be generated.
            Err(error) if error.errno() == Some(libc::EAFNOSUPPORT) => Ok(()),
            other => other,
        }
    }

    async fn read_back(&self, spec: &OverlaySpec, adopted: bool) -> Result<Overlay, HostError> {
        let overlay = self.existing_link(&spec.name).await?;
        let hidden_ifindex = self.existing_link(&spec.hidden_name).await?.ifindex;
        match overlay.mac {
            Some(mac) => Ok(Overlay { ifindex: overlay.ifindex, hidden_ifindex, mac, adopted }),
            None => Err(foreign(&overlay)),
        }
    }

    async fn change(
        &self,
        link: &Link,
        change: LinkMessageBuilder<LinkUnspec>,
        doing: &str,
    ) -> Result<(), HostError> {
        let request = self.handle.link().change(change.build());
        request.execute().await.during(|| format!("{doing} {}", link.name))
    }

    async fn delete_link(&self, link: &Link) -> Result<(), HostError> {
        let request = self.handle.link().del(link.ifindex);
        request.execute().await.during(|| format!("delete interface {}", link.name))
    }
}

fn foreign(link: &Link) -> HostError {
    HostError::ForeignInterface { name: link.name.clone(), found: link.describe() }
}

/// Refuses what the kernel would refuse only half-way, or with a number instead of a reason.
fn validate(spec: &OverlaySpec) -> Result<(), HostError> {
    let refuse = |name: &str, problem: String| {
        Err(HostError::InvalidSpec { name: name.to_owned(), problem })
    };
    for name in [&spec.name, &spec.hidden_name] {
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
        let reserved = matches!(name.as_str(), "" | "." | "..");
        if reserved || name.len() > MAX_NAME || !name.chars().all(allowed) {
            let problem = format!(
                "not a possible interface name; write 1 to {MAX_NAME} bytes without space, / or :"
            );
            return refuse(name, problem);
        }
    }
    if spec.name == spec.hidden_name {
        let problem = "the hidden port has the same name; give it another".to_owned();
        return refuse(&spec.name, problem);
    }
    let v6 = spec.addresses.iter().find(|net| net.addr().is_ipv6());
    if let Some(address) = v6.filter(|_| !spec.ipv6) {
        let problem = format!("address {address} is IPv6, but this interface carries IPv4 only");
        return refuse(&spec.name, problem);
    }
    if spec.ipv6 && spec.mtu < MIN_IPV6_MTU {
        let problem = format!(
            "MTU {} is too small for IPv6; use at least {MIN_IPV6_MTU}, or no IPv6 addresses",
            spec.mtu
        );
        return refuse(&spec.name, problem);
    }
    let mut seen = HashSet::new();
    match spec.addresses.iter().find(|net| !seen.insert(net.addr())) {
        Some(twice) => refuse(&spec.name, format!("address {twice} is given twice; give it once")),
        None => Ok(()),
    }
}
