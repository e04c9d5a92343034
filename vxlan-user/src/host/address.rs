//! IP addresses of an interface: reading them, and bringing an overlay's to those that are wanted.
//!
//! Owns the translation of address messages. Does not choose which interface may be changed.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
};

use super::{
    connection::Host,
    error::{During as _, HostError},
};

/// One address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address with its prefix length; host bits are kept.
    pub address: IpNet,
    /// IPv4: another address of the same prefix comes first. IPv6: a temporary address.
    pub secondary: bool,
    /// Must no longer be chosen as a source address.
    pub deprecated: bool,
    /// IPv6: the kernel still makes sure that nobody else uses it.
    pub tentative: bool,
    /// IPv6: somebody else on the link uses it, so the kernel does not.
    pub duplicate: bool,
}

impl InterfaceAddress {
    pub(super) fn from_message(message: &AddressMessage) -> Option<Self> {
        let mut local = None;
        let mut plain = None;
        // The header holds the low eight bits; the attribute, where present, all of them.
        let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
        for attribute in &message.attributes {
            if let AddressAttribute::Local(address) = attribute {
                local = Some(*address);
            } else if let AddressAttribute::Address(address) = attribute {
                plain = Some(*address);
            } else if let AddressAttribute::Flags(all) = attribute {
                flags = *all;
            }
        }
        // On a point-to-point interface IFA_ADDRESS is the other end's address.
        let address: IpAddr = local.or(plain)?;
        Some(Self {
            address: IpNet::new(address, message.header.prefix_len).ok()?,
            secondary: flags.contains(AddressFlags::Secondary),
            deprecated: flags.contains(AddressFlags::Deprecated),
            tentative: flags.contains(AddressFlags::Tentative),
            duplicate: flags.contains(AddressFlags::Dadfailed),
        })
    }
}

impl Host {
    /// The addresses of an interface, in the kernel's order.
    pub async fn addresses(&self, ifindex: u32) -> Result<Vec<InterfaceAddress>, HostError> {
        let messages = self.address_messages(ifindex).await?;
        Ok(messages.iter().filter_map(InterfaceAddress::from_message).collect())
    }

    /// Brings the addresses of an interface of ours to `wanted`, in that order. Those that are
    /// there already and in order stay untouched, and so do IPv6 link-local ones if `ipv6`.
    pub(super) async fn set_addresses(
        &self,
        ifindex: u32,
        name: &str,
        wanted: &[IpNet],
        ipv6: bool,
    ) -> Result<(), HostError> {
        let managed = |net: &IpNet| !(ipv6 && is_link_local(net));
        for family_is_v4 in [true, false] {
            let of_family = |net: &&IpNet| net.addr().is_ipv4() == family_is_v4;
            let wanted: Vec<IpNet> = wanted.iter().filter(of_family).copied().collect();
            let present = self.managed_addresses(ifindex, &managed, family_is_v4).await?;
            let kept: Vec<IpNet> =
                present.iter().filter(|net| wanted.contains(net)).copied().collect();
            // The first IPv4 address is the one that the kernel sends from, so order counts; it
            // does not keep IPv6 ones in the order in which they were given.
            let in_order = !family_is_v4 || wanted.starts_with(&kept);
            let stale = |net: &IpNet| !in_order || !wanted.contains(net);
            self.delete_addresses(ifindex, name, |net| {
                net.addr().is_ipv4() == family_is_v4 && managed(net) && stale(net)
            })
            .await?;
            // Removing a primary address removes its secondaries with it: look again.
            let left = self.managed_addresses(ifindex, &managed, family_is_v4).await?;
            for net in wanted.iter().filter(|net| !left.contains(net)) {
                self.add_address(ifindex, name, *net).await?;
            }
        }
        Ok(())
    }

    async fn managed_addresses(
        &self,
        ifindex: u32,
        managed: impl Fn(&IpNet) -> bool,
        v4: bool,
    ) -> Result<Vec<IpNet>, HostError> {
        let present = self.addresses(ifindex).await?;
        Ok(present
            .into_iter()
            .map(|present| present.address)
            .filter(|net| net.addr().is_ipv4() == v4 && managed(net))
            .collect())
    }

    async fn delete_addresses(
        &self,
        ifindex: u32,
        name: &str,
        stale: impl Fn(&IpNet) -> bool,
    ) -> Result<(), HostError> {
        for message in self.address_messages(ifindex).await? {
            let Some(InterfaceAddress { address, .. }) = InterfaceAddress::from_message(&message)
            else {
                continue;
            };
            if !stale(&address) {
                continue;
            }
            let deleted = self.handle.address().del(message).execute().await;
            match deleted.during(|| format!("remove address {address} from {name}")) {
                // Went away with its primary address.
                Err(error) if error.errno() == Some(libc::EADDRNOTAVAIL) => {}
                other => other?,
            }
        }
        Ok(())
    }

    async fn add_address(&self, ifindex: u32, name: &str, net: IpNet) -> Result<(), HostError> {
        let mut request = self.handle.address().add(ifindex, net.addr(), net.prefix_len());
        let message = request.message_mut();
        match net {
            IpNet::V4(net) => {
                // Like `ip address add`: no broadcast address unless somebody demands one.
                message
                    .attributes
                    .retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
                if net.addr().is_loopback() {
                    message.header.scope = AddressScope::Host;
                }
            }
            // Duplicate detection would hold the address back for a second, and could only hear
            // members to whom a solicitation for our own address is never sent.
            IpNet::V6(_) => message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad)),
        }
        request.execute().await.during(|| format!("add address {net} to {name}"))
    }

    /// Whether any interface here has this address.
    pub(super) async fn is_local(&self, address: IpAddr) -> Result<bool, HostError> {
        let messages = self.all_address_messages().await?;
        let mut present = messages.iter().filter_map(InterfaceAddress::from_message);
        Ok(present.any(|present| present.address.addr() == address))
    }

    async fn address_messages(&self, ifindex: u32) -> Result<Vec<AddressMessage>, HostError> {
        let mut messages = self.all_address_messages().await?;
        messages.retain(|message| message.header.index == ifindex);
        Ok(messages)
    }

    async fn all_address_messages(&self) -> Result<Vec<AddressMessage>, HostError> {
        let dump = self.handle.address().get().execute().try_collect();
        let mut messages: Vec<AddressMessage> =
            dump.await.during(|| "list the addresses".to_owned())?;
        let is_ip = |family| matches!(family, AddressFamily::Inet | AddressFamily::Inet6);
        messages.retain(|message| is_ip(message.header.family));
        Ok(messages)
    }
}

fn is_link_local(net: &IpNet) -> bool {
    if let IpNet::V6(net) = net { net.addr().is_unicast_link_local() } else { false }
}
