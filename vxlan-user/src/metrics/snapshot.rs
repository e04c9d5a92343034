//! All counters at one moment, with names in place of indices. `/metrics` and `vxlan show` are both
//! made from it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use vxlan_common::{counters::Counters, reason::DropReason};

use super::rtt_histogram::RttHistogram;
use crate::{dataplane::MapUsage, observation::ObservedData, probe::Report, state::HostState};

/// Traffic of one member: a peer in a network.
#[derive(Clone, Debug)]
pub struct MemberTraffic {
    pub peer: String,
    pub vni: u32,
    pub counters: Counters,
}

/// One drop counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropCount {
    pub reason: DropReason,
    /// Absent: not attributable to a peer.
    pub peer: Option<Arc<str>>,
    pub vni: Option<u32>,
    pub packets: u64,
}

/// How the latest attempt to apply the configuration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReload {
    pub successful: bool,
    /// When the configuration was last applied.
    pub success_at: SystemTime,
}

/// Everything that is exported.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub state: HostState,
    pub traffic: Vec<MemberTraffic>,
    /// Every counter that can ever move, those at 0 included.
    pub drops: Vec<DropCount>,
    pub usage: Vec<MapUsage>,
    /// Path MTU to each peer, in the order of the peers of the state.
    pub path_mtus: Vec<u32>,
    /// The data packets of each peer, in the order of the peers of the state.
    pub observed: Vec<ObservedData>,
    /// The report on each peer; empty without a prober.
    pub reports: Vec<Arc<Report>>,
    pub round_trips: Option<RttHistogram>,
    /// How long the longest recent turn of the event loop took. Absent: there is no daemon.
    pub longest_turn: Option<Duration>,
    /// Lines of the log that were lost. Absent: there is no daemon.
    pub lost_lines: Option<u64>,
    /// How the latest reload of the daemon ended. Absent: there is no daemon.
    pub reload: Option<LastReload>,
    /// When the snapshot was taken, by the wall clock.
    pub at: SystemTime,
}

impl Snapshot {
    /// Returns the traffic of each peer, by its name.
    pub fn by_peer(&self) -> HashMap<&str, Vec<&MemberTraffic>> {
        let mut peers: HashMap<&str, Vec<&MemberTraffic>> = HashMap::new();
        for member in &self.traffic {
            peers.entry(&member.peer).or_default().push(member);
        }
        peers
    }

    /// Returns the Unix time, in whole seconds, of the moment `seconds` before the snapshot.
    pub fn before(&self, seconds: f64) -> i64 {
        let ago = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let at = self.at.checked_sub(ago).unwrap_or(UNIX_EPOCH);
        at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs_f64().round() as i64)
    }
}
