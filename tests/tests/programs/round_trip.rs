//! What one host's `encap` sends, the other host's `decap` and `deliver` turn back into the frame,
//! byte for byte, also when two NATs on the path rewrite both addresses.

use vxlan_tests::packet::{assert_frames_equal, internet_checksum};

use crate::{bench::SECRET, encap, prelude::*};

const GCP_43: Who = Who::Member("gcp", VNI);
/// The other end: the mirror image of network 43.
const AWS: Host = Host { v4: Some(AWS_PRIVATE), v6: None, overlays: &[(1, AWS_MAC)] };

fn aws(tag: &str) -> Bench {
    let text = format!(
        r#"
        [node]
        name = "aws"
        [underlay]
        interface = "ens5"
        address = "10.0.0.119"
        public_address = "198.51.100.20"
        tag = "{tag}"
        [[peer]]
        name = "gcp"
        endpoint = "203.0.113.10"
        private_address = "10.0.0.2"
        accept_private = true
        [[network]]
        vni = 43
        interface = "vxlan44"
        addresses = ["192.168.44.1/24", "2001:db8:44::1/64"]
        [[network.member]]
        peer = "gcp"
        allowed_ips = ["192.168.43.0/24", "2001:db8:43::/64"]
        "#
    );
    Bench::new(&text, AWS)
}

/// What 1:1 NATs on both sides do to the addresses.
fn nat(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr) {
    packet[26..30].copy_from_slice(&source.octets());
    packet[30..34].copy_from_slice(&destination.octets());
    packet[24..26].fill(0);
    let checksum = internet_checksum(&[&packet[14..34]]);
    packet[24..26].copy_from_slice(&checksum.to_be_bytes());
}

/// Whether NATs on the path rewrite addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Direct,
    Nat,
}

fn there(sender: &mut Bench, receiver: &mut Bench, frame: &[u8], path: Path) -> Vec<u8> {
    let sent = sender.run(Program::Encap, Context::DEFAULT, frame);
    assert_eq!(sent.verdict, TC_ACT_REDIRECT);
    assert_eq!(sent.deltas, Deltas::sent(Who::Member("aws", VNI), 1, frame.len()));
    let mut packet = sent.bytes;
    let expected = match path {
        Path::Direct => Deltas::accepted(GCP_43),
        Path::Nat => {
            nat(&mut packet, GCP_PUBLIC, AWS_PRIVATE);
            Deltas::accepted(GCP_43).nat(SrcAddress, GCP_43).nat(DstAddress, GCP_43)
        }
    };
    let received = receiver.run(Program::Decap, Context::DEFAULT, &packet);
    assert_eq!(received.verdict, XDP_PASS, "{:?}", received.deltas);
    assert_eq!(received.deltas, expected);
    received.bytes
}

#[test]
fn every_frame_comes_back_behind_metadata() {
    let frames = encap::frames();
    assert!(frames.len() >= 12);
    for path in [Path::Direct, Path::Nat] {
        let (mut sender, mut receiver) = (Bench::gcp(), aws("metadata"));
        for (name, frame) in &frames {
            println!("{name}");
            let frame = frame.build();
            let bytes = there(&mut sender, &mut receiver, &frame, path);
            assert_eq!(bytes[..8], SECRET);
            let mut restored = bytes[16..].to_vec();
            // The tag of a frame to a group has the first byte of it.
            if bytes[15] != 0 {
                restored[0] = bytes[15];
            }
            assert_frames_equal(&frame, &restored);
        }
    }
}

#[test]
fn every_frame_comes_back_through_deliver() {
    for path in [Path::Direct, Path::Nat] {
        let (mut sender, mut receiver) = (Bench::gcp(), aws("mac"));
        for (name, frame) in encap::frames() {
            println!("{name}");
            let frame = frame.build();
            let tagged = there(&mut sender, &mut receiver, &frame, path);
            let destination: Mac = frame[..6].try_into().expect("six bytes");
            assert_ne!(tagged[..6], destination);
            assert_frames_equal(&frame[6..], &tagged[6..]);
            let delivered = receiver.run(Program::Deliver, Context::DEFAULT, &tagged);
            assert_eq!(delivered.verdict, TC_ACT_REDIRECT);
            assert_eq!(delivered.deltas, Deltas::received(GCP_43, 1, frame.len()));
            assert_frames_equal(&frame, &delivered.bytes);
        }
    }
}
