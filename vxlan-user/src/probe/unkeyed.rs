//! A peer without a key, such as a kernel `vxlan` device. It cannot answer probes: data packets
//! alone show what a NAT does, and ICMP echo through the tunnel whether the peer lives. Pure, like
//! the prober.

use std::{net::IpAddr, time::Duration};

use super::{
    loss_window::LossWindow,
    report::{Liveness, LivenessSource, Report},
    rtt::RttEstimator,
};
use crate::{
    nat::{
        self, Assessment, DataCounts, DataWindow, DeclaredFacts, Evidence, RECENT_INTERVALS,
        VerdictAge,
    },
    observation::DataMapping,
};

/// Number of the latest echo requests that the loss is computed over.
const LOSS_WINDOW: u64 = 32;

/// A peer without a key.
#[derive(Clone, Debug)]
pub struct UnkeyedPeer {
    peer: String,
    interval: Duration,
    facts: DeclaredFacts,
    data: DataWindow,
    /// Time since the latest data packet.
    last_data: Option<Duration>,
    echo: Option<EchoStats>,
    verdict_age: VerdictAge,
}

/// Statistics of echo requests to one address.
#[derive(Clone, Debug)]
struct EchoStats {
    address: IpAddr,
    /// Sequence and time of the request in flight.
    in_flight: Option<(u16, Duration)>,
    answered_at: Option<Duration>,
    rtt: RttEstimator,
    loss: LossWindow,
    sent: u64,
    answered: u64,
}

impl UnkeyedPeer {
    /// Returns whether this one can go on under these settings. The endpoint is set later.
    pub fn continues(&self, interval: Duration, facts: &DeclaredFacts) -> bool {
        let endpoint = self.facts.endpoint;
        self.interval == interval && self.facts == DeclaredFacts { endpoint, ..*facts }
    }

    /// `interval`: time between two echo requests.
    pub fn new(peer: &str, interval: Duration, facts: DeclaredFacts) -> Self {
        Self {
            peer: peer.to_owned(),
            interval,
            facts,
            data: DataWindow::default(),
            last_data: None,
            echo: None,
            verdict_age: VerdictAge::default(),
        }
    }

    /// Records the counters of data packets as they are at `now`. `last_data`: time since the
    /// latest one.
    pub fn record_data(
        &mut self,
        total: DataCounts,
        mapping: Option<DataMapping>,
        last_data: Option<Duration>,
        now: Duration,
    ) {
        self.data.sample(now, total, mapping, self.interval);
        self.last_data = last_data;
    }

    /// Returns whether data came within the latest interval, which makes an echo request needless.
    pub fn has_recent_data(&self) -> bool {
        self.last_data.is_some_and(|ago| ago < self.interval)
    }

    /// Records an echo request.
    pub fn request_sent(&mut self, address: IpAddr, sequence: u16, now: Duration) {
        let echo = match &mut self.echo {
            Some(echo) if echo.address == address => echo,
            other => other.insert(EchoStats::new(address)),
        };
        // Whether the previous request was answered is known by now.
        echo.loss.record(echo.sent, echo.answered);
        echo.sent += 1;
        echo.in_flight = Some((sequence, now));
    }

    /// Records an echo reply, and returns the round-trip time. A reply to any request but the
    /// latest is too late.
    pub fn reply_received(
        &mut self,
        from: IpAddr,
        sequence: u16,
        now: Duration,
    ) -> Option<Duration> {
        let echo = self.echo.as_mut().filter(|echo| echo.address == from)?;
        let (_, sent) = echo.in_flight.take_if(|(in_flight, _)| *in_flight == sequence)?;
        let took = now.saturating_sub(sent);
        echo.answered += 1;
        echo.answered_at = Some(now);
        echo.rtt.add(took);
        Some(took)
    }

    /// Returns everything known of the peer at `now`.
    pub fn report(&mut self, now: Duration) -> Report {
        let evidence = Evidence {
            peer: self.peer.clone(),
            interval: self.interval,
            facts: self.facts,
            data: self.data.evidence(),
            probes: None,
        };
        let Assessment { verdict, evidence: mut reasons } = nat::assess(&evidence);
        reasons.extend(self.echo.as_ref().map(EchoStats::sentence));
        Report {
            nat: verdict,
            since: self.verdict_age.update(verdict, now).as_secs_f64(),
            evidence: reasons,
            liveness: self.liveness(now),
            endpoint: self.facts.endpoint,
            data: evidence.data.mapping,
            rtt: self.echo.as_ref().and_then(|echo| echo.rtt.rtt()),
            ..Report::empty(&self.peer)
        }
    }

    /// Sets the destination of packets to the peer.
    pub fn set_endpoint(&mut self, endpoint: Option<std::net::SocketAddr>) {
        self.facts.endpoint = endpoint;
    }

    fn liveness(&self, now: Duration) -> Liveness {
        let window = self.interval * RECENT_INTERVALS;
        let last_data = self.last_data.filter(|ago| *ago < window);
        let Some(echo) = &self.echo else {
            let up = last_data.map(|_| true);
            let last_seen = self.last_data.map(|ago| ago.as_secs_f64());
            return Liveness { by: LivenessSource::Nothing, up, last_seen };
        };
        let ago = echo.answered_at.map(|at| now.saturating_sub(at));
        let ago = ago.into_iter().chain(last_data).min();
        let tried = echo.sent > u64::from(RECENT_INTERVALS);
        let up = match ago {
            Some(ago) => Some(ago < window),
            None => tried.then_some(false),
        };
        let by = LivenessSource::InnerEcho { address: echo.address };
        Liveness { by, up, last_seen: ago.map(|ago| ago.as_secs_f64()) }
    }
}

impl EchoStats {
    fn new(address: IpAddr) -> Self {
        Self {
            address,
            in_flight: None,
            answered_at: None,
            rtt: RttEstimator::default(),
            loss: LossWindow::new(LOSS_WINDOW),
            sent: 0,
            answered: 0,
        }
    }

    fn sentence(&self) -> String {
        let Self { address, sent, answered, .. } = self;
        let (of, came) = self.loss.counts();
        format!(
            "it has no key, so it is asked by echo through the tunnel: {address} answered \
             {answered} of {sent} requests, {came} of the latest {of}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::nat::SourcePorts;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 44, 1));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn peer() -> UnkeyedPeer {
        let facts = DeclaredFacts {
            endpoint: None,
            learned: false,
            private: None,
            public: None,
            ports: SourcePorts::Range(32_768, 60_999),
        };
        UnkeyedPeer::new("kernel", Duration::from_secs(5), facts)
    }

    #[test]
    fn it_lives_while_it_answers() {
        let mut peer = peer();
        assert_eq!(peer.report(at(0)).liveness.by, LivenessSource::Nothing);
        assert_eq!(peer.report(at(0)).liveness.up, None);
        for request in 0..10 {
            peer.request_sent(ADDRESS, request, at(u64::from(request) * 5));
            let now = at(u64::from(request) * 5) + Duration::from_millis(30);
            if request < 5 {
                assert_eq!(
                    peer.reply_received(ADDRESS, request, now),
                    Some(Duration::from_millis(30))
                );
                assert_eq!(peer.reply_received(ADDRESS, request, now), None, "twice");
            }
            let expected = if request < 7 { Some(true) } else { Some(false) };
            assert_eq!(peer.report(now).liveness.up, expected, "{request}");
        }
        let report = peer.report(at(50));
        assert_eq!(report.liveness.by, LivenessSource::InnerEcho { address: ADDRESS });
        assert!(report.evidence.iter().any(|why| why.contains("answered 5 of 10")), "{report:?}");
        assert_eq!(report.rtt.map(|rtt| rtt.min), Some(0.03));
    }

    #[test]
    fn what_never_answered_is_down_after_a_while() {
        let mut peer = peer();
        for request in 0..5 {
            peer.request_sent(ADDRESS, request, at(u64::from(request) * 5));
            assert_eq!(peer.reply_received("192.168.44.2".parse().unwrap(), request, at(60)), None);
        }
        assert_eq!(peer.report(at(30)).liveness.up, Some(false));
    }

    #[test]
    fn no_echo_request_is_needed_while_data_comes() {
        let mut peer = peer();
        assert!(!peer.has_recent_data());
        let total = DataCounts { received: 3, ..DataCounts::default() };
        peer.record_data(total, None, Some(Duration::from_secs(4)), at(0));
        assert!(peer.has_recent_data());
        for request in 0..9 {
            peer.request_sent(ADDRESS, request, at(u64::from(request) * 5));
        }
        assert_eq!(peer.report(at(41)).liveness.up, Some(true), "it sends, if it answers nothing");
        peer.record_data(total, None, Some(Duration::from_secs(46)), at(42));
        assert!(!peer.has_recent_data());
        assert_eq!(peer.report(at(42)).liveness.up, Some(false));
    }

    #[test]
    fn data_is_a_sign_of_life_where_no_address_is_known() {
        let mut peer = peer();
        let total = DataCounts { received: 3, ..DataCounts::default() };
        peer.record_data(total, None, Some(Duration::from_secs(2)), at(0));
        assert_eq!(peer.report(at(0)).liveness.up, Some(true));
        peer.record_data(total, None, Some(Duration::from_secs(60)), at(60));
        assert_eq!(peer.report(at(60)).liveness.up, None);
    }
}
