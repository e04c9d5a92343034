//! What nearly every table names: packets, hosts, rows, and whom a packet is counted for.

pub(crate) use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) use vxlan_common::counters::NatField::{
    Checksum as Mended, DstAddress, SrcAddress, SrcPort,
};
pub(crate) use vxlan_tests::packet::{
    Arp, BROADCAST, Checksum, Eth, Icmp, Ip, Ipv4, Ipv6, Layer, Mac, Packet, Tcp, Udp, VXLAN_PORT,
    Vlan, Vxlan, flags,
};

pub(crate) use crate::{
    bench::{Bench, Context, GCP, Host, Outcome, Program},
    deltas::{Deltas, Who},
    family::{Family, GCP6, PUBLIC6, gcp6, over_both_families},
    flow::{hash_of, port_of},
    rows::{Row, TC_ACT_REDIRECT, TC_ACT_SHOT, XDP_DROP, XDP_PASS, check, padded},
    world::*,
};
