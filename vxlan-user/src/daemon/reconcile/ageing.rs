//! Removes learned MAC addresses from the FDB whose network's ageing time has passed since the last
//! frame, and keeps the programs' clock going. Runs beside the event loop, which may wait for the
//! kernel.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::task::AbortHandle;
use vxlan_common::table::{FdbEntry, FdbKey};

use crate::{
    daemon::running::ActivePlane,
    dataplane::{Clock, DataPlaneError, Fdb, Pins, uptime},
};

/// How often the clock is set. The programs record in whole seconds when a frame has arrived.
const TICK: Duration = Duration::from_secs(1);

/// The limits of learned MAC addresses.
#[derive(Clone, Debug)]
struct Limits {
    /// The ageing time in seconds, by index of the overlay interface.
    max_age: HashMap<u32, u32>,
    /// The maximum number of learned addresses, by member.
    max_addresses: Vec<u64>,
}

/// The result of a pass over all entries of the FDB.
#[derive(Debug, PartialEq, Eq)]
struct Sweep {
    /// The entries to remove.
    expired: Vec<FdbKey>,
    /// The number of learned entries that stay, by member.
    kept: Vec<u64>,
}

/// The tasks of ageing. Dropping this ends them.
pub(in crate::daemon) struct Ageing([AbortHandle; 2]);

impl Drop for Ageing {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// The maps of a generation that ageing works on.
pub(in crate::daemon) struct AgeingMaps {
    clock: Clock,
    fdb: Fdb,
}

/// Opens the maps of a generation.
pub(in crate::daemon) fn open(pins: &Pins, generation: u64) -> Result<AgeingMaps, DataPlaneError> {
    Ok(AgeingMaps { clock: Clock::open(pins, generation)?, fdb: Fdb::open(pins, generation)? })
}

/// Starts the tasks of ageing, for the active generation.
pub(in crate::daemon) fn start(maps: AgeingMaps, pins: &Pins, running: &ActivePlane) -> Ageing {
    let generation = running.generation();
    let AgeingMaps { mut clock, mut fdb } = maps;
    let limits = Limits::new(running);
    let period = limits.period();
    let clock = tokio::spawn(async move {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            if let Err(error) = clock.set(uptime()) {
                tracing::warn!("cannot set the clock that MAC addresses age by: {error}");
            }
        }
    });
    let pins = pins.clone();
    let sweeps = tokio::spawn(async move {
        let mut pause = period;
        loop {
            tokio::time::sleep(pause).await;
            let began = Instant::now();
            let limits = limits.clone();
            // Thousands of system calls: off the threads that everything else runs on.
            let task = tokio::task::spawn_blocking(move || {
                let removed = sweep(&mut fdb, &limits);
                (fdb, removed)
            });
            match task.await {
                Ok((returned, removed)) => {
                    fdb = returned;
                    match removed {
                        Ok(0) => {}
                        Ok(removed) => tracing::debug!("{removed} MAC addresses have aged out"),
                        Err(error) => {
                            tracing::warn!("cannot remove aged MAC addresses this time: {error}");
                        }
                    }
                }
                Err(error) => {
                    tracing::error!("the sweep for aged MAC addresses failed: {error}");
                    match Fdb::open(&pins, generation) {
                        Ok(reopened) => fdb = reopened,
                        Err(error) => {
                            return tracing::error!("MAC addresses no longer age: {error}");
                        }
                    }
                }
            }
            // A large table shall not keep a CPU busy.
            pause = period.max(began.elapsed() * 9);
        }
    });
    Ageing([clock.abort_handle(), sweeps.abort_handle()])
}

/// Removes expired entries, and brings the programs' count of learned addresses in line with the
/// table. That also repairs what CPUs that learned at the same time have miscounted. Returns the
/// number of removed entries.
fn sweep(fdb: &mut Fdb, limits: &Limits) -> Result<usize, DataPlaneError> {
    let learned = |fdb: &Fdb| -> Result<Vec<u64>, DataPlaneError> {
        (0..limits.max_addresses.len() as u32).map(|member| fdb.learned(member)).collect()
    };
    let before = learned(fdb)?;
    let mut sweep = Sweep { expired: Vec::new(), kept: vec![0; limits.max_addresses.len()] };
    let now = uptime();
    fdb.each(|key, entry| sweep.examine(limits, now, key, entry))?;
    let after = learned(fdb)?;
    for key in &sweep.expired {
        fdb.remove(key)?;
    }
    for (member, kept) in sweep.kept.iter().enumerate() {
        let forgotten = forgotten(before[member], after[member], *kept);
        fdb.set_forgotten(member as u32, forgotten)?;
    }
    Ok(sweep.expired.len())
}

/// Computes the `FORGOTTEN` count of a member: the programs subtract it from their count of learned
/// addresses. `kept` entries of the member were found, while the programs' count went from `before`
/// to `after`. An entry that came or went meanwhile may be among those found or not. The difference
/// then comes out too high rather than too low, so that no member exceeds its maximum, and the next
/// sweep corrects it.
fn forgotten(before: u64, after: u64, kept: u64) -> u64 {
    let decreased = after.wrapping_sub(before).cast_signed() < 0;
    (if decreased { after } else { before }).wrapping_sub(kept)
}

impl Limits {
    fn new(running: &ActivePlane) -> Self {
        let networks = running.state.networks.iter().zip(&running.preflight.config.networks);
        let max_age = networks.map(|(record, network)| (record.ifindex, network.ageing)).collect();
        let members = running.plan.members.iter();
        Self { max_age, max_addresses: members.map(|member| member.max_stations.into()).collect() }
    }

    /// Returns the time between two sweeps. An address stays for at most a tenth of the shortest
    /// ageing time too long, and a miscount for at most a minute.
    fn period(&self) -> Duration {
        let shortest = self.max_age.values().min().copied().unwrap_or(u32::MAX);
        Duration::from_secs(u64::from(shortest / 10).clamp(1, 60))
    }
}

impl Sweep {
    /// Decides whether an entry stays.
    fn examine(&mut self, limits: &Limits, now: u32, key: FdbKey, entry: FdbEntry) {
        if entry.flags & FdbEntry::STATIC != 0 {
            return;
        }
        // An interface that belongs to no network keeps no learned entry.
        let max_age = limits.max_age.get(&key.ifindex).copied().unwrap_or(0);
        let member = entry.member as usize;
        let max = limits.max_addresses.get(member).copied().unwrap_or(0);
        match self.kept.get_mut(member) {
            // CPUs that learn at the same time may exceed the maximum.
            Some(kept) if *kept < max && now.saturating_sub(entry.seen) <= max_age => *kept += 1,
            _ => self.expired.push(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use vxlan_common::addr::Mac;

    use super::*;

    fn limits() -> Limits {
        Limits { max_age: [(7, 300), (8, 10)].into(), max_addresses: vec![2, 9, 9] }
    }

    #[test]
    fn an_entry_expires_by_age_and_by_number() {
        let mut sweep = Sweep { expired: Vec::new(), kept: vec![0; 3] };
        let mut examine = |last: u8, ifindex, member, seen, flags| {
            let key = FdbKey { ifindex, mac: Mac::new([2, 0, 0, 0, 0, last]) };
            sweep.examine(&limits(), 1_000, key, FdbEntry { member, flags, seen });
            key
        };
        examine(1, 7, 0, 1_000, 0);
        examine(2, 7, 0, 700, 0);
        let old = examine(3, 7, 0, 699, 0);
        examine(4, 7, 1, 990, 0);
        // More addresses than the member may have.
        let excess = examine(9, 7, 0, 1_000, 0);
        // In another network, which has an ageing time of its own.
        examine(5, 8, 2, 990, 0);
        let older = examine(6, 8, 2, 989, 0);
        // A declared entry stays, though no frame has arrived from it.
        examine(7, 8, 2, 0, FdbEntry::STATIC);
        // A frame has arrived since the clock was read.
        examine(8, 8, 2, 1_001, 0);
        assert_eq!(sweep, Sweep { expired: vec![old, excess, older], kept: vec![2, 1, 2] });
    }

    #[test]
    fn sweeps_come_ten_times_in_the_shortest_ageing_time() {
        assert_eq!(limits().period(), Duration::from_secs(1));
        let slow = Limits { max_age: [(7, 300), (8, 86_400)].into(), max_addresses: vec![9] };
        assert_eq!(slow.period(), Duration::from_secs(30));
        let slowest = Limits { max_age: [(8, 86_400)].into(), max_addresses: vec![9] };
        assert_eq!(slowest.period(), Duration::from_secs(60));
    }

    /// The programs' count of a member's addresses is then exact, or too high by the addresses that
    /// came and went during the sweep.
    #[test]
    fn the_count_comes_out_right_or_too_high() {
        let counted = |before: u64, after: u64, kept, now: u64| {
            now.wrapping_sub(forgotten(before, after, kept)).cast_signed()
        };
        // Nothing happened meanwhile; increments were lost; no address is kept; all are kept.
        assert_eq!(counted(10, 10, 4, 10), 4);
        assert_eq!(counted(2, 2, 5, 2), 5);
        assert_eq!((counted(10, 10, 0, 10), counted(10, 10, 10, 10)), (0, 10));
        // Two more addresses afterwards; and two more, of which one went to another member.
        assert_eq!((counted(10, 10, 4, 12), counted(10, 10, 4, 11)), (6, 5));
        // One address came: there are 5, of which the new one was found or not.
        assert_eq!((counted(10, 11, 5, 11), counted(10, 11, 4, 11)), (6, 5));
        // One address went: there are 3.
        assert_eq!((counted(10, 9, 4, 9), counted(10, 9, 3, 9)), (4, 3));
        // Both counts wrap.
        assert_eq!(counted(u64::MAX, 1, 3, 1), 5);
        assert_eq!(counted(1, u64::MAX, 3, u64::MAX), 3);
    }
}
