//! A peer without a key, such as a kernel `vxlan` device: it cannot answer probes, so data packets alone
//! say what a NAT does, and ICMP echo through the tunnel whether it lives. Pure, like the prober.

use std::{net::IpAddr, time::Duration};

use super::{By, DataMapping, Liveness, Report, loss::Crossing, rtt::RoundTrips};
use crate::nat::{self, DataCounts, DataWindow, Evidence, Facts, Standing, Verdict, WINDOW};

/// Echo requests that loss is reckoned over.
const LATEST: u64 = 32;

/// One such peer.
#[derive(Clone, Debug)]
pub struct Unkeyed {
    peer: String,
    interval: Duration,
    facts: Facts,
    data: DataWindow,
    /// Since the latest data packet.
    heard: Option<Duration>,
    echo: Option<Echoed>,
    standing: Standing,
}

/// Echo requests to one address.
#[derive(Clone, Debug)]
struct Echoed {
    address: IpAddr,
    /// The latest request, and when it was sent.
    latest: Option<(u16, Duration)>,
    answered_at: Option<Duration>,
    trips: RoundTrips,
    crossing: Crossing,
    sent: u64,
    answered: u64,
}

impl Unkeyed {
    /// Would another one with these do the same? The endpoint is told later.
    pub fn continues(&self, interval: Duration, facts: &Facts) -> bool {
        let endpoint = self.facts.endpoint;
        self.interval == interval && self.facts == Facts { endpoint, ..*facts }
    }

    /// `interval`: between two echo requests.
    pub fn new(peer: &str, interval: Duration, facts: Facts) -> Self {
        Self {
            peer: peer.to_owned(),
            interval,
            facts,
            data: DataWindow::default(),
            heard: None,
            echo: None,
            standing: Standing::default(),
        }
    }

    /// As [`super::Prober::data`]; `heard`: since the latest data packet.
    pub fn data(
        &mut self,
        total: DataCounts,
        mapping: Option<DataMapping>,
        heard: Option<Duration>,
        now: Duration,
    ) {
        self.data.sample(now, total, mapping, self.interval);
        self.heard = heard;
    }

    /// Data came within the latest interval: then nobody needs to ask.
    pub fn is_heard_lately(&self) -> bool {
        self.heard.is_some_and(|ago| ago < self.interval)
    }

    /// An echo request was sent.
    pub fn asked(&mut self, address: IpAddr, sequence: u16, now: Duration) {
        let echo = match &mut self.echo {
            Some(echo) if echo.address == address => echo,
            other => other.insert(Echoed::new(address)),
        };
        // Whether the one before was answered is known by now.
        echo.crossing.note(echo.sent, echo.answered);
        echo.sent += 1;
        echo.latest = Some((sequence, now));
    }

    /// An answer came; what does not answer the latest request is too late. Returns how long it took.
    pub fn answered(&mut self, from: IpAddr, sequence: u16, now: Duration) -> Option<Duration> {
        let echo = self.echo.as_mut().filter(|echo| echo.address == from)?;
        let (_, sent) = echo.latest.take_if(|(latest, _)| *latest == sequence)?;
        let took = now.saturating_sub(sent);
        echo.answered += 1;
        echo.answered_at = Some(now);
        echo.trips.add(took);
        Some(took)
    }

    /// Everything about the peer, as of `now`.
    pub fn report(&mut self, now: Duration) -> Report {
        let evidence = Evidence {
            peer: self.peer.clone(),
            interval: self.interval,
            facts: self.facts,
            data: self.data.passive(),
            probes: None,
        };
        let Verdict { kind, evidence: mut why } = nat::judge(&evidence);
        why.extend(self.echo.as_ref().map(Echoed::sentence));
        Report {
            nat: kind,
            since: self.standing.lasted(kind, now).as_secs_f64(),
            evidence: why,
            liveness: self.liveness(now),
            endpoint: self.facts.endpoint,
            data: evidence.data.mapping,
            rtt: self.echo.as_ref().and_then(|echo| echo.trips.rtt()),
            ..Report::empty(&self.peer)
        }
    }

    /// Where packets to the peer go has changed.
    pub fn set_endpoint(&mut self, endpoint: Option<std::net::SocketAddr>) {
        self.facts.endpoint = endpoint;
    }

    fn liveness(&self, now: Duration) -> Liveness {
        let window = self.interval * WINDOW;
        let heard = self.heard.filter(|ago| *ago < window);
        let Some(echo) = &self.echo else {
            let up = heard.map(|_| true);
            let last_seen = self.heard.map(|ago| ago.as_secs_f64());
            return Liveness { by: By::Nothing, up, last_seen };
        };
        let ago = echo.answered_at.map(|at| now.saturating_sub(at));
        let ago = ago.into_iter().chain(heard).min();
        let tried = echo.sent > u64::from(WINDOW);
        let up = match ago {
            Some(ago) => Some(ago < window),
            None => tried.then_some(false),
        };
        let by = By::InnerEcho { address: echo.address };
        Liveness { by, up, last_seen: ago.map(|ago| ago.as_secs_f64()) }
    }
}

impl Echoed {
    fn new(address: IpAddr) -> Self {
        Self {
            address,
            latest: None,
            answered_at: None,
            trips: RoundTrips::default(),
            crossing: Crossing::new(LATEST),
            sent: 0,
            answered: 0,
        }
    }

    fn sentence(&self) -> String {
        let Self { address, sent, answered, .. } = self;
        let (of, came) = self.crossing.counts();
        format!(
            "it has no key, so it is asked by echo through the tunnel: {address} answered {answered} of \
             {sent} requests, {came} of the latest {of}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::nat::Ports;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 44, 1));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn peer() -> Unkeyed {
        let facts = Facts {
            endpoint: None,
            learned: false,
            private: None,
            public: None,
            ports: Ports::Range(32_768, 60_999),
        };
        Unkeyed::new("kernel", Duration::from_secs(5), facts)
    }

    #[test]
    fn it_lives_while_it_answers() {
        let mut peer = peer();
        assert_eq!(peer.report(at(0)).liveness.by, By::Nothing);
        assert_eq!(peer.report(at(0)).liveness.up, None);
        for request in 0..10 {
            peer.asked(ADDRESS, request, at(u64::from(request) * 5));
            let now = at(u64::from(request) * 5) + Duration::from_millis(30);
            if request < 5 {
                assert_eq!(peer.answered(ADDRESS, request, now), Some(Duration::from_millis(30)));
                assert_eq!(peer.answered(ADDRESS, request, now), None, "twice");
            }
            let expected = if request < 7 { Some(true) } else { Some(false) };
            assert_eq!(peer.report(now).liveness.up, expected, "{request}");
        }
        let report = peer.report(at(50));
        assert_eq!(report.liveness.by, By::InnerEcho { address: ADDRESS });
        assert!(report.evidence.iter().any(|why| why.contains("answered 5 of 10")), "{report:?}");
        assert_eq!(report.rtt.map(|rtt| rtt.min), Some(0.03));
    }

    #[test]
    fn what_never_answered_is_down_after_a_while() {
        let mut peer = peer();
        for request in 0..5 {
            peer.asked(ADDRESS, request, at(u64::from(request) * 5));
            assert_eq!(peer.answered("192.168.44.2".parse().unwrap(), request, at(60)), None);
        }
        assert_eq!(peer.report(at(30)).liveness.up, Some(false));
    }

    #[test]
    fn nobody_is_asked_while_data_comes() {
        let mut peer = peer();
        assert!(!peer.is_heard_lately());
        let total = DataCounts { received: 3, ..DataCounts::default() };
        peer.data(total, None, Some(Duration::from_secs(4)), at(0));
        assert!(peer.is_heard_lately());
        for request in 0..9 {
            peer.asked(ADDRESS, request, at(u64::from(request) * 5));
        }
        assert_eq!(peer.report(at(41)).liveness.up, Some(true), "it sends, if it answers nothing");
        peer.data(total, None, Some(Duration::from_secs(46)), at(42));
        assert!(!peer.is_heard_lately());
        assert_eq!(peer.report(at(42)).liveness.up, Some(false));
    }

    #[test]
    fn data_is_a_sign_of_life_where_nobody_can_be_asked() {
        let mut peer = peer();
        let total = DataCounts { received: 3, ..DataCounts::default() };
        peer.data(total, None, Some(Duration::from_secs(2)), at(0));
        assert_eq!(peer.report(at(0)).liveness.up, Some(true));
        peer.data(total, None, Some(Duration::from_secs(60)), at(60));
        assert_eq!(peer.report(at(60)).liveness.up, None);
    }
}
