//! A row of a table, and the judge: verdict, bytes, counters and forwarding table, all exactly.

use std::collections::HashSet;

use vxlan_common::{
    counters::NatField,
    reason::{RxDrop, TxDrop},
};
use vxlan_tests::packet::{Packet, diff, hex};

use crate::{
    bench::{Bench, Context, Program, SECRET},
    deltas::{Deltas, Who},
    in_tc,
};

pub(crate) const XDP_DROP: i32 = 1;
pub(crate) const XDP_PASS: i32 = 2;
pub(crate) const XDP_REDIRECT: i32 = 4;
/// On to the next program, as if there were none.
pub(crate) const TC_ACT_UNSPEC: i32 = -1;
pub(crate) const TC_ACT_SHOT: i32 = 2;
pub(crate) const TC_ACT_REDIRECT: i32 = 7;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    name: String,
    context: Context,
    input: Vec<u8>,
    verdict: i32,
    /// In front of the frame in the output: XDP metadata.
    tag: Vec<u8>,
    output: Vec<u8>,
    deltas: Deltas,
    /// Only an accepted frame may teach where its sender is.
    accepted: bool,
}

impl Row {
    fn new(name: impl Into<String>, input: &[u8], verdict: i32, output: &[u8]) -> Self {
        Self {
            name: name.into(),
            context: Context::DEFAULT,
            input: input.to_vec(),
            verdict,
            tag: Vec::new(),
            output: output.to_vec(),
            deltas: Deltas::none(),
            accepted: false,
        }
    }

    /// `decap` leaves it to the host, untouched and uncounted.
    pub(crate) fn not_ours(name: impl Into<String>, input: &[u8]) -> Self {
        Self::new(name, input, XDP_PASS, input)
    }

    /// `decap` drops it for that reason.
    pub(crate) fn refused(name: impl Into<String>, input: &[u8], reason: RxDrop, who: Who) -> Self {
        Self::new(name, input, XDP_DROP, input).deltas(Deltas::rx_drop(reason, who))
    }

    /// `decap` strips it to `inner`, behind the metadata that names that member.
    pub(crate) fn accepted(
        name: impl Into<String>,
        bench: &Bench,
        input: &[u8],
        from: Who,
        inner: &[u8],
    ) -> Self {
        let member = bench.plan.members[bench.member(from) as usize];
        let ifindex = bench.plan.networks[member.network as usize].ifindex;
        let (ifindex, slot) = (ifindex.to_ne_bytes(), member.slot.to_ne_bytes());
        let mut tag = [&SECRET[..], &ifindex, &slot].concat();
        let mut output = inner.to_vec();
        // Of a frame to a group the tag holds the first byte, and the frame one of no station.
        if inner[0] & 1 != 0 {
            tag[15] = std::mem::replace(&mut output[0], 0x02);
        }
        let deltas = Deltas::accepted(from);
        Self { tag, accepted: true, deltas, ..Self::new(name, input, XDP_PASS, &output) }
    }

    /// `decap`, where the tag is a MAC: what leaves it is `output`.
    pub(crate) fn accepted_with_mac(name: &str, input: &[u8], from: Who, output: &[u8]) -> Self {
        let deltas = Deltas::accepted(from);
        Self { accepted: true, deltas, ..Self::new(name, input, XDP_PASS, output) }
    }

    /// `deliver` leaves it to the host.
    pub(crate) fn not_delivered(name: impl Into<String>, input: &[u8]) -> Self {
        Self::new(name, input, TC_ACT_UNSPEC, input)
    }

    /// `deliver` hands it to the overlay interface as `inner`.
    pub(crate) fn delivered(name: &str, input: &[u8], inner: &[u8], who: Who) -> Self {
        let deltas = Deltas::received(who, 1, inner.len());
        Self::new(name, input, TC_ACT_REDIRECT, inner).deltas(deltas)
    }

    /// `encap` sends it as `outer`.
    pub(crate) fn sent(name: impl Into<String>, input: &[u8], outer: &[u8], who: Who) -> Self {
        let deltas = Deltas::sent(who, 1, input.len());
        Self::new(name, input, TC_ACT_REDIRECT, outer).deltas(deltas)
    }

    /// `encap` drops it.
    pub(crate) fn not_sent(name: impl Into<String>, input: &[u8], why: TxDrop, who: Who) -> Self {
        Self::new(name, input, TC_ACT_SHOT, input).deltas(Deltas::tx_drop(why, who, 1))
    }

    /// `encap` answers the request for the owner of the address; nothing is sent.
    pub(crate) fn answered(name: impl Into<String>, input: &[u8], reply: &[u8], who: Who) -> Self {
        Self::new(name, input, TC_ACT_REDIRECT, reply).deltas(Deltas::answered(who))
    }

    /// `encap` drops the frame, which is too large for the path, and answers its sender with
    /// `message`.
    pub(crate) fn too_big(
        name: impl Into<String>,
        input: &[u8],
        message: &[u8],
        who: Who,
        packets: u64,
    ) -> Self {
        Self::new(name, input, TC_ACT_REDIRECT, message).deltas(Deltas::too_big(who, packets))
    }

    /// Exactly these counters move, instead of those of the constructor.
    pub(crate) fn deltas(self, deltas: Deltas) -> Self {
        Self { deltas, ..self }
    }

    pub(crate) fn verdict(self, verdict: i32) -> Self {
        Self { verdict, ..self }
    }

    pub(crate) fn nat(self, field: NatField, who: Who) -> Self {
        Self { deltas: self.deltas.nat(field, who), ..self }
    }

    pub(crate) fn context(self, context: Context) -> Self {
        Self { context, ..self }
    }

    /// What is wrong, if anything.
    fn judge(&self, bench: &mut Bench, program: Program) -> Option<String> {
        let outcome = bench.run(program, self.context, &self.input);
        let mut wrong = Vec::new();
        if outcome.verdict != self.verdict {
            wrong.push(format!("verdict {}, not {}", outcome.verdict, self.verdict));
        }
        if outcome.deltas != self.deltas {
            wrong.push(format!("deltas {:?}\n  not   {:?}", outcome.deltas, self.deltas));
        }
        let tag = outcome.bytes.get(..self.tag.len()).unwrap_or_default();
        if tag != self.tag {
            wrong.push(format!("tag {}\n  not {}", hex(tag), hex(&self.tag)));
        }
        let frame = outcome.bytes.get(self.tag.len()..).unwrap_or_default();
        // The bytes of a dropped frame do not matter: `decap` may have stripped the outer headers.
        if self.verdict != XDP_DROP {
            wrong.extend(diff(&self.output, frame));
        }
        if !self.accepted && outcome.fdb != outcome.fdb_before {
            wrong.push(format!("a frame that was not accepted taught: {:?}", outcome.fdb));
        }
        (!wrong.is_empty()).then(|| format!("\n{}:\n  {}\n", self.name, wrong.join("\n  ")))
    }
}

/// Runs every row and tells of all that are wrong.
#[track_caller]
pub(crate) fn check(bench: &mut Bench, program: Program, rows: &[Row]) {
    assert!(!rows.is_empty());
    let mut names = HashSet::new();
    let wrong: Vec<_> = rows
        .iter()
        .filter(|row| program != Program::Decap || in_tc::takes(&row.input))
        .filter_map(|row| {
            assert!(names.insert(&row.name), "two rows are called {}", row.name);
            row.judge(bench, program)
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows: {}", wrong.len(), rows.len(), wrong.concat());
    bench.assert_no_other_slot();
    println!("{} rows", rows.len());
}

/// The bytes of a packet, with the `n` bytes behind it that a NIC may add or leave.
pub(crate) fn padded(packet: &Packet, n: usize) -> Vec<u8> {
    let mut bytes = packet.build().to_vec();
    bytes.resize(bytes.len() + n, 0xee);
    bytes
}
