//! The host's network configuration: overlay devices, addresses, routes, neighbours, the underlay; and
//! what is sent and heard through raw sockets.
//!
//! The only room that knows netlink and raw sockets. It takes plain arguments and gives plain values:
//! nothing of `rtnetlink` appears in its interface, and it knows nothing of BPF or of the configuration
//! file.
//!
//! What it changes it can recognise again, so that a restart adopts it and `down` removes exactly
//! that: overlay devices by their alias, routes by their protocol number ([`ROUTE_PROTOCOL`]).
//! Everything else on the host belongs to somebody else and is never changed.

mod address;
pub mod capabilities;
mod echo;
mod error;
mod ethtool;
mod icmp;
mod link;
mod neighbour;
mod next_hop;
mod overlay;
mod pipeline;
mod qdisc;
mod raw;
mod route;
mod socket;
mod underlay_link;
mod virtio;
mod watch;

pub use address::InterfaceAddress;
pub use echo::{EchoReply, EchoSocket};
pub use error::HostError;
pub use ethtool::{Channels, DriverInfo, Offload};
pub use icmp::{IcmpListener, IcmpMessage};
pub use link::{XdpAttachment, XdpMode};
pub use neighbour::{Neighbour, NeighbourState};
pub use next_hop::NextHop;
pub use overlay::{MIN_IPV6_MTU, Overlay, OverlaySpec, OwnedOverlay};
pub use raw::{OuterHeaders, RawSender};
pub use route::{MainTable, ROUTE_PROTOCOL, Route, RouteChange, WantedRoute};
pub use underlay_link::UnderlayLink;
pub use virtio::VirtioFeatures;
pub use watch::{HostEvent, HostEvents};

/// A connection to the kernel's routing netlink, bound to one network namespace.
#[derive(Debug, Clone)]
pub struct Host {
    handle: rtnetlink::Handle,
}

impl Host {
    /// Connects to the network namespace that the calling thread is in at this moment.
    ///
    /// Must be called within a tokio runtime: it spawns the task that drives the connection, which
    /// ends when the last clone of this `Host` is dropped.
    pub fn new() -> Result<Self, HostError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(HostError::Open)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }
}
