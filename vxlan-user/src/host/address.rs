//! IP addresses of an interface: reading, adding and removing them.
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
    error::{During as _, HostError, ipv6_off},
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

    pub(super) async fn remove_address(
        &self,
        ifindex: u32,
        name: &str,
        net: IpNet,
    ) -> Result<(), HostError> {
        let mut message = AddressMessage::default();
        message.header.index = ifindex;
        message.header.prefix_len = net.prefix_len();
        message.header.family = match net {
            IpNet::V4(_) => AddressFamily::Inet,
            IpNet::V6(_) => AddressFamily::Inet6,
        };
        message.attributes.push(AddressAttribute::Address(net.addr()));
        if net.addr().is_ipv4() {
            message.attributes.push(AddressAttribute::Local(net.addr()));
        }
        let deleted = self.handle.address().del(message).execute().await;
        match deleted.during(|| format!("remove address {net} from {name}")) {
            // Went away with its primary address.
            Err(error) if error.errno() == Some(libc::EADDRNOTAVAIL) => Ok(()),
            other => other,
        }
    }

    pub(super) async fn add_address(
        &self,
        ifindex: u32,
        name: &str,
        net: IpNet,
    ) -> Result<(), HostError> {
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
        let added = request.execute().await.during(|| format!("add address {net} to {name}"));
        added.map_err(|error| ipv6_off(error, net, name))
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

    pub(super) async fn all_address_messages(&self) -> Result<Vec<AddressMessage>, HostError> {
        let dump = self.handle.address().get().execute().try_collect();
        let mut messages: Vec<AddressMessage> =
            dump.await.during(|| "list the addresses".to_owned())?;
        let is_ip = |family| matches!(family, AddressFamily::Inet | AddressFamily::Inet6);
        messages.retain(|message| is_ip(message.header.family));
        Ok(messages)
    }
}

pub(super) fn is_link_local(net: &IpNet) -> bool {
    if let IpNet::V6(net) = net { net.addr().is_unicast_link_local() } else { false }
}
