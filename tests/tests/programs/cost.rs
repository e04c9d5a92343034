//! What the programs are made of when they are loaded.

use vxlan_user::dataplane::{DataPlane, LoadOptions, names};

/// Instructions that the kernel keeps of each program, in bytes.
fn sizes(trace_packets: bool) -> [u32; 3] {
    let mut plane =
        DataPlane::load(LoadOptions { trace_packets, slots: 1, ..LoadOptions::default() })
            .expect("loads");
    let decap = plane.xdp().expect("decap").info().expect("its info");
    let deliver = plane.classifier(names::DELIVER).expect("deliver").info().expect("its info");
    let encap = plane.classifier(names::ENCAP).expect("encap").info().expect("its info");
    [decap, deliver, encap].map(|info| info.size_translated().expect("a size"))
}

/// Messages about packets cost nothing when they are off: the verifier knows the level, and removes
/// the code behind it.
#[test]
fn without_tracing_its_code_is_not_in_the_programs() {
    for ((with, without), name) in
        sizes(true).into_iter().zip(sizes(false)).zip(["decap", "deliver", "encap"])
    {
        assert!(without < with, "{name}: {without} bytes without tracing, {with} with it");
    }
}
