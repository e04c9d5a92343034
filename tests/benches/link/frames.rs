//! The frames that are sent: UDP datagrams of so many flows, as they reach each host.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    model::flow_port,
    packet::{Checksum, Eth, Ipv4, Packet, Udp, Vxlan},
};

use crate::{
    host::{Host, LAN_HOST, OWN, OWN_INNER, PEER_MAC, VNI},
    peers,
};

/// Where all datagrams go.
pub(crate) const PORT: u16 = 9_000;
/// Ethernet, IPv4, UDP.
pub(crate) const HEADERS: usize = 14 + 20 + 8;

/// How long frames are, from the Ethernet header on and without that of the tunnel, and of how many
/// flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) bytes: usize,
    pub(crate) flows: usize,
    /// Of the datagrams. A TC program that drops them is no reason to have any; GRO merges only
    /// datagrams that have one.
    pub(crate) checksum: Checksum,
}

impl Shape {
    /// As in `64B/1-flow`.
    pub(crate) fn name(self) -> String {
        let plural = if self.flows == 1 { "flow" } else { "flows" };
        format!("{}B/{}-{plural}", self.bytes, self.flows)
    }

    /// As in `one flow`.
    pub(crate) fn flows(self) -> String {
        match self.flows {
            1 => "one flow".to_owned(),
            flows => format!("{flows} flows in turn"),
        }
    }

    pub(crate) fn payload(self) -> Vec<u8> {
        vec![0x5a; self.bytes.saturating_sub(HEADERS)]
    }

    /// Source ports of a flow: of few flows by the first number, of many by both.
    fn ports(self, flow: usize) -> (u16, u16) {
        let source = 10_000 + (flow % 32_768) as u16;
        (source, PORT + (flow / 32_768) as u16)
    }

    /// From a host behind one of the peers to the host, as they are in the tunnel. Peers and flows
    /// have their turns.
    pub(crate) fn inner(self, host: &Host, flow: usize) -> Packet {
        let (source, destination) = self.ports(flow);
        let peer = flow % host.spec.peers;
        Packet::new()
            .with(Eth::new(host.overlay_mac, peers::mac(peer)))
            .with(Ipv4::new(peers::inner(peer), OWN_INNER))
            .with(Udp::new(source, destination).checksum(self.checksum))
            .payload(&self.payload())
    }

    /// The same as they reach the host: in the tunnel, where it has one.
    pub(crate) fn received(self, host: &Host) -> Result<Vec<Vec<u8>>> {
        ensure!(self.bytes >= HEADERS, "frames of {} bytes", self.bytes);
        let frame = |flow| {
            let inner = self.inner(host, flow);
            if !host.carrier.tunnels() {
                return Ok(inner.build().to_vec());
            }
            encapsulated(host, peers::endpoint(flow % host.spec.peers), VNI, inner)
        };
        (0..self.flows).map(frame).collect()
    }

    /// From a host on the third interface to one behind the peer.
    pub(crate) fn forwarded(self, host: &Host) -> Vec<Vec<u8>> {
        let frame = |flow| {
            let (source, destination) = self.ports(flow);
            let frame = Packet::new()
                .with(Eth::new(host.lan_mac, PEER_MAC))
                .with(Ipv4::new(LAN_HOST, peers::inner(flow % host.spec.peers)))
                .with(Udp::new(source, destination).checksum(self.checksum))
                .payload(&self.payload());
            frame.build().to_vec()
        };
        (0..self.flows).map(frame).collect()
    }
}

/// In the tunnel, from that address.
pub(crate) fn encapsulated(
    host: &Host,
    from: Ipv4Addr,
    vni: u32,
    inner: Packet,
) -> Result<Vec<u8>> {
    let port = flow_port(&inner.build()).context("a frame of no flow")?;
    let outer = Packet::new()
        .with(Eth::new(host.mac, [2, 0, 0, 0, 0, 2]))
        .with(Ipv4::new(from, OWN))
        .with(Udp::vxlan(port))
        .with(Vxlan::new(vni));
    Ok(outer.carrying(inner).build().to_vec())
}
