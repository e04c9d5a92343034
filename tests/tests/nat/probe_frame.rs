//! Frames with probes, as they are on the wire: finding them, reading a field, and spoiling them.
//! Offsets are those of docs/probe-protocol.md, over IPv4 without options.

use vxlan_tests::packet::internet_checksum;

/// Length of a whole frame without padding.
pub(crate) const LENGTH: usize = PROBE + 288;
/// Where the probe begins, behind the inner Ethernet header.
pub(crate) const PROBE: usize = INNER + 14;
pub(crate) const TAG: usize = PROBE + 4;
pub(crate) const REPLY: u8 = 2;
const KIND: usize = PROBE + 12;
const SESSION: usize = PROBE + 32;
/// One end's at least: a NAPT changes the other's.
const PORT: [u8; 2] = 4789_u16.to_be_bytes();
const IP: usize = 14;
const UDP: usize = IP + 20;
const VNI: usize = UDP + 8 + 4;
const INNER: usize = UDP + 8 + 8;

pub(crate) fn is_probe(frame: &[u8]) -> bool {
    frame.len() >= LENGTH
        && frame[12..15] == [8, 0, 0x45]
        && frame[IP + 9] == 17
        && (frame[UDP..UDP + 2] == PORT || frame[UDP + 2..UDP + 4] == PORT)
        && frame[VNI..VNI + 3] == [0xff; 3]
}

/// One request or reply, and nothing behind it.
pub(crate) fn is_plain(frame: &[u8]) -> bool {
    is_probe(frame) && frame.len() == LENGTH
}

pub(crate) fn is_reply(frame: &[u8]) -> bool {
    frame[KIND] == REPLY
}

pub(crate) fn session(frame: &[u8]) -> [u8; 8] {
    frame[SESSION..SESSION + 8].try_into().expect("8 bytes")
}

/// The same probe from another address and port.
pub(crate) fn from(frame: &[u8], address: [u8; 4], port: u16) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[IP + 12..IP + 16].copy_from_slice(&address);
    frame[UDP..UDP + 2].copy_from_slice(&port.to_be_bytes());
    sealed(frame)
}

/// The same frame to another host's tunnel.
pub(crate) fn to(frame: &[u8], mac: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&mac);
    frame[IP + 16..IP + 20].copy_from_slice(&address);
    frame[UDP + 2..UDP + 4].copy_from_slice(&PORT);
    sealed(frame)
}

/// Cut off, or filled up with zeros, with lengths that are right.
pub(crate) fn resized(frame: &[u8], length: usize) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.resize(length, 0);
    let halves = [(IP + 2, length - IP), (UDP + 4, length - UDP)];
    for (at, value) in halves {
        frame[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
    }
    sealed(frame)
}

pub(crate) fn with_bit_turned(frame: &[u8], bit: usize) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[bit / 8] ^= 0x80 >> (bit % 8);
    frame
}

/// With the IP header's checksum made right again.
fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    frame[IP + 10..IP + 12].fill(0);
    let checksum = internet_checksum(&[&frame[IP..UDP]]);
    frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
    frame
}
