//! The page as it is kept for several clients, and how often it may be made anew.

use std::{
    io::{self, Cursor, Read as _, Write as _},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tokio::time::Instant;

/// No page is older than this when it is sent.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Making pages takes at most this part of the time; then a page that is there is sent again.
const SHARE: u32 = 5;
/// What was not used of that part is kept for a burst of requests: for this long.
const BURST: Duration = Duration::from_secs(5);
/// The size of the pieces in which a page is decompressed.
const PIECE: usize = 64 << 10;

/// A page, compressed: clients that read slowly share it, and hold no copy of their own.
#[derive(Clone)]
pub(super) struct Page {
    gzip: Bytes,
    /// The length of the text.
    length: usize,
    /// When its counters began to be read.
    read_at: Instant,
}

impl Page {
    pub(super) fn new(text: &str, read_at: Instant) -> io::Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes())?;
        Ok(Self { gzip: encoder.finish()?.into(), length: text.len(), read_at })
    }

    pub(super) fn gzip(&self) -> Bytes {
        self.gzip.clone()
    }

    /// Returns the length of the text.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Returns the text, in pieces.
    pub(super) fn pieces(&self) -> Pieces {
        Pieces(GzDecoder::new(Cursor::new(self.gzip.clone())))
    }

    /// Returns how old the page was when a request for it came in. `None`: it was made after that.
    pub(super) fn age_at(&self, request: Instant) -> Option<Duration> {
        request.checked_duration_since(self.read_at).filter(|age| !age.is_zero())
    }
}

/// The text of a page, decompressed piece by piece as the client takes it.
pub(super) struct Pieces(GzDecoder<Cursor<Bytes>>);

impl Iterator for Pieces {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut piece = vec![0; PIECE];
        match self.0.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(piece.into()))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// Decides whether a page is made or the latest one sent again: as long as pages take a small part
/// of the time, every request gets its own.
#[derive(Debug, Default)]
pub(super) struct RenderBudget {
    /// From then on a page may be made. Absent: no page was made yet.
    next: Option<Instant>,
}

impl RenderBudget {
    /// Returns whether the latest page is sent again.
    pub(super) fn reuses(&self, page: &Page, request: Instant, now: Instant) -> bool {
        let too_early = self.next.is_some_and(|next| now < next);
        let fresh = now.saturating_duration_since(page.read_at) < MAX_AGE;
        page.age_at(request).is_none() || too_early && fresh
    }

    /// Records that a page was made in so much time.
    pub(super) fn spend(&mut self, time: Duration, now: Instant) {
        let unused = now.checked_sub(BURST);
        let from = self.next.into_iter().chain(unused).max().unwrap_or(now);
        self.next = Some(from + time * SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(page: &Page) -> Vec<u8> {
        page.pieces().flat_map(|piece| piece.expect("a piece").to_vec()).collect()
    }

    #[test]
    fn a_page_is_the_text_that_it_was_made_from() {
        for length in [0, 1, PIECE - 1, PIECE, 3 * PIECE + 7] {
            let text: String = (0..length).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
            let page = Page::new(&text, Instant::now()).expect("a page");
            assert_eq!(text_of(&page), text.as_bytes());
            assert_eq!(page.length(), length);
        }
    }

    fn page_of(read_at: Instant) -> Page {
        Page::new("", read_at).expect("a page")
    }

    #[test]
    fn a_page_serves_the_requests_that_came_before_it() {
        let (before, tick) = (Instant::now(), Duration::from_millis(1));
        let page = page_of(before + tick);
        let budget = RenderBudget::default();
        assert_eq!(page.age_at(before), None);
        assert!(budget.reuses(&page, before, before + 2 * tick));
        let later = before + 2 * tick;
        assert_eq!(page.age_at(later), Some(tick));
        assert!(!budget.reuses(&page, later, later), "made anew");
    }

    /// Ten requests a second for pages of 100 ms: one second of making in advance, then one fifth
    /// of the time, and no page older than a second.
    #[test]
    fn making_pages_takes_a_part_of_the_time() {
        let (cost, step) = (Duration::from_millis(100), Duration::from_millis(100));
        let mut budget = RenderBudget::default();
        let mut page: Option<Page> = None;
        let mut made = 0;
        let mut now = Instant::now();
        for _ in 0..600 {
            if page.as_ref().is_none_or(|page| !budget.reuses(page, now, now)) {
                page = Some(page_of(now));
                budget.spend(cost, now);
                made += 1;
            }
            let age = page.as_ref().and_then(|page| page.age_at(now));
            assert!(age.is_none_or(|age| age < MAX_AGE), "{age:?}");
            now += step;
        }
        // 60 s / 5 / 100 ms, and the burst.
        assert!((125..140).contains(&made), "{made}");
    }

    #[test]
    fn a_page_that_takes_long_is_shared_for_a_second() {
        let mut budget = RenderBudget::default();
        let now = Instant::now();
        let page = page_of(now);
        budget.spend(Duration::from_secs(60), now);
        for (after, reused) in [(1, true), (999, true), (1000, false)] {
            let then = now + Duration::from_millis(after);
            assert_eq!(budget.reuses(&page, then, then), reused, "{after} ms");
        }
    }
}
