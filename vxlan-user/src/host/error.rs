//! What can go wrong between this program and the host's network configuration.
//!
//! Owns the sentences that a user reads: what was found, on which interface, and what to do. Knows
//! how a netlink answer becomes such a sentence; does not decide which answers are errors.

use std::{fmt, io, net::IpAddr};

use ipnet::IpNet;

/// A failed look at, or change of, the host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    #[error("cannot open a netlink socket: {0}; the kernel must have been built with networking")]
    Open(#[source] io::Error),

    #[error("cannot give up capabilities that are not needed: {0}")]
    Privileges(String),

    #[error(
        "interface {name} does not exist; this host has {}; name one of these instead",
        Listed(existing)
    )]
    UnknownInterface { name: String, existing: Vec<String> },

    #[error(
        "interface {name} has no Ethernet address ({found}); VXLAN in XDP needs an Ethernet \
         underlay, name another interface"
    )]
    NotEthernet { name: String, found: String },

    #[error(
        "cannot listen on {interface} for ICMP messages about packets that are too big: {source}; \
         this needs CAP_NET_RAW and an interface that exists"
    )]
    Icmp { interface: String, source: io::Error },

    #[error(
        "cannot open a socket for echo requests from {from} through {interface}: {source}; this \
         needs CAP_NET_RAW, an interface that exists and an address that is its own"
    )]
    Echo { interface: String, from: IpAddr, source: io::Error },

    #[error(
        "cannot open a raw socket on {interface} to send probes: {source}; this needs CAP_NET_RAW \
         and an interface that exists"
    )]
    Raw { interface: String, source: io::Error },

    #[error("interface {name}: {problem}")]
    InvalidSpec { name: String, problem: String },

    #[error(
        "interface {name} exists already and is not ours to change ({found}); choose another name, \
         or delete it with `ip link delete {name}` if nobody needs it"
    )]
    ForeignInterface { name: String, found: String },

    #[error(
        "interface {name} is the {end} of network {vni}, which a `vxlan` with another run \
         directory or an earlier one has made; choose another name, or remove it with `vxlan down` \
         and that --run-dir"
    )]
    OtherNetwork { name: String, end: &'static str, vni: u32 },

    #[error(
        "there is already a route for {prefix}, and it is not ours: {found}; {}",
        route_advice(prefix, *connected)
    )]
    ForeignRoute {
        prefix: IpNet,
        found: String,
        /// The kernel has made it for an address of an interface.
        connected: bool,
    },

    #[error(
        "could not {doing}: IPv6 is switched off on {interface}; switch it on with `sysctl -w \
         net.ipv6.conf.default.disable_ipv6=0` and for the interface itself, or take the IPv6 \
         prefixes out of the configuration"
    )]
    Ipv6Off { doing: String, interface: String },

    #[error(
        "no route to {destination} through {interface} ({source}); add one (`ip route add \
         {destination} via GATEWAY dev {interface}`), or name the interface that has one"
    )]
    NoRoute { destination: IpAddr, interface: String, source: io::Error },

    #[error(
        "{destination} is a {kind} address as seen from {interface}; a peer's endpoint must be the \
         unicast address of another host"
    )]
    NotAnotherHost { destination: IpAddr, interface: String, kind: &'static str },

    #[error(
        "{address} is not an address of this host, so nothing can be sent from it; use an address \
         that `ip address show dev {interface}` lists"
    )]
    SourceNotLocal { address: IpAddr, interface: String },

    #[error("could not {doing}: {source}{}", advice(source))]
    Kernel { doing: String, source: io::Error },

    #[error(
        "interface {name} is changed back again and again ({step}, and it does not stay so): find \
         the program that manages {name}, and take {name} out of what it manages"
    )]
    Restless { name: String, step: String },
}

impl HostError {
    /// The kernel's error number, where one is behind this error.
    pub(super) fn errno(&self) -> Option<i32> {
        if let Self::Kernel { source, .. } = self { source.raw_os_error() } else { None }
    }
}

/// Tells a refusal of IPv6 on an interface from one for want of rights: the kernel answers both
/// alike, and without rights nothing would have come this far.
pub(super) fn ipv6_off(error: HostError, prefix: IpNet, interface: &str) -> HostError {
    if !prefix.addr().is_ipv6() || error.errno() != Some(libc::EACCES) {
        return error;
    }
    let interface = interface.to_owned();
    if let HostError::Kernel { doing, .. } = error {
        HostError::Ipv6Off { doing, interface }
    } else {
        error
    }
}

/// Adds what was being done to a bare netlink error.
pub(super) trait During<T> {
    fn during(self, doing: impl FnOnce() -> String) -> Result<T, HostError>;
}

impl<T> During<T> for Result<T, rtnetlink::Error> {
    fn during(self, doing: impl FnOnce() -> String) -> Result<T, HostError> {
        self.map_err(|error| HostError::Kernel { doing: doing(), source: to_io(error) })
    }
}

/// The kernel's error number in a bare netlink error.
pub(super) fn errno(error: &rtnetlink::Error) -> Option<i32> {
    if let rtnetlink::Error::NetlinkError(message) = error {
        Some(message.raw_code().abs())
    } else {
        None
    }
}

pub(super) fn to_io(error: rtnetlink::Error) -> io::Error {
    if let rtnetlink::Error::NetlinkError(message) = error {
        message.to_io()
    } else {
        io::Error::other(error)
    }
}

/// What to do about a route that is in the way.
fn route_advice(prefix: &IpNet, connected: bool) -> String {
    if connected {
        format!(
            "that is the network of the interface itself, and must stay: leave {prefix} out of \
             allowed_ips, or write narrower prefixes"
        )
    } else {
        format!("remove it with `ip route del {prefix}`, or leave {prefix} out of allowed_ips")
    }
}

/// What to do about the error numbers that users really meet.
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "; this needs CAP_NET_ADMIN: run as root, or give the service that capability"
        }
        Some(libc::ENODEV | libc::ENXIO) => "; the interface has gone in the meantime: try again",
        Some(libc::ERANGE) => "; the value is outside of what the device allows",
        Some(libc::EADDRNOTAVAIL) => "; the kernel does not accept this address on an interface",
        Some(libc::EOPNOTSUPP) => "; this kernel lacks the feature: `veth` support is needed",
        Some(libc::ENETDOWN) => "; the interface is down: `ip link set dev INTERFACE up`",
        _ => "",
    }
}

struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no interface at all");
        }
        f.write_str(&self.0.join(", "))
    }
}
