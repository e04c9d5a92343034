//! The host's network configuration: overlay devices, addresses, routes, neighbours, the underlay;
//! and what is sent and received through raw sockets.
//!
//! The only directory that knows netlink and raw sockets. Its interface takes and returns plain
//! values: nothing of `rtnetlink` appears there. It knows nothing of BPF or of the configuration
//! file.
//!
//! Whatever is changed here can be recognised again, so that a restart adopts it and `down` removes
//! exactly that: overlay devices by their group, routes by their protocol number
//! ([`ROUTE_PROTOCOL`]). Everything else on the host belongs to somebody else and is never changed.
//!
//! A file imports only files above it in this list:
//!
//! ```text
//! error, pipeline, virtio, headers, sysctl
//! connection, capabilities, socket, ethtool
//! link, kernel_vxlan, address, neighbour, neighbour_table, route, qdisc, hidden_port, icmp, echo
//! raw
//! main_table, overlay_spec, overlay_owner, overlay_step
//! next_hop, route_change, overlay_settings, underlay_link, watch, host_view
//! overlay_diff, overlay_change, overlay_removal
//! overlay, segmenter
//! ```

mod address;
pub mod capabilities;
mod connection;
mod echo;
mod error;
mod ethtool;
mod headers;
mod hidden_port;
mod host_view;
mod icmp;
mod kernel_vxlan;
mod link;
mod main_table;
mod neighbour;
mod neighbour_table;
mod next_hop;
mod overlay;
mod overlay_change;
mod overlay_diff;
mod overlay_owner;
mod overlay_removal;
mod overlay_settings;
mod overlay_snapshot;
mod overlay_spec;
mod overlay_step;
mod patient_socket;
mod pipeline;
mod qdisc;
mod raw;
mod route;
mod route_change;
mod segmenter;
mod socket;
mod sysctl;
mod underlay_link;
mod virtio;
mod watch;

pub use address::InterfaceAddress;
pub use connection::Host;
pub use echo::{EchoReply, EchoSocket};
pub use error::HostError;
pub use ethtool::{Channels, DriverInfo, Offload, switch_gro_on};
pub use headers::OuterHeaders;
pub use host_view::HostView;
pub use icmp::{IcmpListener, IcmpMessage};
pub use kernel_vxlan::KernelVxlan;
pub use link::XdpAttachment;
pub use main_table::MainTable;
pub use neighbour::{Neighbour, NeighbourState};
pub use next_hop::NextHop;
pub use overlay::{Overlay, OverlayOutcome, OverlayRounds};
pub use overlay_change::OverlayChanges;
pub use overlay_snapshot::OverlaySnapshot;
pub use overlay_spec::{Made, OverlaySpec, RouteSpec, hidden_name, set_aside_name};
pub use raw::RawSender;
pub use route::{BLACKHOLE_METRIC, ROUTE_PROTOCOL, Route};
pub use segmenter::{Segmenter, SegmenterNames};
pub use sysctl::{has_ipv6, sysctl};
pub use underlay_link::UnderlayLink;
pub use virtio::VirtioFeatures;
pub use watch::{HostEvent, HostEvents};
