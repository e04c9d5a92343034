//! How many answers go to requests that are not proved to be fresh. Anybody can send a recording
//! again, from any address: so each source has a budget of its own.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// Most answers to one source within [`TERM`].
pub(super) const MAX_PER_SOURCE: usize = 5;
/// Most answers to all sources within [`TERM`].
pub(super) const MAX_ANSWERS: usize = 32;
const TERM: Duration = Duration::from_secs(1);

/// The answers of the latest second.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(VecDeque<(Duration, IpAddr)>);

impl Answers {
    /// Charges an answer to a source, and returns whether it may be sent.
    pub(super) fn charge(&mut self, source: IpAddr, now: Duration) -> bool {
        let source = prefix(source);
        self.0.retain(|(at, _)| now.saturating_sub(*at) < TERM);
        let to_source = self.0.iter().filter(|(_, to)| *to == source).count();
        let may = to_source < MAX_PER_SOURCE && self.0.len() < MAX_ANSWERS;
        if may {
            self.0.push_back((now, source));
        }
        may
    }
}

/// Returns what counts as one source: an IPv6 host may send from every address of its /64 (RFC 4291
/// section 2.5.4).
fn prefix(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_source_uses_up_its_own_budget() {
        let mut answers = Answers::default();
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(source);
        let at = Duration::from_secs(100);
        let answered = (0..100).filter(|_| answers.charge(one, at)).count();
        assert_eq!(answered, MAX_PER_SOURCE);
        assert!(answers.charge(two, at));
        assert!(!answers.charge(one, at + TERM - Duration::from_nanos(1)));
        assert!(answers.charge(one, at + TERM));
    }

    #[test]
    fn all_addresses_of_a_network_are_one_source() {
        let mut answers = Answers::default();
        let charge = |answers: &mut Answers, prefix: u16, host: u16| {
            answers.charge(source(&format!("2001:db8:0:{prefix:x}::{host:x}")), Duration::ZERO)
        };
        let answered = (0..100).filter(|host| charge(&mut answers, 1, *host)).count();
        assert_eq!(answered, MAX_PER_SOURCE);
        assert!(charge(&mut answers, 2, 1));
    }

    #[test]
    fn all_sources_together_have_a_budget() {
        let mut answers = Answers::default();
        let sources = (0..200_u8).map(|last| IpAddr::from([192, 0, 2, last]));
        let answered = sources.filter(|source| answers.charge(*source, Duration::ZERO)).count();
        assert_eq!(answered, MAX_ANSWERS);
    }
}
