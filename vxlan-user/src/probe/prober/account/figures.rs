//! What is read of the account: for the verdict, and for the report.

use std::time::Duration;

use super::{Account, Whose};
use crate::{
    nat::{Probed, Unsolicited},
    probe::{Counts, Refused, Rtt},
};

impl Account {
    /// For the verdict.
    pub(in crate::probe::prober) fn probed(
        &self,
        now: Duration,
        window: Duration,
        varies: bool,
    ) -> Probed {
        let ago = |at: Duration| now.saturating_sub(at);
        let lately = |whose| {
            let is = |heard: &&(Duration, Whose)| heard.1 == whose && ago(heard.0) < window;
            self.heard.iter().filter(is).count() as u64
        };
        let (requests, unsolicited) = self.near.counts();
        Probed {
            ours: self.ours,
            theirs: self.theirs,
            sent: self.requests_sent,
            answered: self.answered,
            unanswered: self.requests_sent - self.answered_number,
            silent: self.answered_at.or(self.first_sent).map_or(Duration::ZERO, ago),
            heard: self.heard_at.map(ago),
            proven: lately(Whose::Proven),
            unproven: lately(Whose::Unproven),
            reported: self.reported,
            hearsay: self.hearsay,
            received: requests,
            missed: self.missed(),
            unsolicited: Unsolicited {
                sent: self.far.len() as u64,
                answered: self.far.iter().filter(|answered| **answered).count() as u64,
                received: unsolicited,
            },
            varies,
            peer_varies: self.peer_varies,
        }
    }

    pub(in crate::probe::prober) fn rtt(&self) -> Option<Rtt> {
        self.trips.rtt()
    }

    /// Of our requests, and of the peer's.
    pub(in crate::probe::prober) fn losses(&self) -> [Option<f64>; 2] {
        [self.tx.loss(), self.rx.loss()]
    }

    /// From the peer to us, as the peer has found it.
    pub(in crate::probe::prober) fn peer_path_mtu(&self) -> Option<u32> {
        (self.peer_path_mtu != 0).then_some(self.peer_path_mtu)
    }

    pub(in crate::probe::prober) fn counts(&self) -> Counts {
        let refused = Refused::ALL.iter().zip(self.refused);
        Counts {
            sent: self.requests_sent,
            answered: self.answered,
            lost: self.lost,
            received: self.received,
            refused: refused.map(|(why, count)| (why.label().to_owned(), count)).collect(),
        }
    }
}
