//! Overlay devices: a veth pair per network, of which the host uses one end and the data plane the
//! other, the hidden port. Owns their creation, and their adoption after a restart. Routes are
//! `route_change`'s, programs are not this directory's.

use netlink_packet_route::link::{In6AddrGenMode, InfoData, InfoVeth, LinkAttribute};
use rtnetlink::{LinkUnspec, LinkVeth};

use super::{
    connection::Host,
    error::{During as _, HostError},
    link::Link,
    overlay_owner::{HIDDEN_GROUP, OVERLAY_GROUP, foreign, hidden_alias, overlay_alias, vni_of},
    overlay_spec::{OverlaySpec, validate},
};

/// An overlay interface that is up, as the spec wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlay {
    pub ifindex: u32,
    pub hidden_ifindex: u32,
    pub mac: [u8; 6],
    /// It was there already, from an earlier run. Undoing a failed start must then leave it.
    pub adopted: bool,
}

impl Host {
    /// Creates the pair, or adopts it if it is there and ours: then MTU and addresses are brought
    /// to the spec's; MAC and both interface indexes stay.
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

    async fn make(&self, spec: &OverlaySpec) -> Result<Overlay, HostError> {
        let hidden = LinkUnspec::new_with_name(&spec.hidden_name)
            .mtu(spec.mtu)
            .append_extra_attribute(LinkAttribute::Group(HIDDEN_GROUP | spec.vni))
            .build();
        // udev replaces an address that the kernel has drawn, a moment after it was read here, and
        // leaves one that was requested (systemd.link(5), MACAddressPolicy=).
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

    async fn read_back(&self, spec: &OverlaySpec, adopted: bool) -> Result<Overlay, HostError> {
        let overlay = self.existing_link(&spec.name).await?;
        let hidden_ifindex = self.existing_link(&spec.hidden_name).await?.ifindex;
        match overlay.mac {
            Some(mac) => Ok(Overlay { ifindex: overlay.ifindex, hidden_ifindex, mac, adopted }),
            None => Err(foreign(&overlay)),
        }
    }
}
