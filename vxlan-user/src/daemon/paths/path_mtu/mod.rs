//! The path MTUs that routers report, and for how long a report counts. Pure: points in time in,
//! numbers out.

mod packet_too_big;
mod quotation;

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

pub(in crate::daemon) use self::packet_too_big::{Message, PacketTooBig};
use crate::state::NarrowPath;

/// After this time a path may have become wider again (RFC 1191, section 6.3; RFC 8201, section 4).
pub(in crate::daemon) const LIFETIME: Duration = Duration::from_secs(600);

/// Most messages in a second that are compared with the paths of all peers: anyone can send them.
const MAX_MESSAGES: u32 = 500;

/// How many messages are still compared with all paths, in the second that began last.
#[derive(Debug)]
pub(in crate::daemon) struct MessageBudget {
    began: Instant,
    left: u32,
}

impl MessageBudget {
    pub(in crate::daemon) fn new(now: Instant) -> Self {
        Self { began: now, left: MAX_MESSAGES }
    }

    /// Returns whether one more message may be compared.
    pub(in crate::daemon) fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.began) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// The longest time between two comparisons of all paths with the record, in which nothing has
/// changed but the time.
const COMPARISON: Duration = Duration::from_secs(60);

/// When all paths are to be compared with the record: a look at every peer.
#[derive(Debug)]
pub(in crate::daemon) struct ComparisonDue {
    /// The MTU of a path has changed since.
    changed: bool,
    next: Instant,
}

impl ComparisonDue {
    /// The first comparison is due.
    pub(in crate::daemon) fn new(now: Instant) -> Self {
        Self { changed: true, next: now }
    }

    /// Has a comparison follow, as the MTU of a path has changed.
    pub(in crate::daemon) fn request(&mut self) {
        self.changed = true;
    }

    /// Returns whether a comparison is due, which the caller then makes.
    pub(in crate::daemon) fn take(&mut self, now: Instant) -> bool {
        let due = std::mem::take(&mut self.changed) || now >= self.next;
        if due {
            self.next = now + COMPARISON;
        }
        due
    }
}

/// The latest report on a path, and until when it counts.
#[derive(Debug)]
struct ReportedMtu {
    mtu: u32,
    until: Instant,
}

/// The path MTUs that routers have reported, by endpoint.
#[derive(Debug)]
pub(in crate::daemon) struct PathMtus {
    lifetime: Duration,
    reported: HashMap<SocketAddr, ReportedMtu>,
}

impl PathMtus {
    pub(in crate::daemon) fn new(lifetime: Duration) -> Self {
        Self { lifetime, reported: HashMap::new() }
    }

    /// Begins with what a previous run has recorded, at the point in time `now`, `uptime` seconds
    /// after boot.
    pub(in crate::daemon) fn from_record(
        lifetime: Duration,
        recorded: &[NarrowPath],
        now: Instant,
        uptime: u32,
    ) -> Self {
        let reported = recorded.iter().filter(|path| path.until > uptime).map(|path| {
            // At most the lifetime, whatever the clock was then.
            let remaining = Duration::from_secs((path.until - uptime).into()).min(lifetime);
            (path.endpoint, ReportedMtu { mtu: path.mtu, until: now + remaining })
        });
        Self { lifetime, reported: reported.collect() }
    }

    /// Returns for the next start which of these paths are narrower than link and route allow. Each
    /// path is given as its endpoint, the size that passes, and the size that link and route allow.
    /// What only probes have found counts as if it was reported now.
    pub(in crate::daemon) fn record(
        &self,
        paths: impl Iterator<Item = (SocketAddr, u32, u32)>,
        now: Instant,
        uptime: u32,
    ) -> Vec<NarrowPath> {
        let narrow = paths.filter(|(_, mtu, route_mtu)| mtu < route_mtu);
        let narrow = narrow.map(|(endpoint, mtu, _)| {
            let until = self.reported.get(&endpoint).map(|reported| reported.until);
            let remaining =
                until.map_or(self.lifetime, |until| until.saturating_duration_since(now));
            NarrowPath { endpoint, mtu, until: uptime + remaining.as_secs() as u32 }
        });
        narrow.collect()
    }

    /// Stores a report, if its MTU is below the MTU that is `known`. Returns whether that is so.
    pub(in crate::daemon) fn lower(
        &mut self,
        report: &PacketTooBig,
        known: u32,
        now: Instant,
    ) -> bool {
        let lower = report.mtu < known;
        if lower {
            let until = now + self.lifetime;
            self.reported.insert(report.endpoint, ReportedMtu { mtu: report.mtu, until });
        }
        lower
    }

    /// Drops the report on the path to an endpoint.
    pub(in crate::daemon) fn remove(&mut self, endpoint: SocketAddr) {
        self.reported.remove(&endpoint);
    }

    /// Drops the reports that are too old, and returns their endpoints.
    pub(in crate::daemon) fn expire(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.reported
            .extract_if(|_, reported| reported.until <= now)
            .map(|(endpoint, _)| endpoint)
            .collect()
    }

    /// Returns the MTU of the path to an endpoint, where link and route allow `mtu`.
    pub(in crate::daemon) fn limit(&self, endpoint: SocketAddr, mtu: u32) -> u32 {
        self.reported.get(&endpoint).map_or(mtu, |reported| reported.mtu.min(mtu))
    }
}

/// Returns whether `found` differs enough from what is on record to be written to disk.
pub(in crate::daemon) fn differ(found: &[NarrowPath], recorded: &[NarrowPath]) -> bool {
    let same = |(found, recorded): (&NarrowPath, &NarrowPath)| {
        let shift = found.until.abs_diff(recorded.until);
        (found.endpoint, found.mtu) == (recorded.endpoint, recorded.mtu)
            && u64::from(shift) < LIFETIME.as_secs() / 2
    };
    found.len() != recorded.len() || !found.iter().zip(recorded).all(same)
}

#[cfg(test)]
mod tests;
