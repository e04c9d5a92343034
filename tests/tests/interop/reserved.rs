//! Bits of the VXLAN header, turned one at a time, as in the kernel's `vxlan_reserved.sh`: ours and
//! a kernel vxlan device get the same packets, and both refuse each, and let in what is between
//! them.

use anyhow::{Result, ensure};
use vxlan_tests::{
    conserve::link_stats,
    kernel::{self, Feature},
    packet::{Icmp, Ipv4, Packet, Vxlan, flags},
};

use crate::side_by_side::{
    Beside, Host, INNER_HOST, INNER_STATION, OVERLAY, VNI, inner, tunnelled,
};

/// How often each header is sent.
const TIMES: usize = 10;

/// A good header with bit `number` of its 64 turned.
fn turned(number: u32) -> Vxlan {
    let bits = 1_u64 << 63 >> number;
    let [turned_flags, a, b, c, .., last] = bits.to_be_bytes();
    Vxlan::new(VNI).flags(flags::VNI ^ turned_flags).reserved([a, b, c]).last(last)
}

/// Bits that are neither the I flag nor the VNI.
fn reserved() -> Vec<u32> {
    (0..32).filter(|bit| *bit != I_FLAG).chain(56..64).collect()
}

const I_FLAG: u32 = 4;

fn numbered(number: u32) -> Packet {
    let ip = Ipv4::new(INNER_STATION, INNER_HOST);
    inner().with(ip).with(Icmp::echo_reply(7, number as u16)).payload(&[0x5a; 40])
}

#[test]
fn each_reserved_bit_is_refused_by_both() -> Result<()> {
    let beside = Beside::new()?;
    let reserved = reserved();
    ensure!(reserved.len() == 39 && turned(I_FLAG).flags == 0, "{reserved:?}");
    let watch = beside.watch()?;
    let theirs = || link_stats(beside.ns(Host::Kernel), OVERLAY);
    let before = (beside.received()?, beside.dropped("invalid_vxlan_header")?, theirs()?);
    let counts = kernel::has(Feature::CountedHeaders)?;
    let mut clean = Vec::new();
    for (sent, bit) in (1..).zip(reserved.iter().copied().chain([I_FLAG])) {
        // The clean one is behind the others, and the same but for the bit.
        let bad = tunnelled(0, turned(bit), numbered(bit));
        let good = tunnelled(0, Vxlan::new(VNI), numbered(bit));
        let mut frames = vec![bad; TIMES];
        frames.push(good);
        beside.send(&frames)?;
        clean.push(numbered(bit).build().to_vec());

        let arrived = watch.until(&clean[clean.len() - 1])?;
        for (host, arrived) in Host::BOTH.iter().zip(&arrived) {
            let arrived: Vec<_> = arrived.iter().map(|captured| &captured.frame).collect();
            let same = arrived.iter().copied().eq(&clean);
            ensure!(same, "{host:?}, bit {bit}: {} frames, not {sent}", arrived.len());
        }
        let refused = (sent * TIMES) as u64;
        let [accepted, dropped] = beside.received()?;
        let invalid = beside.dropped("invalid_vxlan_header")? - before.1;
        ensure!(invalid == refused, "ours counted {invalid} of {refused}, bit {bit}");
        let now = [accepted - before.0[0], dropped - before.0[1]];
        ensure!(now == [sent as u64, refused], "ours counted {now:?}, bit {bit}");
        let now = theirs()?;
        ensure!(now.rx_packets - before.2.rx_packets == sent as u64, "{now:?}, bit {bit}");
        // A clear I flag is not counted anywhere there.
        let counted = match (counts, bit) {
            (false, _) => 0,
            (true, I_FLAG) => refused - TIMES as u64,
            (true, _) => refused,
        };
        ensure!(now.rx_errors - before.2.rx_errors == counted, "{now:?}, bit {bit}");
    }
    Ok(())
}

/// As RFC 7348 has it: no bit but the I flag decides anything.
#[test]
fn reserved_bits_can_be_ignored() -> Result<()> {
    let beside = Beside::with("reserved_bits = \"ignore\"", "")?;
    let watch = beside.watch()?;
    let before = beside.received()?;
    let bits = reserved();
    let mut frames = vec![tunnelled(0, turned(I_FLAG), numbered(I_FLAG)); TIMES];
    frames.extend(bits.iter().map(|bit| tunnelled(0, turned(*bit), numbered(*bit))));
    // The kernel's device lets none of them in, so a clean one tells when it has seen them all.
    let last = numbered(99);
    frames.push(tunnelled(0, Vxlan::new(VNI), last.clone()));
    beside.send(&frames)?;
    let last = last.build().to_vec();
    let arrived = watch.until(&last)?;
    let mut expected: Vec<_> = bits.iter().map(|bit| numbered(*bit).build().to_vec()).collect();
    expected.push(last);
    for (host, arrived) in Host::BOTH.iter().zip(&arrived) {
        let expected = if *host == Host::Ours { &expected[..] } else { &expected[39..] };
        let same = arrived.iter().map(|captured| &captured.frame).eq(expected);
        ensure!(same, "{host:?}: {} frames, not {}", arrived.len(), expected.len());
    }
    let received = beside.received()?;
    let received = [received[0] - before[0], received[1] - before[1]];
    ensure!(received == [40, TIMES as u64], "{received:?} accepted and dropped");
    let refused = beside.dropped("invalid_vxlan_header")?;
    ensure!(refused == TIMES as u64, "{refused} refused for their header");
    Ok(())
}
