//! The programs' memories of decisions: their size, and the epoch that every change of the tables
//! behind a decision raises. The entries are the programs' own.

use aya::{Ebpf, util::nr_cpus};
use vxlan_common::table::TxMemoEntry;

use super::{error::DataPlaneError, tables::with_array};

/// Entries of each CPU at least: 1.25 MiB for both memories.
const MIN_ENTRIES: u32 = 4_096;
/// Entries of each CPU at most.
const MAX_ENTRIES: u32 = 65_536;
/// Bytes of all CPUs' entries at most, in the larger of the two, that of `encap`.
const MAX_BYTES: u64 = 64 << 20;

/// The size of the maps `RX_MEMO` and `TX_MEMO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoSize {
    /// Entries of each CPU, a power of two.
    pub(super) per_cpu: u32,
    cpus: u32,
}

impl MemoSize {
    /// Computes the size for so many members, of which each may have some addresses in use at once.
    pub(super) fn for_members(members: u32) -> Self {
        // The kernel numbers the CPUs that can ever be there from 0 on. Without the number the
        // programs find no entry on some of them, and remember nothing there.
        Self::on_cpus(nr_cpus().map_or(1, |cpus| cpus as u32).max(1), members)
    }

    fn on_cpus(cpus: u32, members: u32) -> Self {
        let wanted = members.saturating_mul(4).clamp(MIN_ENTRIES, MAX_ENTRIES);
        let room = MAX_BYTES / size_of::<TxMemoEntry>() as u64 / u64::from(cpus);
        let room = u32::try_from(room).unwrap_or(MAX_ENTRIES).max(1);
        let per_cpu = wanted.next_power_of_two().min(1 << room.ilog2());
        Self { per_cpu, cpus }
    }

    /// So many entries for each CPU, a power of two, whatever the members.
    pub(super) fn of_entries(per_cpu: u32) -> Self {
        Self { per_cpu, ..Self::for_members(0) }
    }

    pub(super) fn total(self) -> u32 {
        self.per_cpu.saturating_mul(self.cpus)
    }
}

/// Changes tables that decisions depend on, while the programs run: what they remember of
/// before is worth nothing afterwards, and while the change lasts they remember nothing.
pub(super) fn changing<T>(
    bpf: &mut Ebpf,
    change: impl FnOnce(&mut Ebpf) -> Result<T, DataPlaneError>,
) -> Result<T, DataPlaneError> {
    raise(bpf)?;
    let changed = change(bpf);
    // Also after an error: part of the change may have been made.
    raise(bpf)?;
    changed
}

fn raise(bpf: &mut Ebpf) -> Result<(), DataPlaneError> {
    with_array::<u64, _>(bpf, "EPOCH", |epoch| epoch.set(0, epoch.get(&0, 0)?.wrapping_add(1), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_follow_members_and_cpus() {
        for (cpus, members, per_cpu) in [
            (2, 0, 4_096),
            (2, 1_000, 4_096),
            (2, 1_025, 8_192),
            (2, 10_000, 65_536),
            (2, u32::MAX, 65_536),
            (64, 10_000, 4_096),
            (96, 10_000, 2_048),
            (4_096, 10_000, 64),
        ] {
            let size = MemoSize::on_cpus(cpus, members);
            assert_eq!((size.per_cpu, size.total()), (per_cpu, per_cpu * cpus), "{cpus} {members}");
        }
    }
}
