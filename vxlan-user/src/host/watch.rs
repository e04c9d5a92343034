//! News of links, addresses, routes and neighbours, whoever changed them.
//!
//! Owns the multicast connection and the queue between it and the reader. A reader that falls
//! behind loses events but never the knowledge that it did: it gets [`HostEvent::Overrun`] and must
//! read everything anew.

use std::{collections::HashSet, net::IpAddr};

use futures_util::StreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage, address::AddressMessage, link::LinkMessage,
};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    sys::SocketAddr,
};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    address::InterfaceAddress, connection::Host, error::HostError, link::Link,
    neighbour::Neighbour, route::Route,
};

/// A change on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostEvent {
    /// The interface is new or something of it changed; this is what it is now.
    Link {
        ifindex: u32,
        name: String,
        mac: Option<[u8; 6]>,
        mtu: u32,
        up: bool,
        carrier: bool,
    },
    LinkRemoved {
        ifindex: u32,
        name: String,
    },
    Address {
        ifindex: u32,
        address: IpNet,
    },
    AddressRemoved {
        ifindex: u32,
        address: IpNet,
    },
    Route(Route),
    RouteRemoved(Route),
    Neighbour(Neighbour),
    NeighbourRemoved {
        ifindex: u32,
        address: IpAddr,
    },
    /// A queueing discipline or a filter of an interface has come or gone.
    TrafficControl {
        ifindex: u32,
    },
    /// Events were lost: read the state of the host anew.
    Overrun,
}

/// What an event is about. A later event on the same subject makes an earlier one worthless.
#[derive(PartialEq, Eq, Hash)]
enum Subject {
    Link(u32),
    Address(u32, IpNet),
    Route(IpNet, Option<u32>, u32),
    Neighbour(u32, IpAddr),
    TrafficControl(u32),
    All,
}

impl HostEvent {
    fn subject(&self) -> Subject {
        match self {
            Self::Link { ifindex, .. } | Self::LinkRemoved { ifindex, .. } => {
                Subject::Link(*ifindex)
            }
            Self::Address { ifindex, address } | Self::AddressRemoved { ifindex, address } => {
                Subject::Address(*ifindex, *address)
            }
            Self::Route(route) | Self::RouteRemoved(route) => {
                Subject::Route(route.prefix, route.ifindex, route.metric)
            }
            Self::Neighbour(neighbour) => Subject::Neighbour(neighbour.ifindex, neighbour.address),
            Self::NeighbourRemoved { ifindex, address } => Subject::Neighbour(*ifindex, *address),
            Self::TrafficControl { ifindex } => Subject::TrafficControl(*ifindex),
            Self::Overrun => Subject::All,
        }
    }
}

/// The reader's end. Dropping it ends the watch.
#[derive(Debug)]
pub struct HostEvents {
    queue: mpsc::Receiver<HostEvent>,
    tasks: [AbortHandle; 2],
}

impl HostEvents {
    /// The next event, in the kernel's order. `None`: the connection to the kernel has broken.
    pub async fn next(&mut self) -> Option<HostEvent> {
        self.queue.recv().await
    }

    /// Waits for an event, then takes all that are there, less those that a later one made
    /// worthless; after an overrun that is the overrun alone. `None` as for [`Self::next`].
    pub async fn next_batch(&mut self) -> Option<Vec<HostEvent>> {
        let mut events = Vec::new();
        if self.queue.recv_many(&mut events, QUEUE).await == 0 {
            return None;
        }
        Some(coalesce(events))
    }
}

impl Drop for HostEvents {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

fn coalesce(mut events: Vec<HostEvent>) -> Vec<HostEvent> {
    if events.contains(&HostEvent::Overrun) {
        return vec![HostEvent::Overrun];
    }
    let mut seen = HashSet::new();
    events.reverse();
    events.retain(|event| seen.insert(event.subject()));
    events.reverse();
    events
}

/// Events that may wait for the reader.
const QUEUE: usize = 1024;

impl Host {
    /// Watches the network namespace that the calling thread is in at this moment; as with
    /// [`Host::new`], call it within a tokio runtime.
    pub fn watch(&self) -> Result<HostEvents, HostError> {
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Neigh,
            MulticastGroup::Tc,
        ])
        .map_err(HostError::Open)?;
        let (sender, queue) = mpsc::channel(QUEUE);
        let connection = tokio::spawn(connection).abort_handle();
        let forwarder = tokio::spawn(forward(messages, sender)).abort_handle();
        Ok(HostEvents { queue, tasks: [connection, forwarder] })
    }
}

type Message = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr);

/// Moves events from the connection, whose own queue knows no bound, to the reader's.
async fn forward(
    mut messages: impl futures_util::Stream<Item = Message> + Unpin,
    queue: mpsc::Sender<HostEvent>,
) {
    let mut overrun = false;
    loop {
        // While events are being thrown away, room for one is waited for: it goes to the overrun.
        let message = if overrun {
            tokio::select! {
                biased;
                permit = queue.reserve() => {
                    let Ok(permit) = permit else { return };
                    permit.send(HostEvent::Overrun);
                    overrun = false;
                    continue;
                }
                message = messages.next() => message,
            }
        } else {
            messages.next().await
        };
        let Some((message, _)) = message else { return };
        if let Some(event) = event(message.payload)
            && !overrun
            && let Err(error) = queue.try_send(event)
        {
            match error {
                mpsc::error::TrySendError::Full(_) => overrun = true,
                mpsc::error::TrySendError::Closed(_) => return,
            }
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the groups joined carry no other message, and what a later kernel adds is not news"
)]
fn event(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<HostEvent> {
    if let NetlinkPayload::Overrun(_) = payload {
        return Some(HostEvent::Overrun);
    }
    let NetlinkPayload::InnerMessage(message) = payload else { return None };
    match message {
        RouteNetlinkMessage::NewLink(message) => {
            let Link { ifindex, name, mac, mtu, up, carrier, .. } = link(&message)?;
            Some(HostEvent::Link { ifindex, name, mac, mtu, up, carrier })
        }
        RouteNetlinkMessage::DelLink(message) => {
            let Link { ifindex, name, .. } = link(&message)?;
            Some(HostEvent::LinkRemoved { ifindex, name })
        }
        RouteNetlinkMessage::NewAddress(message) => {
            let (ifindex, address) = address(&message)?;
            Some(HostEvent::Address { ifindex, address })
        }
        RouteNetlinkMessage::DelAddress(message) => {
            let (ifindex, address) = address(&message)?;
            Some(HostEvent::AddressRemoved { ifindex, address })
        }
        RouteNetlinkMessage::NewRoute(message) => {
            Route::from_message(&message).map(HostEvent::Route)
        }
        RouteNetlinkMessage::DelRoute(message) => {
            Route::from_message(&message).map(HostEvent::RouteRemoved)
        }
        RouteNetlinkMessage::NewNeighbour(message) => {
            Neighbour::from_message(&message).map(HostEvent::Neighbour)
        }
        RouteNetlinkMessage::DelNeighbour(message) => {
            let Neighbour { ifindex, address, .. } = Neighbour::from_message(&message)?;
            Some(HostEvent::NeighbourRemoved { ifindex, address })
        }
        RouteNetlinkMessage::NewQueueDiscipline(message)
        | RouteNetlinkMessage::DelQueueDiscipline(message)
        | RouteNetlinkMessage::NewTrafficFilter(message)
        | RouteNetlinkMessage::DelTrafficFilter(message) => {
            Some(HostEvent::TrafficControl { ifindex: message.header.index.cast_unsigned() })
        }
        _ => None,
    }
}

/// A bridge announces its ports in the same group: a port that leaves it is no device that went.
fn link(message: &LinkMessage) -> Option<Link> {
    (message.header.interface_family == AddressFamily::Unspec).then(|| Link::from(message))
}

fn address(message: &AddressMessage) -> Option<(u32, IpNet)> {
    let present = InterfaceAddress::from_message(message)?;
    Some((message.header.index, present.address))
}
