//! Has stations forgotten that were not heard for as long as their network says, and keeps the
//! programs' clock going. Runs beside the event loop, which may wait for the kernel.

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

/// How often the clock is set; stations are heard in whole seconds.
const TICK: Duration = Duration::from_secs(1);

/// For how long stations stay, in seconds.
#[derive(Clone, Debug)]
struct Rules {
    /// By overlay interface.
    by_ifindex: HashMap<u32, u32>,
    /// By member: how many stations it may have.
    shares: Vec<u64>,
}

/// What there is to do after a look at all stations.
#[derive(Debug, PartialEq, Eq)]
struct Sweep {
    old: Vec<FdbKey>,
    /// How many learned ones stay, by member.
    left: Vec<u64>,
}

/// The tasks, which go on until this is dropped.
pub(in crate::daemon) struct Ageing([AbortHandle; 2]);

impl Drop for Ageing {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Begins, for the generation at work.
pub(in crate::daemon) fn start(
    pins: &Pins,
    running: &ActivePlane,
) -> Result<Ageing, DataPlaneError> {
    let generation = running.generation();
    let mut clock = Clock::open(pins, generation)?;
    let mut stations = Fdb::open(pins, generation)?;
    let ageing = Rules::of(running);
    let period = ageing.period();
    let clock = tokio::spawn(async move {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            if let Err(error) = clock.set(uptime()) {
                tracing::warn!("the clock that stations age by stands still: {error}");
            }
        }
    });
    let pins = pins.clone();
    let sweeps = tokio::spawn(async move {
        let mut pause = period;
        loop {
            tokio::time::sleep(pause).await;
            let began = Instant::now();
            let ageing = ageing.clone();
            // Thousands of system calls: off the threads that everything else runs on.
            let sweep = tokio::task::spawn_blocking(move || {
                let swept = sweep(&mut stations, &ageing);
                (stations, swept)
            });
            match sweep.await {
                Ok((back, swept)) => {
                    stations = back;
                    match swept {
                        Ok(0) => {}
                        Ok(old) => tracing::debug!("{old} stations were not heard any more"),
                        Err(error) => tracing::warn!("stations did not age this time: {error}"),
                    }
                }
                Err(error) => {
                    tracing::error!("looking for old stations failed: {error}");
                    match Fdb::open(&pins, generation) {
                        Ok(again) => stations = again,
                        Err(error) => {
                            return tracing::error!("stations do not age any more: {error}");
                        }
                    }
                }
            }
            // A large table shall not keep a CPU busy.
            pause = period.max(began.elapsed() * 9);
        }
    });
    Ok(Ageing([clock.abort_handle(), sweeps.abort_handle()]))
}

/// Takes out what is too old, and brings the programs' count of what is left in line with the
/// table. That also repairs what CPUs that learned at the same time have miscounted.
fn sweep(stations: &mut Fdb, ageing: &Rules) -> Result<usize, DataPlaneError> {
    let learned = |stations: &Fdb| -> Result<Vec<u64>, DataPlaneError> {
        (0..ageing.shares.len() as u32).map(|member| stations.learned(member)).collect()
    };
    let before = learned(stations)?;
    let mut sweep = Sweep { old: Vec::new(), left: vec![0; ageing.shares.len()] };
    let now = uptime();
    stations.each(|key, entry| sweep.note(ageing, now, key, entry))?;
    let after = learned(stations)?;
    for key in &sweep.old {
        stations.remove(key)?;
    }
    for (member, left) in sweep.left.iter().enumerate() {
        let forgotten = forgotten(before[member], after[member], *left);
        stations.set_forgotten(member as u32, forgotten)?;
    }
    Ok(sweep.old.len())
}

/// What to write for a member of which `left` stations were found while the programs' count went
/// from `before` to `after`. One that came or went meanwhile may be among those found or not: the
/// count then comes out too high rather than too low, so that no member gets more than its share,
/// and the next sweep puts it right.
fn forgotten(before: u64, after: u64, left: u64) -> u64 {
    let went = after.wrapping_sub(before).cast_signed() < 0;
    (if went { after } else { before }).wrapping_sub(left)
}

impl Rules {
    fn of(running: &ActivePlane) -> Self {
        let networks = running.state.networks.iter().zip(&running.preflight.config.networks);
        let by_ifindex = networks.map(|(made, network)| (made.ifindex, network.ageing)).collect();
        let shares = running.plan.members.iter().map(|member| member.max_stations.into()).collect();
        Self { by_ifindex, shares }
    }

    /// A station goes after its time and at most a tenth of the shortest one; and what the programs
    /// miscounted is put right within a minute.
    fn period(&self) -> Duration {
        let shortest = self.by_ifindex.values().min().copied().unwrap_or(u32::MAX);
        Duration::from_secs(u64::from(shortest / 10).clamp(1, 60))
    }
}

impl Sweep {
    fn note(&mut self, ageing: &Rules, now: u32, key: FdbKey, entry: FdbEntry) {
        if entry.flags & FdbEntry::STATIC != 0 {
            return;
        }
        let shares = &ageing.shares;
        // Of an interface that is no network's nothing is learned, and nothing is to be kept.
        let ageing = ageing.by_ifindex.get(&key.ifindex).copied().unwrap_or(0);
        let member = entry.member as usize;
        let share = shares.get(member).copied().unwrap_or(0);
        match self.left.get_mut(member) {
            // CPUs that learn at the same time may let in more than the share.
            Some(left) if *left < share && now.saturating_sub(entry.seen) <= ageing => *left += 1,
            _ => self.old.push(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use vxlan_common::addr::Mac;

    use super::*;

    fn ageing() -> Rules {
        Rules { by_ifindex: [(7, 300), (8, 10)].into(), shares: vec![2, 9, 9] }
    }

    #[test]
    fn what_was_not_heard_for_too_long_goes() {
        let mut sweep = Sweep { old: Vec::new(), left: vec![0; 3] };
        let mut note = |last: u8, ifindex, member, seen, flags| {
            let key = FdbKey { ifindex, mac: Mac::new([2, 0, 0, 0, 0, last]) };
            sweep.note(&ageing(), 1_000, key, FdbEntry { member, flags, seen });
            key
        };
        note(1, 7, 0, 1_000, 0);
        note(2, 7, 0, 700, 0);
        let old = note(3, 7, 0, 699, 0);
        note(4, 7, 1, 990, 0);
        // More than the member may have, however that came.
        let excess = note(9, 7, 0, 1_000, 0);
        // Another network's, with a time of its own.
        note(5, 8, 2, 990, 0);
        let older = note(6, 8, 2, 989, 0);
        // Declared: never heard, and stays.
        note(7, 8, 2, 0, FdbEntry::STATIC);
        // Heard since the clock was read.
        note(8, 8, 2, 1_001, 0);
        assert_eq!(sweep, Sweep { old: vec![old, excess, older], left: vec![2, 1, 2] });
    }

    #[test]
    fn a_sweep_comes_ten_times_in_the_shortest_time() {
        assert_eq!(ageing().period(), Duration::from_secs(1));
        let slow = Rules { by_ifindex: [(7, 300), (8, 86_400)].into(), shares: vec![9] };
        assert_eq!(slow.period(), Duration::from_secs(30));
        let slowest = Rules { by_ifindex: [(8, 86_400)].into(), shares: vec![9] };
        assert_eq!(slowest.period(), Duration::from_secs(60));
    }

    /// What the programs then take the member to have is what it has, or more by what came and
    /// went.
    #[test]
    fn the_count_comes_out_right_or_too_high() {
        let counted = |before: u64, after: u64, left, now: u64| {
            now.wrapping_sub(forgotten(before, after, left)).cast_signed()
        };
        // Nothing happened meanwhile; increments were lost; nothing is left; all are.
        assert_eq!(counted(10, 10, 4, 10), 4);
        assert_eq!(counted(2, 2, 5, 2), 5);
        assert_eq!((counted(10, 10, 0, 10), counted(10, 10, 10, 10)), (0, 10));
        // Two more afterwards, and one of them went to another member.
        assert_eq!((counted(10, 10, 4, 12), counted(10, 10, 4, 11)), (6, 5));
        // One came: there are 5, of which it was found or not.
        assert_eq!((counted(10, 11, 5, 11), counted(10, 11, 4, 11)), (6, 5));
        // One went: there are 3.
        assert_eq!((counted(10, 9, 4, 9), counted(10, 9, 3, 9)), (4, 3));
        // Both counts wrap.
        assert_eq!(counted(u64::MAX, 1, 3, 1), 5);
        assert_eq!(counted(1, u64::MAX, 3, u64::MAX), 3);
    }
}
