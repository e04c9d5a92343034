//! What the programs are made of when they are loaded, and what they cost the verifier, of whose
//! limit a change may take much unseen.

use std::fmt::Write as _;

use vxlan_tests::kernel::{self, Feature};
use vxlan_user::dataplane::{DataPlane, LoadOptions, names};

/// One program as the kernel has it.
struct Program {
    name: &'static str,
    /// Instructions that it keeps, in bytes.
    size: u32,
    /// Instructions that the verifier went through, on all paths.
    verified: Option<u32>,
    /// Bytes of machine code, which have to fit into the caches of a CPU; 0 without a JIT.
    jited: u32,
}

fn programs(trace_packets: bool) -> [Program; 4] {
    let options = LoadOptions { trace_packets, slots: 1, ..LoadOptions::default() };
    let mut plane = DataPlane::load(options).expect("loads");
    let decap = plane.xdp().expect("decap").info().expect("its info");
    let decap_tc = plane.classifier(names::DECAP_TC).expect("decap_tc").info().expect("its info");
    let deliver = plane.classifier(names::DELIVER).expect("deliver").info().expect("its info");
    let encap = plane.classifier(names::ENCAP).expect("encap").info().expect("its info");
    [
        (names::DECAP, decap),
        (names::DECAP_TC, decap_tc),
        (names::DELIVER, deliver),
        (names::ENCAP, encap),
    ]
    .map(|(name, info)| Program {
        name,
        size: info.size_translated().expect("a size"),
        verified: info.verified_instruction_count(),
        jited: info.size_jitted(),
    })
}

/// Messages about packets cost nothing when they are off: the verifier knows the level, and removes
/// the code behind it. What it goes through stays below the ceilings, and is as recorded.
#[test]
fn what_the_programs_cost() {
    let (with, without) = (programs(true), programs(false));
    for (with, without) in with.iter().zip(&without) {
        let (name, more, less) = (with.name, with.size, without.size);
        assert!(less < more, "{name}: {less} bytes without tracing, {more} with it");
    }
    let traced = with.iter().map(|program| (program, "traced"));
    let plain = without.iter().map(|program| (program, "plain"));
    let recent = kernel::has(Feature::RecentVerifier).expect("a version");
    let mut wrong = String::new();
    for (program, tracing) in plain.chain(traced) {
        // Kernels before 5.16 do not say.
        let Some(now) = program.verified.filter(|now| *now != 0) else { continue };
        let (name, (record, ceiling)) = (program.name, recorded(program.name, tracing));
        assert!(record <= ceiling && ceiling < LIMIT, "{name} {tracing}: no such ceiling");
        // The record is of a recent one. An old one needs room below the limit all the same.
        let ceiling = if recent { ceiling } else { ceiling.max(LIMIT / 10 * 7) };
        if now > ceiling {
            let _ = writeln!(wrong, "{name} {tracing}: {now} verified, over its ceiling {ceiling}");
        }
        // Another kernel or compiler comes to another number: worth a word, no failure.
        if now != record {
            println!("{name} {tracing}: {now} verified, {record} recorded");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Machine code stays below its ceilings, and is as recorded.
#[test]
fn how_long_their_machine_code_is() {
    let mut wrong = String::new();
    for Program { name, jited, .. } in programs(false) {
        let (record, ceiling) = recorded(name, "jited");
        if jited > ceiling {
            let _ = writeln!(wrong, "{name}: {jited} bytes, over its ceiling {ceiling}");
        }
        // Another kernel, compiler or processor comes to another number.
        if jited != record {
            println!("{name}: {jited} bytes, {record} recorded");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The verifier gives up there (`BPF_COMPLEXITY_LIMIT_INSNS`).
const LIMIT: u32 = 1_000_000;

/// Instructions at the last record, and how many there may be.
fn recorded(name: &str, tracing: &str) -> (u32, u32) {
    let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("{word} is no number"));
    let lines = include_str!("verified-instructions.txt").lines();
    let found = lines.filter(|line| !line.starts_with('#')).find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [a, b, record, ceiling] if (a, b) == (name, tracing) => {
                Some((number(record), number(ceiling)))
            }
            _ => None,
        }
    });
    found.unwrap_or_else(|| panic!("no line for {name} {tracing}"))
}
