//! A packet that is handed to the daemon (section "Probe"), with the fields that go with it.

use std::net::IpAddr;

use super::{
    Config,
    bytes::{array, be16},
    outer::Outer,
};

/// Behind the VXLAN header.
const TAG_AT: usize = 18;
const MIN_LENGTH: usize = 302;

/// A probe with the outer header that it arrived in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// That its tag is of.
    pub peer: usize,
    /// Of the IP packet.
    pub length: usize,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
    /// UDP's.
    pub checksum: u16,
    pub ttl: u8,
    pub tos: u8,
    pub dont_fragment: bool,
    /// VXLAN header and inner frame, without padding.
    pub bytes: Vec<u8>,
}

impl Probe {
    /// For UDP as rule 9 leaves it. Nothing where it is nobody's, or too short.
    pub(super) fn read(config: &Config, outer: &Outer<'_>, udp: &[u8]) -> Option<Self> {
        let bytes = udp.get(8..8 + 8 + MIN_LENGTH)?;
        let tag = array(bytes, 8 + TAG_AT);
        let peer = config.peers.iter().position(|peer| peer.tag.is_some() && peer.tag == tag)?;
        Some(Self {
            peer,
            length: outer.length,
            src: outer.src,
            dst: outer.dst,
            source_port: be16(udp, 0)?,
            destination_port: be16(udp, 2)?,
            checksum: be16(udp, 6)?,
            ttl: outer.ttl,
            tos: outer.tos,
            dont_fragment: outer.dont_fragment,
            bytes: bytes.to_vec(),
        })
    }
}
