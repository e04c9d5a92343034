//! The requests that change one end of an overlay pair.

use std::fs;

use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute,
};
use rtnetlink::{
    LinkMessageBuilder, LinkUnspec,
    packet_core::{DefaultNla, NLA_F_NESTED},
};

use super::{
    connection::Host,
    error::{During as _, HostError},
    overlay_step::LinkChange,
};

/// Of include/uapi/linux/ip.h and if_link.h.
const IPV4_DEVCONF_PROXY_ARP: u16 = 3;
const IPV4_DEVCONF_ACCEPT_LOCAL: u16 = 23;
const IFLA_INET_CONF: u16 = 1;

impl Host {
    /// Makes one change of one interface. `name` is for messages and for settings that only files
    /// have.
    pub(super) async fn change_link(
        &self,
        ifindex: u32,
        name: &str,
        change: &LinkChange,
    ) -> Result<(), HostError> {
        let link = LinkUnspec::new_with_index(ifindex);
        match change {
            LinkChange::Name(new) => self.rename(ifindex, name, new).await,
            LinkChange::Mac(mac) => {
                self.set(link.address(mac.to_vec()), || format!("set the MAC address of {name}"))
                    .await
            }
            LinkChange::Mtu(mtu) => {
                self.set(link.mtu(*mtu), || format!("set MTU {mtu} on {name}")).await
            }
            LinkChange::Group(group) => {
                let link = link.append_extra_attribute(LinkAttribute::Group(*group));
                self.set(link, || format!("mark {name} as ours")).await
            }
            LinkChange::Alias(alias) => {
                self.set(link.alias(alias.clone()), || format!("set the alias of {name}")).await
            }
            LinkChange::Ipv4 { proxy_arp } => {
                let doing = || format!("set accept_local and proxy_arp on {name}");
                self.set(with_family(link, ipv4(*proxy_arp)), doing).await
            }
            LinkChange::GenerateIpv6(generate) => {
                let family = generate_ipv6(*generate);
                let doing = || format!("set the IPv6 address generation of {name}");
                match self.set(with_family(link, family), doing).await {
                    // No IPv6 in this kernel or at this MTU: nothing that could be generated.
                    Err(error) if error.errno() == Some(libc::EAFNOSUPPORT) => Ok(()),
                    other => other,
                }
            }
            LinkChange::EnableIpv6 => {
                // No request of netlink has this setting.
                let file = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
                fs::write(file, "0").map_err(|source| HostError::Kernel {
                    doing: format!("switch IPv6 on again on {name} (disable_ipv6 is 1)"),
                    source,
                })
            }
            LinkChange::BlockTransmit => {
                let added = self.add_blackhole(ifindex.cast_signed()).await;
                added.during(|| format!("drop what is sent out of {name}"))
            }
            LinkChange::AddClsact => {
                let added = self.add_clsact(ifindex.cast_signed()).await;
                match added.during(|| format!("add a clsact qdisc to {name}")) {
                    Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
                    other => other,
                }
            }
            LinkChange::ReplyAtOnce => self.reply_at_once(ifindex, name).await,
            LinkChange::Up => self.set(link.up(), || format!("bring up {name}")).await,
            LinkChange::Down => self.set(link.down(), || format!("take down {name}")).await,
        }
    }

    /// Changes settings of one interface by one request. Returns whether the kernel has accepted
    /// all; it may have accepted a part.
    pub(super) async fn change_link_settings(&self, ifindex: u32, all: &[&LinkChange]) -> bool {
        let mut link = LinkUnspec::new_with_index(ifindex);
        let mut families = Vec::new();
        for change in all {
            match change {
                LinkChange::Group(group) => {
                    link = link.append_extra_attribute(LinkAttribute::Group(*group));
                }
                LinkChange::Alias(alias) => link = link.alias(alias.clone()),
                LinkChange::Ipv4 { proxy_arp } => families.push(ipv4(*proxy_arp)),
                LinkChange::GenerateIpv6(generate) => families.push(generate_ipv6(*generate)),
                LinkChange::Name(_)
                | LinkChange::Mac(_)
                | LinkChange::Mtu(_)
                | LinkChange::EnableIpv6
                | LinkChange::ReplyAtOnce
                | LinkChange::BlockTransmit
                | LinkChange::AddClsact
                | LinkChange::Up
                | LinkChange::Down => return false,
            }
        }
        if !families.is_empty() {
            link = link.append_extra_attribute(LinkAttribute::AfSpecUnspec(families));
        }
        self.handle.link().change(link.build()).execute().await.is_ok()
    }

    async fn rename(&self, ifindex: u32, old: &str, new: &str) -> Result<(), HostError> {
        let link = || LinkUnspec::new_with_index(ifindex);
        let doing = || format!("rename {old} to {new}");
        match self.set(link().name(new.to_owned()), doing).await {
            // Before Linux 6.2 an interface that is up keeps its name.
            Err(error) if error.errno() == Some(libc::EBUSY) => {
                self.set(link().down(), || format!("take down {old}")).await?;
                self.set(link().name(new.to_owned()), doing).await
            }
            other => other,
        }
    }

    async fn set(
        &self,
        change: LinkMessageBuilder<LinkUnspec>,
        doing: impl FnOnce() -> String,
    ) -> Result<(), HostError> {
        self.handle.link().change(change.build()).execute().await.during(doing)
    }

    pub(super) async fn delete_link(&self, ifindex: u32, name: &str) -> Result<(), HostError> {
        let request = self.handle.link().del(ifindex);
        request.execute().await.during(|| format!("delete interface {name}"))
    }
}

fn with_family(
    link: LinkMessageBuilder<LinkUnspec>,
    family: AfSpecUnspec,
) -> LinkMessageBuilder<LinkUnspec> {
    link.append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![family]))
}

fn generate_ipv6(generate: bool) -> AfSpecUnspec {
    let mode = if generate { In6AddrGenMode::Eui64 } else { In6AddrGenMode::None };
    AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(mode)])
}

/// The ICMP messages of `encap` come from the interface's own address and enter by it: without
/// `accept_local` the kernel takes them for a forgery. Peers' frames with our address, and ARP
/// requests for what is not behind this host, are refused before.
fn ipv4(proxy_arp: Option<bool>) -> AfSpecUnspec {
    let accept_local = (IPV4_DEVCONF_ACCEPT_LOCAL, 1);
    let proxy_arp = proxy_arp.map(|on| (IPV4_DEVCONF_PROXY_ARP, u32::from(on)));
    // The crate's own type leaves out what is zero, which here means: switch it off.
    let values = [accept_local].into_iter().chain(proxy_arp).flat_map(|(setting, value)| {
        let [a, b] = 8_u16.to_ne_bytes();
        let [c, d] = setting.to_ne_bytes();
        [a, b, c, d].into_iter().chain(value.to_ne_bytes())
    });
    let nested = DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, values.collect());
    AfSpecUnspec::Inet(vec![AfSpecInet::Other(nested)])
}
