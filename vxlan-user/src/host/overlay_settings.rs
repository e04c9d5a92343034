//! Marks and per-family settings of an overlay pair's ends.

use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute,
};
use rtnetlink::{
    LinkUnspec,
    packet_core::{DefaultNla, NLA_F_NESTED},
};

use super::{connection::Host, error::HostError, link::Link, overlay_spec::OverlaySpec};

/// Of include/uapi/linux/ip.h and if_link.h.
const IPV4_DEVCONF_PROXY_ARP: u16 = 3;
const IPV4_DEVCONF_ACCEPT_LOCAL: u16 = 23;
const IFLA_INET_CONF: u16 = 1;

impl Host {
    /// For the reader of `ip link` too; the group is whoever's from then on.
    pub(super) async fn mark(&self, link: &Link, alias: String) -> Result<(), HostError> {
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
    pub(super) async fn set_ipv4(
        &self,
        spec: &OverlaySpec,
        overlay: &Link,
    ) -> Result<(), HostError> {
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

    pub(super) async fn set_ipv6_generation(
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
}
