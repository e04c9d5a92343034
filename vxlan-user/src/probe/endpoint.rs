//! Where a peer is: declared, or learned from its probes, and then moved no more than once a second.

use std::{net::SocketAddr, time::Duration};

/// At most one move in this time.
pub(super) const MOVE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    present: Option<SocketAddr>,
    learned: bool,
    moved: Option<Duration>,
    /// Where it was before the latest move.
    former: Option<SocketAddr>,
    /// Where it was seen last, too early for a move.
    waiting: Option<SocketAddr>,
    changes: u64,
}

/// From where to where.
pub(super) type Move = (Option<SocketAddr>, SocketAddr);

impl Endpoint {
    pub(super) fn new(present: Option<SocketAddr>, learned: bool) -> Self {
        Self { present, learned, moved: None, former: None, waiting: None, changes: 0 }
    }

    pub(super) fn get(&self) -> Option<SocketAddr> {
        self.present
    }

    pub(super) fn is_learned(&self) -> bool {
        self.learned
    }

    /// How often it was moved, without the first time.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Another one, as declared. What is learned is not declared.
    pub(super) fn declare(&mut self, endpoint: Option<SocketAddr>) {
        if !self.learned {
            self.present = endpoint;
        }
    }

    /// Where it is in truth: a move may be refused, as the endpoint is another peer's; or it is given one
    /// that it had claimed before.
    pub(super) fn settle(&mut self, at: Option<SocketAddr>) {
        if !self.learned || self.present == at {
            return;
        }
        if at == self.former {
            self.changes = self.changes.saturating_sub(u64::from(at.is_some()));
        } else {
            self.changes += u64::from(self.present.is_some() && at.is_some());
        }
        self.present = at;
    }

    /// A probe that proves it came from there, the newest so far.
    pub(super) fn seen(&mut self, at: SocketAddr, now: Duration) -> Option<Move> {
        if !self.learned {
            return None;
        }
        self.waiting = (self.present != Some(at)).then_some(at);
        self.due(now)
    }

    /// The move that had to wait, if it need not any more.
    pub(super) fn due(&mut self, now: Duration) -> Option<Move> {
        if self.when().is_none_or(|when| when > now) {
            return None;
        }
        let to = self.waiting.take()?;
        let from = self.present.replace(to);
        self.former = from;
        self.moved = Some(now);
        self.changes += u64::from(from.is_some());
        Some((from, to))
    }

    /// When there is a move to be made.
    pub(super) fn when(&self) -> Option<Duration> {
        self.waiting?;
        Some(self.moved.map_or(Duration::ZERO, |moved| moved + MOVE_PAUSE))
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
        assert_eq!(endpoint.seen(at(1), ms(5000)), Some((None, at(1))));
        assert_eq!(endpoint.seen(at(2), ms(5100)), None);
        assert_eq!(endpoint.seen(at(3), ms(5200)), None);
        assert_eq!((endpoint.get(), endpoint.when()), (Some(at(1)), Some(ms(6000))));
        assert_eq!(endpoint.due(ms(5999)), None);
        assert_eq!(endpoint.due(ms(6000)), Some((Some(at(1)), at(3))));
        assert_eq!((endpoint.due(ms(9000)), endpoint.when(), endpoint.changes()), (None, None, 1));
        // Back where it was before its time has come: nothing moves.
        assert_eq!(endpoint.seen(at(4), ms(6100)), None);
        assert_eq!(endpoint.seen(at(3), ms(6200)), None);
        assert_eq!(endpoint.due(ms(9000)), None);
    }

    #[test]
    fn what_is_declared_stays() {
        let mut endpoint = Endpoint::new(Some(at(1)), false);
        assert_eq!(endpoint.seen(at(2), ms(5000)), None);
        assert_eq!(endpoint.get(), Some(at(1)));
        endpoint.declare(Some(at(7)));
        assert_eq!(endpoint.get(), Some(at(7)));
    }
}
