//! Congestion marks end to end (RFC 6040): the same packets into ours and into a kernel vxlan
//! device, and what each makes of the marks of what it sends.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    conserve::link_stats,
    packet::{Icmp, Ipv4, Ipv6, Packet, Vxlan, assert_frames_equal},
    sniff::Sniffer,
};

use crate::side_by_side::{
    Beside, Host, INNER_HOST, INNER_HOST_V6, INNER_STATION, INNER_STATION_V6, OVERLAY, VNI, inner,
    tunnelled,
};

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;
/// On the outer header and on the inner one: neither may move.
const DSCP: [u8; 2] = [0xb8, 0x28];

/// RFC 6040, figure 4. Lines: inner Not-ECT, ECT(0), ECT(1), CE. Columns: outer Not-ECT, ECT(0),
/// ECT(1), CE.
const FIGURE_4: [(u8, [Option<u8>; 4]); 4] = [
    (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
    (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
    (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
    (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
];
const COLUMNS: [u8; 4] = [NOT_ECT, ECT_0, ECT_1, CE];

/// What the tunnel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// What nobody answers, told apart by `number`.
    fn frame(self, tos: u8, number: u16) -> Packet {
        let payload = [0x5a; 40];
        match self {
            Self::V4 => {
                let ip = Ipv4::new(INNER_STATION, INNER_HOST).tos(tos).id(number);
                inner().with(ip).with(Icmp::echo_reply(1, number)).payload(&payload)
            }
            Self::V6 => {
                let ip = Ipv6::new(INNER_STATION_V6.into(), INNER_HOST_V6.into());
                let ip = ip.traffic_class(tos).flow_label(0xabcde);
                inner().with(ip).with(Icmp::echo_reply_v6(1, number)).payload(&payload)
            }
        }
    }

    fn destination(self) -> &'static str {
        match self {
            Self::V4 => "192.168.44.7",
            Self::V6 => "2001:db8:44::7",
        }
    }
}

#[test]
fn marks_that_arrive_become_what_figure_4_says() -> Result<()> {
    let beside = Beside::new()?;
    for family in Family::BOTH {
        let errors = || -> Result<[u64; 2]> {
            let kernel = link_stats(beside.ns(Host::Kernel), OVERLAY)?.rx_errors;
            Ok([beside.dropped("ecn_error")?, kernel])
        };
        let before = (errors()?, beside.received()?);
        let (mut frames, mut expected) = (Vec::new(), Vec::new());
        for (inner, row) in FIGURE_4 {
            for (outer, becomes) in COLUMNS.into_iter().zip(row) {
                let number = u16::from(outer << 2 | inner);
                let arriving = family.frame(DSCP[1] | inner, number);
                frames.push(tunnelled(DSCP[0] | outer, Vxlan::new(VNI), arriving));
                let leaving = becomes.map(|ecn| family.frame(DSCP[1] | ecn, number));
                expected.extend(leaving.map(|frame| frame.build().to_vec()));
            }
        }
        ensure!((frames.len(), expected.len()) == (16, 15), "of the sixteen one is refused");
        let watch = beside.watch()?;
        beside.send(&frames)?;
        let arrived = watch.until(&expected[14])?;
        for (host, arrived) in Host::BOTH.iter().zip(&arrived) {
            ensure!(arrived.len() == 15, "{host:?}, {family:?}: {} of 15", arrived.len());
            for (arrived, expected) in arrived.iter().zip(&expected) {
                assert_frames_equal(expected, &arrived.frame);
            }
        }
        let (now, received) = (errors()?, beside.received()?);
        for (host, (now, before)) in Host::BOTH.iter().zip(now.iter().zip(before.0)) {
            ensure!(now - before == 1, "{host:?}, {family:?}: {} refused", now - before);
        }
        let received = [received[0] - before.1[0], received[1] - before.1[1]];
        ensure!(received == [15, 1], "{family:?}: {received:?} accepted and dropped");
    }
    Ok(())
}

/// The TOS byte (or traffic class) of the outer and of the inner header of an echo request.
fn tos(frame: &[u8], family: Family) -> Option<[u8; 2]> {
    let inner = frame.get(50 + 14..)?;
    let (inner_tos, is_request) = match family {
        Family::V4 => (inner.get(1)?, inner.get(20) == Some(&8)),
        Family::V6 => (&(inner.first()? << 4 | inner.get(1)? >> 4), inner.get(40) == Some(&128)),
    };
    let is_ours = frame[12..14] == [8, 0] && frame[36..38] == [0x12, 0xb5] && is_request;
    is_ours.then_some([frame[15], *inner_tos])
}

/// Ours copies the inner field (RFC 6040, normal mode). The kernel does so too, but for CE, of
/// which it makes ECT(0), as RFC 3168 had it.
#[test]
fn marks_that_leave_are_those_of_the_inner_header() -> Result<()> {
    let beside = Beside::new()?;
    for host in Host::BOTH {
        for family in Family::BOTH {
            for ecn in COLUMNS {
                let inner = DSCP[1] | ecn;
                let seen = Sniffer::start(&beside.tester, host.cable(), move |frame| {
                    tos(frame, family).is_some()
                })?;
                let to = family.destination();
                // Nobody answers, so it says that it failed.
                let ping = format!("ping -n -c 1 -W 0.1 -Q {inner} {to}");
                let output = beside.ns(host).output(&ping)?;
                let frames = seen.wait_for(1, Duration::from_secs(5));
                let frame =
                    frames.first().with_context(|| format!("no echo request: {output:?}"))?;
                let ours_or_ect = if host == Host::Kernel && ecn == CE { ECT_0 } else { ecn };
                let marks = tos(&frame.frame, family);
                ensure!(
                    (frames.len(), marks) == (1, Some([ours_or_ect, inner])),
                    "{host:?}, {family:?}, sent with {inner:#04x}: {marks:02x?}"
                );
            }
        }
    }
    Ok(())
}
