//! What arrives: requests that are answered, replies that are reckoned with.

use std::time::Duration;

use vxlan_common::{outer::VXLAN_LEN, probe::ReceivedProbe};

use super::{Action, Prober, Random, account::Whose, send::Answer};
use crate::probe::{Header, Kind, Probe, Purpose, Refused, Rewrite, association::Verdict};

impl Prober {
    /// A probe with this peer's tag. `now` is not before it arrived.
    ///
    /// # Errors
    ///
    /// Why it counts for nothing. It has been counted. A request that is unproven is no error, as it
    /// is answered.
    pub fn arrived(
        &mut self,
        arrived: &ReceivedProbe,
        now: Duration,
        random: Random<'_>,
    ) -> Result<Vec<Action>, Refused> {
        let result = self.judge(arrived, now, random);
        if let Err(refused) = result {
            self.account.refused(refused);
        }
        result
    }

    fn judge(
        &mut self,
        arrived: &ReceivedProbe,
        now: Duration,
        random: Random<'_>,
    ) -> Result<Vec<Action>, Refused> {
        let (_, frame) = arrived.bytes.split_at(VXLAN_LEN);
        let probe = Probe::decode(&self.settings.key, frame, arrived.length)?;
        let seen = Header::of(arrived).ok_or(Refused::Malformed)?;
        let at = Duration::from_nanos(arrived.at);
        match probe.kind {
            Kind::Request => self.request(&probe, seen, at, now, random),
            Kind::Reply => self.replied(&probe, at, now, random),
        }
    }

    fn request(
        &mut self,
        probe: &Probe,
        seen: Header,
        at: Duration,
        now: Duration,
        random: Random<'_>,
    ) -> Result<Vec<Action>, Refused> {
        let mut actions = Vec::new();
        let window = self.window();
        let verdict = self.association.request(probe, at, &mut *random);
        let (token, hurry) = match verdict {
            Verdict::Refused(refused) => return Err(refused),
            Verdict::Unproven { answer } => {
                self.account.refused(Refused::Unproven);
                self.account.heard(at, Whose::Unproven, window);
                self.account.hearsay(probe, self.association.session());
                (answer, false)
            }
            Verdict::Accepted { newest, offered_token, hurry } => {
                self.account.heard(at, Whose::Proven, window);
                let rewrite = Rewrite { sent: probe.as_sent, seen };
                self.account.requested(probe, rewrite, newest, self.association.seen());
                self.account.told(probe, self.association.session());
                if newest
                    && !probe.unsolicited
                    && let Some((from, to)) = self.endpoint.seen(seen.source, now)
                {
                    self.moved(from, to, now, &mut actions);
                }
                (Some(offered_token), hurry)
            }
        };
        if let Some(token) = token {
            let (session, sequence) = (probe.session, probe.sequence);
            let held = now.saturating_sub(at);
            let answer = Answer { token, session, sequence, held, seen, fixed: probe.fixed };
            actions.extend(self.reply(&answer, now));
        }
        if hurry {
            self.ask(Purpose::Counted, 0, now, random, &mut actions);
        }
        self.tell_path_mtu(&mut actions);
        Ok(actions)
    }

    fn replied(
        &mut self,
        probe: &Probe,
        at: Duration,
        now: Duration,
        random: Random<'_>,
    ) -> Result<Vec<Action>, Refused> {
        let mut actions = Vec::new();
        let answered = self.association.reply(probe, at)?;
        let window = self.window();
        self.account.heard(at, Whose::Reply, window);
        self.account.told(probe, self.association.session());
        let held = Duration::from_nanos(probe.held);
        let request = answered.request;
        let took = at.saturating_sub(request.at).saturating_sub(held);
        if request.purpose == Purpose::Counted {
            actions.push(Action::RoundTrip(took));
        }
        self.account.answered(&request, probe, at, took);
        self.sizing.answered(request.sequence, now);
        if answered.hurry {
            self.ask(Purpose::Counted, 0, now, random, &mut actions);
        }
        self.tell_path_mtu(&mut actions);
        Ok(actions)
    }
}
