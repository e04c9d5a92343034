//! A peer without a key, such as a kernel `vxlan` device. It cannot answer probes: data packets
//! alone show what a NAT does, and ICMP echo through the tunnel whether the peer lives. Pure, like
//! the prober.

use std::{net::IpAddr, time::Duration};

use super::{
    brief_report::BriefReport,
    inner_echo::InnerEcho,
    report::{Liveness, LivenessSource, Report},
};
use crate::{
    nat::{self, DataCounts, DataWindow, DeclaredFacts, Evidence, VerdictAge},
    observation::{DataMapping, Delivery, DropCounts, DropWindow},
};

/// A peer without a key.
#[derive(Clone, Debug)]
pub struct UnkeyedPeer {
    peer: String,
    interval: Duration,
    facts: DeclaredFacts,
    data: DataWindow,
    /// Time since the latest data packet.
    last_data: Option<Duration>,
    drops: DropWindow,
    echo: InnerEcho,
    verdict_age: VerdictAge,
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
            drops: DropWindow::default(),
            echo: InnerEcho::default(),
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

    /// Records the packets of the peer that were dropped here.
    pub fn record_drops(&mut self, drops: &DropCounts, now: Duration) {
        self.drops.sample(now, drops, nat::recent_window(self.interval));
    }

    /// Returns whether data came within the latest interval, which makes an echo request needless.
    pub fn has_recent_data(&self) -> bool {
        self.last_data.is_some_and(|ago| ago < self.interval)
    }

    /// Chooses the address that the next echo request goes to.
    pub fn echo_address(&self, candidates: &[IpAddr]) -> Option<IpAddr> {
        self.echo.choose(candidates)
    }

    /// Records an echo request.
    pub fn request_sent(&mut self, address: IpAddr, sequence: u16, now: Duration) {
        self.echo.request_sent(address, sequence, now);
    }

    /// Records an echo reply, and returns the round-trip time. A reply to any request but the
    /// latest is too late.
    pub fn reply_received(
        &mut self,
        from: IpAddr,
        sequence: u16,
        now: Duration,
    ) -> Option<Duration> {
        self.echo.reply_received(from, sequence, now)
    }

    /// Returns everything known of the peer at `now`.
    pub fn report(&mut self, now: Duration) -> BriefReport {
        let evidence = Evidence {
            peer: self.peer.clone(),
            interval: self.interval,
            facts: self.facts,
            data: self.data.evidence(),
            probes: None,
            delivery: Delivery::default(),
            drops: self.drops.recent().to_vec(),
        };
        let verdict = nat::verdict(&evidence);
        let report = Report {
            nat: verdict,
            since: self.verdict_age.update(verdict, now).as_secs_f64(),
            liveness: self.liveness(now),
            endpoint: self.facts.endpoint,
            data: evidence.data.mapping,
            rtt: self.echo.rtt(),
            overlay: self.echo.overlay(now),
            recent: evidence.window().as_secs_f64(),
            ..Report::empty(&self.peer)
        };
        BriefReport::new(report, evidence, self.echo.sentence())
    }

    /// Sets the destination of packets to the peer.
    pub fn set_endpoint(&mut self, endpoint: Option<std::net::SocketAddr>) {
        self.facts.endpoint = endpoint;
    }

    /// Decides whether the peer lives: an echo reply or data came lately.
    fn liveness(&self, now: Duration) -> Liveness {
        let window = nat::recent_window(self.interval);
        let last_data = self.last_data;
        let last_echo = self.echo.answered_at().map(|at| now.saturating_sub(at));
        let last_seen = last_echo.into_iter().chain(last_data).min();
        let recent = last_seen.is_some_and(|ago| ago < window);
        let up = if recent {
            Some(true)
        } else {
            (last_echo.is_some() || self.echo.is_unanswered()).then_some(false)
        };
        // An echo reply is data as well.
        let recent_echo = last_echo.is_some_and(|ago| ago < window);
        let (by, seen) = match self.echo.address() {
            Some(address) if recent_echo => (LivenessSource::InnerEcho { address }, last_echo),
            Some(address) if !recent => (LivenessSource::InnerEcho { address }, last_seen),
            _ if recent => (LivenessSource::Data, last_seen),
            _ => (LivenessSource::Nothing, last_seen),
        };
        Liveness { by, up, last_seen: seen.map(|ago| ago.as_secs_f64()) }
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
        assert_eq!(peer.report(at(0)).brief().liveness.by, LivenessSource::Nothing);
        assert_eq!(peer.report(at(0)).brief().liveness.up, None);
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
            if request < 7 {
                assert_eq!(peer.report(now).brief().rtt.map(|rtt| rtt.min), Some(0.03));
            }
            let expected = if request < 7 { Some(true) } else { Some(false) };
            assert_eq!(peer.report(now).brief().liveness.up, expected, "{request}");
        }
        let report = peer.report(at(50)).full();
        assert_eq!(report.rtt, None, "a round trip of before the silence");
        assert_eq!(report.liveness.by, LivenessSource::InnerEcho { address: ADDRESS });
        assert!(report.evidence.iter().any(|why| why.contains("answered 5 of 10")), "{report:?}");
    }

    #[test]
    fn what_never_answered_is_down_after_a_while() {
        let mut peer = peer();
        for request in 0..5 {
            peer.request_sent(ADDRESS, request, at(u64::from(request) * 5));
            assert_eq!(peer.reply_received("192.168.44.2".parse().unwrap(), request, at(60)), None);
        }
        assert_eq!(peer.report(at(30)).brief().liveness.up, Some(false));
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
        assert_eq!(
            peer.report(at(41)).brief().liveness.up,
            Some(true),
            "it sends, if it answers nothing"
        );
        peer.record_data(total, None, Some(Duration::from_secs(46)), at(42));
        assert!(!peer.has_recent_data());
        assert_eq!(peer.report(at(42)).brief().liveness.up, Some(false));
    }

    #[test]
    fn data_is_a_sign_of_life_where_no_address_is_known() {
        let mut peer = peer();
        let total = DataCounts { received: 3, ..DataCounts::default() };
        peer.record_data(total, None, Some(Duration::from_secs(2)), at(0));
        assert_eq!(peer.report(at(0)).brief().liveness.up, Some(true));
        peer.record_data(total, None, Some(Duration::from_secs(60)), at(60));
        assert_eq!(peer.report(at(60)).brief().liveness.up, None);
    }
}
