//! The kernel's neighbour cache (ARP and neighbour discovery): reading it, and making the kernel
//! resolve an address. Never writes an entry of its own: what is true on a link the kernel knows.

use std::{net::IpAddr, ops::ControlFlow};

use futures_util::{StreamExt as _, TryStreamExt as _};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
        NeighbourState as KernelState,
    },
};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};

use super::{
    connection::Host,
    error::{During as _, HostError},
    pipeline,
};

/// How far the kernel is with an address. The names are those of `ip neighbour`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NeighbourState {
    /// A request was sent; no answer yet.
    Incomplete,
    Reachable,
    /// Answered some time ago: usable, and checked at the next use.
    Stale,
    Delay,
    Probe,
    /// Nobody answered.
    Failed,
    /// Needs no resolution.
    Noarp,
    Permanent,
    /// Known; no request was sent so far.
    None,
}

impl From<KernelState> for NeighbourState {
    fn from(state: KernelState) -> Self {
        match state {
            KernelState::Incomplete => Self::Incomplete,
            KernelState::Reachable => Self::Reachable,
            KernelState::Stale => Self::Stale,
            KernelState::Delay => Self::Delay,
            KernelState::Probe => Self::Probe,
            KernelState::Failed => Self::Failed,
            KernelState::Noarp => Self::Noarp,
            KernelState::Permanent => Self::Permanent,
            KernelState::None | KernelState::Other(_) | _ => Self::None,
        }
    }
}

/// One entry of the neighbour cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Neighbour {
    pub ifindex: u32,
    pub address: IpAddr,
    /// Kept from an earlier answer also while `state` is `Failed`: look at both.
    pub mac: Option<[u8; 6]>,
    pub state: NeighbourState,
}

impl Neighbour {
    /// The MAC address, if the state says that frames may be sent to it.
    #[must_use]
    pub fn usable_mac(&self) -> Option<[u8; 6]> {
        match self.state {
            NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::None => None,
            NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Noarp
            | NeighbourState::Permanent => self.mac,
        }
    }

    /// `None` for what is not an IP neighbour, such as a bridge's forwarding entry.
    pub(super) fn from_message(message: &NeighbourMessage) -> Option<Self> {
        let mut address = None;
        let mut mac = None;
        for attribute in &message.attributes {
            if let NeighbourAttribute::Destination(NeighbourAddress::Inet(destination)) = attribute
            {
                address = Some(IpAddr::from(*destination));
            } else if let NeighbourAttribute::Destination(NeighbourAddress::Inet6(destination)) =
                attribute
            {
                address = Some(IpAddr::from(*destination));
            } else if let NeighbourAttribute::LinkLayerAddress(bytes) = attribute {
                mac = bytes.as_slice().try_into().ok();
            }
        }
        Some(Self {
            ifindex: message.header.ifindex,
            address: address?,
            mac,
            state: message.header.state.into(),
        })
    }
}

impl Host {
    /// All IP neighbours on an interface.
    pub async fn neighbours(&self, ifindex: u32) -> Result<Vec<Neighbour>, HostError> {
        let messages: Vec<NeighbourMessage> = self
            .handle
            .neighbours()
            .get()
            .execute()
            .try_collect()
            .await
            .during(|| format!("list the neighbours on ifindex {ifindex}"))?;
        let found = messages.iter().filter_map(Neighbour::from_message);
        Ok(found.filter(|neighbour| neighbour.ifindex == ifindex).collect())
    }

    /// The cache's entry for one address, if there is one.
    pub async fn neighbour(
        &self,
        ifindex: u32,
        address: IpAddr,
    ) -> Result<Option<Neighbour>, HostError> {
        let mut question = NeighbourMessage::default();
        question.header.ifindex = ifindex;
        question.header.family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        question.attributes.push(NeighbourAttribute::Destination(address.into()));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbour(question));
        request.header.flags = NLM_F_REQUEST;

        let doing = || format!("look up neighbour {address} on ifindex {ifindex}");
        let mut answers = self.handle.clone().request(request).during(doing)?;
        let Some(answer) = answers.next().await else {
            return Err(rtnetlink::Error::RequestFailed).during(doing);
        };
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(entry)) =
            &answer.payload
        {
            return Ok(Neighbour::from_message(entry));
        }
        if let NetlinkPayload::Error(error) = answer.payload {
            return match error.raw_code().abs() {
                libc::ENOENT => Ok(None),
                _ => Err(rtnetlink::Error::NetlinkError(error)).during(doing),
            };
        }
        Err(rtnetlink::Error::UnexpectedMessage(answer)).during(doing)
    }

    /// [`Host::neighbour`] of many, in the order of the addresses.
    pub async fn neighbours_at(
        &self,
        ifindex: u32,
        addresses: &[IpAddr],
    ) -> Vec<Result<Option<Neighbour>, HostError>> {
        pipeline::all(addresses.iter().map(|address| self.neighbour(ifindex, *address))).await
    }

    /// Makes the kernel resolve addresses now, as if it had packets to send there: our packets
    /// leave below the stack, so nothing else would. Returns at once; the result shows in
    /// [`Host::neighbour`] and as a [`super::HostEvent`]. A usable entry is confirmed again.
    ///
    /// # Errors
    /// The first that the kernel refuses; the others are resolved all the same.
    pub async fn resolve_neighbours(
        &self,
        ifindex: u32,
        addresses: &[IpAddr],
    ) -> Result<(), HostError> {
        let requests: Vec<_> = addresses
            .iter()
            .map(|address| {
                let request = self
                    .handle
                    .neighbours()
                    .add(ifindex, *address)
                    .state(KernelState::None)
                    .flags(NeighbourFlags::Use)
                    // Without this an entry that exists already is an error.
                    .replace();
                async move { (*address, request.execute().await) }
            })
            .collect();
        let mut refused = None;
        pipeline::in_flight(requests, |(address, done)| {
            if let Err(error) = done {
                refused.get_or_insert((address, error));
            }
            ControlFlow::Continue(())
        })
        .await;
        let Some((address, error)) = refused else { return Ok(()) };
        let name = self.name_of(ifindex).await;
        Err(error).during(|| format!("start resolving {address} on {name}"))
    }

    /// [`Host::resolve_neighbours`] of one.
    pub async fn resolve_neighbour(&self, ifindex: u32, address: IpAddr) -> Result<(), HostError> {
        self.resolve_neighbours(ifindex, &[address]).await
    }
}
