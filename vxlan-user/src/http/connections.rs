//! The open connections of one server: at most so many, and which of them makes room for another.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{task::AbortHandle, time::Instant};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first request has not come in whole.
    Request,
    /// A response was sent, and the next request may come.
    Idle,
    /// A response is made or sent.
    Response,
}

struct Entry {
    phase: Phase,
    /// When the phase has begun.
    since: Instant,
    /// `None`: the task was not started yet.
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct Table {
    next_id: u64,
    open: BTreeMap<u64, Entry>,
}

impl Table {
    /// Ends the connection that has waited longest for a request. `false`: all are at a response.
    fn evict(&mut self) -> bool {
        let waiting = self.open.iter().filter(|(_, entry)| entry.phase != Phase::Response);
        let Some(id) = waiting.min_by_key(|(_, entry)| entry.since).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(task) = self.open.remove(&id).and_then(|entry| entry.task) {
            task.abort();
        }
        true
    }
}

/// The connections of a server. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Table>>);

impl Connections {
    /// Adds a connection. Where there are `limit` already, one that waits for a request is ended.
    /// `None`: all of them are at a response.
    pub(super) fn open(&self, limit: usize) -> Option<Connection> {
        let mut table = self.table();
        if table.open.len() >= limit && !table.evict() {
            return None;
        }
        let id = table.next_id;
        table.next_id += 1;
        let entry = Entry { phase: Phase::Request, since: Instant::now(), task: None };
        table.open.insert(id, entry);
        Some(Connection { id, all: self.clone() })
    }

    /// Ends the connection that has waited longest for a request, so that its file descriptor is
    /// free.
    pub(super) fn evict(&self) -> bool {
        self.table().evict()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection. Dropping it makes room for another.
pub(super) struct Connection {
    id: u64,
    all: Connections,
}

impl Connection {
    /// Sets the task that serves the connection.
    pub(super) fn set_task(connections: &Connections, id: u64, task: AbortHandle) {
        if let Some(entry) = connections.table().open.get_mut(&id) {
            entry.task = Some(task);
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Returns what the connection is doing, and since when.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let table = self.all.table();
        // An evicted connection has nothing to wait for.
        let entry = table.open.get(&self.id);
        entry.map_or((Phase::Idle, Instant::now()), |entry| (entry.phase, entry.since))
    }

    /// Records that a request has come in. Until the returned guard is dropped, the connection is
    /// at the response.
    pub(super) fn begin_response(&self) -> Response {
        set_phase(&self.all, self.id, Phase::Response);
        Response { id: self.id, all: self.all.clone() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.table().open.remove(&self.id);
    }
}

/// A response that is being made or sent.
pub(super) struct Response {
    id: u64,
    all: Connections,
}

impl Drop for Response {
    fn drop(&mut self) {
        set_phase(&self.all, self.id, Phase::Idle);
    }
}

fn set_phase(all: &Connections, id: u64, phase: Phase) {
    if let Some(entry) = all.table().open.get_mut(&id) {
        (entry.phase, entry.since) = (phase, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waited_longest_makes_room() {
        let all = Connections::default();
        let busy = all.open(3).expect("room");
        let _response = busy.begin_response();
        let quiet = all.open(3).expect("room");
        let answered = all.open(3).expect("room");
        drop(answered.begin_response());

        let fourth = all.open(3).expect("in place of the quiet one");
        let open = |all: &Connections| all.table().open.keys().copied().collect::<Vec<_>>();
        assert_eq!(open(&all), [busy.id(), answered.id(), fourth.id()]);
        drop(quiet);
        assert_eq!(open(&all).len(), 3, "its end is no second room");
    }

    #[test]
    fn a_response_is_never_cut_off_for_another_connection() {
        let all = Connections::default();
        let (one, two) = (all.open(2).expect("room"), all.open(2).expect("room"));
        let (response, _other) = (one.begin_response(), two.begin_response());
        assert!(all.open(2).is_none());
        assert!(!all.evict());
        drop(response);
        assert_eq!(one.phase().0, Phase::Idle);
        assert!(all.open(2).is_some());
    }
}
