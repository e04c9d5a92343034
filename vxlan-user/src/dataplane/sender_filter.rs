//! Writing the filter of outer addresses that nobody has, and of VNIs that no network has. A bit is
//! set before there is an entry that it stands for, and stays when that entry goes: a bit too many
//! costs a stranger's packet look-ups, and nobody else anything.

use aya::Ebpf;
use vxlan_common::table::{SENDER_FILTER_LINES, SenderFilterBit, SenderFilterLine};

use super::{error::DataPlaneError, tables::with_array};
use crate::plan::{Change, Plan};

const SENDER_FILTER: &str = "SENDER_FILTER";

/// Writes the filter of all senders and networks.
pub(super) fn fill(bpf: &mut Ebpf, plan: &Plan) -> Result<(), DataPlaneError> {
    let senders = &plan.senders;
    let mut lines = [SenderFilterLine::EMPTY; SENDER_FILTER_LINES as usize];
    let sources = senders.sources.iter().map(|(from, _)| from.address);
    let mappings = senders.mappings.iter().map(|(mapping, _)| mapping.from.address);
    let peers = senders.peer_addresses.iter().map(|(of, _)| of.address);
    let addresses = sources.chain(mappings).chain(peers);
    let addresses = addresses.map(|address| SenderFilterBit::of_address(&address));
    let vnis = plan.networks.iter().map(|network| SenderFilterBit::of_vni(network.vni));
    for bit in addresses.chain(vnis) {
        lines[bit.line() as usize].add(bit);
    }
    with_array::<SenderFilterLine, _>(bpf, SENDER_FILTER, |filter| {
        let mut each = (0..).zip(&lines);
        each.try_for_each(|(at, line)| filter.set(at, line, 0))
    })
}

/// Adds the addresses that entries are to be written for.
pub(super) fn add(bpf: &mut Ebpf, changes: &[Change]) -> Result<(), DataPlaneError> {
    let mut addresses = changes.iter().filter_map(|change| match change {
        Change::SetSource(from, _) => Some(from.address),
        Change::SetMapping(mapping, _) => Some(mapping.from.address),
        Change::RemoveSource(_) | Change::RemoveMapping(_) => None,
    });
    with_array::<SenderFilterLine, _>(bpf, SENDER_FILTER, |filter| {
        addresses.try_for_each(|address| {
            let bit = SenderFilterBit::of_address(&address);
            let mut line = filter.get(&bit.line(), 0)?;
            line.add(bit);
            filter.set(bit.line(), line, 0)
        })
    })
}
