//! Feeds the path MTU search: sends its sizes, and tells it what became of them. A size that is not
//! answered in time is followed by a probe without padding: if that is answered, the size was lost; if
//! not, that says nothing about sizes.

use std::{collections::VecDeque, time::Duration};

use super::{Action, Prober, Random};
use crate::probe::{PathSearch, Purpose};

/// Sizes whose answer may still come.
const REMEMBERED: usize = 16;

/// The size that is under way.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    size: u16,
    until: Duration,
    /// Sequence of the probe without padding.
    check: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Sizing {
    search: PathSearch,
    under_way: Option<UnderWay>,
    /// Sequence and size of what was sent.
    sent: VecDeque<(u64, u16)>,
    /// What was last said to be found.
    told: Option<u32>,
}

impl Sizing {
    pub(super) fn new(search: PathSearch) -> Self {
        Self { search, under_way: None, sent: VecDeque::new(), told: None }
    }

    /// Another path.
    pub(super) fn begin(&mut self, search: PathSearch) {
        self.search = search;
        self.under_way = None;
        self.sent.clear();
    }

    pub(super) fn search(&self) -> &PathSearch {
        &self.search
    }

    pub(super) fn search_mut(&mut self) -> &mut PathSearch {
        &mut self.search
    }

    /// When there is something to do. A search needs a peer that answers.
    pub(super) fn due(&self, now: Duration, peer_answers: bool) -> Option<Duration> {
        match self.under_way {
            Some(UnderWay { until, .. }) => Some(until),
            None if peer_answers => self.search.due(now),
            None => None,
        }
    }

    /// A request with that sequence was answered.
    pub(super) fn answered(&mut self, sequence: u64, now: Duration) {
        if let Some(size) = self.sent.iter().find(|sent| sent.0 == sequence).map(|sent| sent.1) {
            self.search.answered(size, now);
            self.under_way = self.under_way.filter(|under_way| under_way.size != size);
        }
        if let Some(UnderWay { size, check: Some(check), .. }) = self.under_way
            && check == sequence
        {
            self.search.lost(size, now);
            self.under_way = None;
        }
    }

    pub(super) fn refused(&mut self, size: u16, mtu: Option<u16>, now: Duration) {
        self.search.refused(size, mtu, now);
        let outstanding = self.search.outstanding();
        self.under_way = self.under_way.filter(|under_way| outstanding == Some(under_way.size));
    }
}

impl Prober {
    /// Sends what the search wants.
    pub(super) fn search(&mut self, now: Duration, random: Random<'_>, actions: &mut Vec<Action>) {
        let wait = self.account.timeout();
        match self.sizing.under_way {
            Some(under_way) if now < under_way.until => {}
            Some(UnderWay { size, check: None, .. }) => {
                let check = self.ask(Purpose::Size, 0, now, random, actions);
                self.sizing.under_way =
                    check.map(|check| UnderWay { size, until: now + wait, check: Some(check) });
                if check.is_none() {
                    self.sizing.search.unknown(size);
                }
            }
            Some(UnderWay { size, check: Some(_), .. }) => {
                self.sizing.search.unknown(size);
                self.sizing.under_way = None;
            }
            None => {}
        }
        if self.sizing.under_way.is_none() && self.is_answered(now) {
            self.send_size(now, wait, random, actions);
        }
        self.tell_path_mtu(actions);
    }

    fn send_size(
        &mut self,
        now: Duration,
        wait: Duration,
        random: Random<'_>,
        actions: &mut Vec<Action>,
    ) {
        let Some(size) = self.sizing.search.next(now) else { return };
        let Some(sequence) = self.ask(Purpose::Size, size, now, random, actions) else {
            self.sizing.search.unknown(size);
            return;
        };
        self.sizing.sent.truncate(REMEMBERED - 1);
        self.sizing.sent.push_front((sequence, size));
        self.sizing.under_way = Some(UnderWay { size, until: now + wait, check: None });
    }

    /// Says what was found, if that is news.
    pub(super) fn tell_path_mtu(&mut self, actions: &mut Vec<Action>) {
        let found = self.sizing.search.found();
        if found != self.sizing.told {
            self.sizing.told = found;
            actions.push(Action::PathMtu(found));
        }
    }
}
