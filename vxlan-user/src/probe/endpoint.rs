//! The endpoint of a peer: declared, or learned from its probes and then moved at most once a
//! second.

use std::{net::SocketAddr, time::Duration};

/// Shortest time between two moves.
pub(super) const MIN_MOVE_INTERVAL: Duration = Duration::from_secs(1);

/// The endpoint of one peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    current: Option<SocketAddr>,
    learned: bool,
    moved_at: Option<Duration>,
    /// The endpoint before the latest move.
    previous: Option<SocketAddr>,
    /// The endpoint of the latest probe, which came too early for a move.
    pending: Option<SocketAddr>,
    changes: u64,
}

/// The previous and the new endpoint.
pub(super) type Move = (Option<SocketAddr>, SocketAddr);

impl Endpoint {
    pub(super) fn new(current: Option<SocketAddr>, learned: bool) -> Self {
        Self { current, learned, moved_at: None, previous: None, pending: None, changes: 0 }
    }

    pub(super) fn get(&self) -> Option<SocketAddr> {
        self.current
    }

    pub(super) fn is_learned(&self) -> bool {
        self.learned
    }

    /// Returns how often the endpoint was moved, without the first time.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Sets a declared endpoint. Does nothing to a learned one.
    pub(super) fn declare(&mut self, endpoint: Option<SocketAddr>) {
        if !self.learned {
            self.current = endpoint;
        }
    }

    /// Sets the learned endpoint that is in use. It differs from the one of the latest move if that
    /// was refused, since another peer has the endpoint, or if an earlier refused one was granted.
    pub(super) fn settle(&mut self, at: Option<SocketAddr>) {
        if !self.learned || self.current == at {
            return;
        }
        if at == self.previous {
            self.changes = self.changes.saturating_sub(u64::from(at.is_some()));
        } else {
            self.changes += u64::from(self.current.is_some() && at.is_some());
        }
        self.current = at;
    }

    /// Records the source of a fresh probe, the newest so far, and returns the move that follows
    /// from it.
    pub(super) fn observe(&mut self, at: SocketAddr, now: Duration) -> Option<Move> {
        if !self.learned {
            return None;
        }
        self.pending = (self.current != Some(at)).then_some(at);
        self.take_due_move(now)
    }

    /// Returns the pending move, if it is due.
    pub(super) fn take_due_move(&mut self, now: Duration) -> Option<Move> {
        if self.next_move().is_none_or(|due| due > now) {
            return None;
        }
        let to = self.pending.take()?;
        let from = self.current.replace(to);
        self.previous = from;
        self.moved_at = Some(now);
        self.changes += u64::from(from.is_some());
        Some((from, to))
    }

    /// Returns when the pending move is due.
    pub(super) fn next_move(&self) -> Option<Duration> {
        self.pending?;
        Some(self.moved_at.map_or(Duration::ZERO, |moved| moved + MIN_MOVE_INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, 20], port))
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_moves_once_a_second_to_the_newest() {
        let mut endpoint = Endpoint::new(None, true);
        assert_eq!(endpoint.observe(at(1), ms(5000)), Some((None, at(1))));
        assert_eq!(endpoint.observe(at(2), ms(5100)), None);
        assert_eq!(endpoint.observe(at(3), ms(5200)), None);
        assert_eq!((endpoint.get(), endpoint.next_move()), (Some(at(1)), Some(ms(6000))));
        assert_eq!(endpoint.take_due_move(ms(5999)), None);
        assert_eq!(endpoint.take_due_move(ms(6000)), Some((Some(at(1)), at(3))));
        assert_eq!(
            (endpoint.take_due_move(ms(9000)), endpoint.next_move(), endpoint.changes()),
            (None, None, 1)
        );
        // Back where it was before its time has come: nothing moves.
        assert_eq!(endpoint.observe(at(4), ms(6100)), None);
        assert_eq!(endpoint.observe(at(3), ms(6200)), None);
        assert_eq!(endpoint.take_due_move(ms(9000)), None);
    }

    #[test]
    fn what_is_declared_stays() {
        let mut endpoint = Endpoint::new(Some(at(1)), false);
        assert_eq!(endpoint.observe(at(2), ms(5000)), None);
        assert_eq!(endpoint.get(), Some(at(1)));
        endpoint.declare(Some(at(7)));
        assert_eq!(endpoint.get(), Some(at(7)));
    }
}
