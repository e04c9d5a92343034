//! A gibibyte with GSO on between ours and a kernel vxlan device, byte for byte.

use anyhow::{Result, ensure};
use vxlan_tests::{
    Wire,
    two_hosts::{Family, Side},
};

use crate::{ledger::Merging, world::World};

const GIBIBYTE: u64 = 1 << 30;

fn both_ways(wire: Wire) -> Result<()> {
    let world = World::new(wire, Family::V4)?;
    let features = world.pair.a.run("ethtool -k vxlan43")?;
    for offload in ["tcp-segmentation-offload: on", "generic-segmentation-offload: on"] {
        ensure!(features.contains(offload), "not {offload}: {features}");
    }
    for from in Side::BOTH {
        let before = world.rest()?;
        world.transfer(from, GIBIBYTE)?;
        let ours = world.settle(&before, &[], Merging::TCP4)?;
        println!("{ours:?}");
    }
    Ok(())
}

#[test]
fn over_a_plain_veth_pair() -> Result<()> {
    both_ways(Wire::Default)
}

#[test]
fn under_the_conditions_of_a_wire() -> Result<()> {
    both_ways(Wire::Real)
}
