//! Processes what arrives: requests are answered, replies are evaluated.

use std::time::Duration;

use vxlan_common::{probe::ReceivedProbe, wire::VXLAN_LEN};

use super::{
    action::{Action, Random},
    send::Reply,
    state::Prober,
    stats::ReceivedAs,
};
use crate::{
    observation::{OuterHeader, Rewrite},
    probe::{
        association::RequestVerdict,
        message::{Probe, ProbeKind, ProbeRefusal},
        requests::Purpose,
    },
};

impl Prober {
    /// Processes a probe with the tag of this peer. `now` is not before its arrival.
    ///
    /// # Errors
    ///
    /// Why the probe is refused, which has been counted. An unproven or stale request is no error,
    /// since it may be answered.
    pub fn arrived(
        &mut self,
        arrived: &ReceivedProbe,
        now: Duration,
        random: Random<'_>,
    ) -> Result<Vec<Action>, ProbeRefusal> {
        let result = self.process(arrived, now, random);
        if let Err(refused) = result {
            self.stats.probe_refused(refused);
        }
        result
    }

    fn process(
        &mut self,
        arrived: &ReceivedProbe,
        now: Duration,
        random: Random<'_>,
    ) -> Result<Vec<Action>, ProbeRefusal> {
        let (_, frame) = arrived.bytes.split_at(VXLAN_LEN);
        let probe = Probe::decode(&self.config.key, frame, arrived.length)?;
        let seen = OuterHeader::from_received(arrived).ok_or(ProbeRefusal::Malformed)?;
        let at = Duration::from_nanos(arrived.at);
        let mut actions = match probe.kind {
            ProbeKind::Request => self.request_received(&probe, seen, at, now, &mut *random),
            ProbeKind::Reply => self.reply_received(&probe, at, now, &mut *random),
        }?;
        if self.association.is_restored(&probe) {
            self.begin_session(now, random, &mut actions);
        }
        Ok(actions)
    }

    /// Begins a session of which no earlier probe is, after this host was restored from a snapshot.
    fn begin_session(&mut self, now: Duration, random: Random<'_>, actions: &mut Vec<Action>) {
        self.config.session = random().max(1);
        self.association.begin_session(self.config.session);
        self.stats.session_begun();
        self.pmtu.session_begun();
        self.send_request(Purpose::Counted, 0, now, random, actions);
    }

    fn request_received(
        &mut self,
        probe: &Probe,
        seen: OuterHeader,
        at: Duration,
        now: Duration,
        random: Random<'_>,
    ) -> Result<Vec<Action>, ProbeRefusal> {
        let mut actions = Vec::new();
        let window = self.window();
        let verdict = self.association.request(probe, seen.source.ip(), at, &mut *random);
        let (token, request_now) = match verdict {
            RequestVerdict::Refused(refused) => return Err(refused),
            RequestVerdict::Stale { offered_token } => {
                self.stats.probe_refused(ProbeRefusal::Replayed);
                (offered_token, false)
            }
            RequestVerdict::Unproven { offered_token } => {
                self.stats.probe_refused(ProbeRefusal::Unproven);
                self.stats.probe_received(at, ReceivedAs::Unproven, window);
                self.stats.unproven_report(probe, self.association.session());
                (offered_token, false)
            }
            RequestVerdict::Accepted { newest, offered_token, request_now } => {
                self.stats.probe_received(at, ReceivedAs::Proven, window);
                let rewrite = Rewrite { sent: probe.as_sent, seen };
                let received = self.association.received();
                self.stats.request_received(probe, (rewrite, at), newest, received);
                self.stats.peer_report(probe, self.association.session());
                self.data_reported(probe, at);
                if newest
                    && !probe.unsolicited
                    && let Some((from, to)) = self.endpoint.observe(seen.source, now)
                {
                    self.endpoint_moved(from, to, now, &mut actions);
                }
                (Some(offered_token), request_now)
            }
        };
        if let Some(token) = token {
            let (session, sequence) = (probe.session, probe.sequence);
            let held = now.saturating_sub(at);
            let reply = Reply { token, session, sequence, held, seen, fixed: probe.fixed };
            actions.extend(self.send_reply(&reply, now));
        }
        if request_now {
            self.send_request(Purpose::Counted, 0, now, random, &mut actions);
        }
        self.report_path_mtu(&mut actions);
        Ok(actions)
    }

    fn reply_received(
        &mut self,
        probe: &Probe,
        at: Duration,
        now: Duration,
        random: Random<'_>,
    ) -> Result<Vec<Action>, ProbeRefusal> {
        let mut actions = Vec::new();
        let reply = self.association.reply(probe, at)?;
        let window = self.window();
        self.stats.probe_received(at, ReceivedAs::Reply, window);
        self.stats.peer_report(probe, self.association.session());
        self.data_reported(probe, at);
        let held = Duration::from_nanos(probe.held);
        let request = reply.request;
        let took = at.saturating_sub(request.sent_at).saturating_sub(held);
        if request.purpose == Purpose::Counted {
            actions.push(Action::RoundTrip(took));
        }
        self.stats.reply_received(&request, probe, at, took);
        self.pmtu.reply_received(request.sequence, now);
        if reply.request_now {
            self.send_request(Purpose::Counted, 0, now, random, &mut actions);
        }
        self.report_path_mtu(&mut actions);
        Ok(actions)
    }
}
