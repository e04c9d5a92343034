//! A report for the tests of this directory.

use std::path::Path;

use vxlan_tests::bench::{Arm, Bench, Better, Machine, Measured, Measurement, Report, Role, Round};

/// One benchmark of 13 rounds, in which this product is so many times as fast as the kernel; its
/// first sample is void.
pub(super) fn report(ratio: f64) -> Report {
    with_spread(ratio, 0.0)
}

/// The ratio varies from round to round by as much to both sides.
pub(super) fn with_spread(ratio: f64, spread: f64) -> Report {
    let arms = vec![
        Arm::new("native", Role::Ours),
        Arm::new("kernel", Role::Kernel),
        Arm::new("none", Role::Ceiling),
    ];
    let rounds = (0..13).map(|number| {
        let ratio = ratio + spread * (f64::from(number) - 6.0) / 6.0;
        let values = [("native", 100.0 / ratio), ("kernel", 100.0), ("none", 50.0)];
        let samples = values.map(|(arm, value)| vxlan_tests::bench::Sample {
            arm: arm.into(),
            value,
            void: (number == 6 && arm == "native").then(|| "other work".into()),
            retaken: u32::from(number == 0 && arm == "none"),
        });
        Round { samples: samples.into() }
    });
    let bench = Bench {
        name: "receive/sink/64B".into(),
        condition: "UDP of 64 bytes, one flow.".into(),
        unit: "ns/packet".into(),
        better: Better::Less,
        baseline: "kernel".into(),
        arms,
    };
    let benches = vec![Measured { bench, rounds: rounds.collect() }];
    let machine = Machine::read(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("this machine");
    Report::new(machine, Measurement { seed: 1, quick: false, benches })
}
