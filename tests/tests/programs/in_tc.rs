//! `decap_tc` translated to `decap`: tables say what the XDP program makes of a packet, and the
//! outcome of `decap_tc` is translated to that. So every table is about both.

use std::env;

use vxlan_common::table::TAG_MAC;
use vxlan_tests::packet::Mac;

use crate::{
    bench::{Bench, Outcome},
    rows::{TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC, XDP_DROP, XDP_PASS},
};

/// Set where the tables are to run through `decap_tc`.
const VARIABLE: &str = "VXLAN_TEST_DECAP_TC";

/// The largest frame that the kernel makes a socket buffer of for a test: a page less its own room.
const LONGEST: usize = 3_500;

pub(crate) fn is_on() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Does the kernel take such a frame? It wants to have the IP header that the EtherType promises.
pub(crate) fn takes(frame: &[u8]) -> bool {
    let shortest = match frame.get(12..14) {
        Some([0x08, 0x00]) => 14 + 20,
        Some([0x86, 0xdd]) => 14 + 40,
        _ => 14 + 1,
    };
    !is_on() || (shortest..=LONGEST).contains(&frame.len())
}

/// Every table of `decap` once more. What has nothing to do with it is left out, and so is what is
/// about XDP alone; `fuzz` sees to `decap_tc` itself.
#[test]
fn every_table_once_more() {
    if is_on() {
        return;
    }
    let skipped = ["in_tc", "fuzz", "cost", "deliver", "encap", "flood", "icmp_ptb"];
    let mut command = std::process::Command::new(env::current_exe().expect("has a name"));
    command.env(VARIABLE, "1").arg("--quiet");
    for name in skipped {
        command.args(["--skip", name]);
    }
    let output = command.output().expect("runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    let passed = printed.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next());
    let passed: u32 = passed.and_then(|count| count.parse().ok()).expect("says how many");
    println!("{passed} tests");
    assert!(passed >= 100, "{passed} tests are not all");
}

/// What `decap` would have returned and, through `deliver`, done.
pub(crate) fn as_decap(bench: &Bench, input: &[u8], mut outcome: Outcome) -> Outcome {
    match outcome.verdict {
        TC_ACT_UNSPEC => {
            assert_eq!(outcome.bytes, input, "a packet that is not ours was changed");
            outcome.verdict = XDP_PASS;
        }
        TC_ACT_SHOT => outcome.verdict = XDP_DROP,
        TC_ACT_REDIRECT => {
            let frame = std::mem::take(&mut outcome.bytes);
            let mut counted = bench.plan.members.iter().filter_map(|member| {
                let owner = bench.plan.names.owner(member.slot as usize)?;
                Some((member, outcome.deltas.received_by(owner)?))
            });
            let (member, (packets, bytes)) = counted.next().expect("it is counted for a member");
            assert_eq!((packets, bytes), (1, frame.len() as u64), "counted as delivered");
            outcome.verdict = XDP_PASS;
            outcome.bytes = if bench.plan.settings.tag == TAG_MAC {
                let mut secret: Mac = member.tag.octets();
                secret[5] |= match frame[..6] {
                    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => 1,
                    [first, ..] => (first & 1) << 1,
                    [] => unreachable!("a frame has an Ethernet header"),
                };
                [&secret[..], &frame[6..]].concat()
            } else {
                let ifindex = bench.plan.networks[member.network as usize].ifindex;
                let (ifindex, slot) = (ifindex.to_ne_bytes(), member.slot.to_ne_bytes());
                let mut tagged =
                    [&bench.plan.settings.secret[..], &ifindex, &slot, &frame].concat();
                if frame[0] & 1 != 0 {
                    tagged[15] = std::mem::replace(&mut tagged[16], 0x02);
                }
                tagged
            };
        }
        other => panic!("no verdict of decap_tc: {other}"),
    }
    outcome
}
