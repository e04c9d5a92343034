//! Rule by rule: how two hosts come together, what each refuses, and what it counts.

use std::time::Duration;

use super::{HONEST, Host, carry, sample};
use crate::probe::{
    Association, Probe, ProbeKind, ProbeRefusal, Purpose, RequestVerdict,
    answers::MAX_PER_SOURCE,
    association::{LIVE_TIME, OFFER_LIFE},
    name_id,
    requests::{MAX_IN_FLIGHT, REPLY_TIMEOUT},
    sessions::LATENESS,
};

const START: Duration = Duration::from_secs(1000);

fn hosts() -> [Host; 2] {
    [Host::new("a", "b", 1), Host::new("b", "a", 2)]
}

/// Two hosts that know each other.
fn associated() -> [Host; 2] {
    let mut hosts = hosts();
    carry(&mut hosts, 0, START);
    hosts
}

fn seconds(seconds: f64) -> Duration {
    START + Duration::from_secs_f64(seconds)
}

fn accepted(verdict: RequestVerdict) -> bool {
    matches!(verdict, RequestVerdict::Accepted { .. })
}

fn offer(verdict: RequestVerdict) -> u64 {
    match verdict {
        RequestVerdict::Unproven { offered_token: Some(token) } => token,
        verdict @ (RequestVerdict::Accepted { .. }
        | RequestVerdict::Unproven { offered_token: None }
        | RequestVerdict::Stale { .. }
        | RequestVerdict::Refused(_)) => {
            panic!("{verdict:?}")
        }
    }
}

/// A copy, of a peer that is there.
const COPY: RequestVerdict = RequestVerdict::Stale { offered_token: None };

#[test]
fn two_strangers_come_together_within_a_round_trip() {
    let [mut a, mut b] = hosts();
    let hello = a.ask(Purpose::Counted, START);
    assert_eq!((hello.token, hello.sequence, hello.requests_sent), (0, 1, 1));
    let token = offer(b.judge(&hello, START));
    let answered = a.association.reply(&b.answer(&hello, token, START), START + a.clock);
    assert!(answered.expect("accepted").request_now);
    let second = a.ask(Purpose::Counted, START);
    assert_eq!(second.token, token);
    let verdict = b.judge(&second, START);
    // The request has offered a token, too.
    assert_eq!(
        verdict,
        RequestVerdict::Accepted { newest: true, offered_token: token, request_now: true }
    );
    let back = b.ask(Purpose::Counted, START);
    assert_eq!(back.token, second.offered_token);
    assert!(accepted(a.judge(&back, START)));
}

#[test]
fn whoever_begins_they_come_to_rest() {
    for from in [0, 1] {
        let mut hosts = hosts();
        // Hello, answer, request and answer; the same back without the hello.
        assert_eq!(carry(&mut hosts, from, START), 6);
        for from in [0, 1] {
            let request = hosts[from].ask(Purpose::Counted, START);
            assert!(accepted(hosts[1 - from].judge(&request, START)));
            assert_eq!(carry(&mut hosts, from, START), 2);
        }
    }
}

#[test]
fn who_starts_anew_is_known_again_within_a_round_trip() {
    for restarted in [0, 1] {
        for asks in [0, 1] {
            let mut hosts = associated();
            let (name, peer) = [("a", "b"), ("b", "a")][restarted];
            hosts[restarted] = Host::new(name, peer, 99);
            carry(&mut hosts, asks, seconds(1.0));
            // Either has the other's session, and its token.
            for from in [0, 1] {
                let seen = hosts[1 - from].association.received();
                assert_eq!(seen.session, hosts[from].association.session());
                let request = hosts[from].ask(Purpose::Counted, seconds(1.0));
                assert!(accepted(hosts[1 - from].judge(&request, seconds(1.0))));
            }
        }
    }
}

#[test]
fn an_offer_to_a_former_session_does_not_lead_astray() {
    let [_, b] = associated();
    let mut hosts = [Host::new("a", "b", 99), b];
    // `b` has not heard of the new session yet, but has the new token already.
    let stale = hosts[1].ask(Purpose::Counted, seconds(1.0));
    let token = offer(hosts[0].judge(&stale, seconds(1.0)));
    let reply = hosts[0].answer(&stale, token, seconds(1.0));
    let (counts, sent) = hosts[1].receive(&reply, seconds(1.0));
    assert!(counts);
    let verdict = hosts[0].judge(&sent[0], seconds(1.0));
    assert_eq!(
        verdict,
        RequestVerdict::Accepted { newest: true, offered_token: token, request_now: true }
    );
    assert_eq!(hosts[0].association.token(), 0);
}

#[test]
fn a_token_begins_one_association() {
    let [mut a, mut b] = hosts();
    let hello = a.ask(Purpose::Counted, START);
    let token = offer(b.judge(&hello, START));
    let bring = |session, sequence| Probe { session, sequence, token, ..hello.clone() };
    // The same until it is brought.
    assert_eq!(offer(b.judge(&Probe { session: 7, ..hello.clone() }, START)), token);
    assert_eq!(b.judge(&bring(10, 0), START), RequestVerdict::Refused(ProbeRefusal::Replayed));
    assert!(accepted(b.judge(&bring(10, 5), START)));
    assert_ne!(offer(b.judge(&bring(11, 1), START)), token);
    assert!(accepted(b.judge(&bring(10, 6), START)));
    assert_eq!(b.judge(&bring(10, 5), START), COPY);
    assert!(accepted(b.judge(&bring(10, 4), START)));
}

#[test]
fn an_offer_ends_after_a_while() {
    for (wait, holds) in [(OFFER_LIFE, true), (OFFER_LIFE + Duration::from_nanos(1), false)] {
        let [mut a, mut b] = hosts();
        let hello = a.ask(Purpose::Counted, START);
        let token = offer(b.judge(&hello, START));
        let request = Probe { token, sequence: 2, ..hello };
        let verdict = b.judge(&request, START + wait);
        if holds {
            assert!(accepted(verdict));
        } else {
            assert_ne!(offer(verdict), token);
        }
    }
}

#[test]
fn what_was_held_back_proves_nothing() {
    let limit = LATENESS + Duration::from_secs(100) / 1024;
    for (late, in_time) in [(limit, true), (limit + Duration::from_millis(100), false)] {
        let [mut a, mut b] = associated();
        let sent = seconds(100.0) - late;
        let (held, following) = (a.ask(Purpose::Counted, sent), a.ask(Purpose::Counted, sent));
        assert_eq!(accepted(b.judge(&held, seconds(100.0))), in_time);
        assert_eq!(accepted(b.judge(&following, seconds(100.0))), in_time);
        // Whoever is there still proves it, as if unknown.
        let mut hosts = [a, b];
        carry(&mut hosts, 0, seconds(100.0));
        let request = hosts[0].ask(Purpose::Counted, seconds(100.0));
        assert!(accepted(hosts[1].judge(&request, seconds(100.0))));
    }
}

#[test]
fn the_fastest_request_is_the_measure() {
    // The one that begins is 9 s on its way, the next one 1 s, and one 50 s.
    let [mut a, mut b] = hosts();
    let token = offer(b.judge(&a.ask(Purpose::Counted, START), START));
    let mut judge = |sent, way| {
        let request = Probe { token, ..a.ask(Purpose::Counted, seconds(sent)) };
        accepted(b.judge(&request, seconds(sent + way)))
    };
    assert!(judge(0.0, 9.0));
    assert!(judge(10.0, 1.0));
    assert!(judge(11.0, 50.0));
    assert!(judge(12.0, 60.9));
    assert!(!judge(13.0, 62.0));
}

#[test]
fn unproven_requests_are_answered_five_times_a_second() {
    let [mut a, mut b] = hosts();
    let hello = a.ask(Purpose::Counted, START);
    let mut answered = Vec::new();
    for number in 0..10_000_u64 {
        let at = START + Duration::from_millis(number);
        // A session each, so that none is known.
        match b.judge(&Probe { session: 1000 + number, ..hello.clone() }, at) {
            RequestVerdict::Unproven { offered_token: Some(_) } => answered.push(number),
            RequestVerdict::Unproven { offered_token: None } => {}
            verdict @ (RequestVerdict::Accepted { .. }
            | RequestVerdict::Stale { .. }
            | RequestVerdict::Refused(_)) => {
                panic!("{verdict:?}")
            }
        }
    }
    assert_eq!(answered.len(), 50);
    assert!(answered.windows(6).all(|six| six[5] - six[0] >= 1000), "{answered:?}");
}

/// It may be the same host, with the state that it had before; but it is no news.
#[test]
fn the_same_hello_is_stale_and_answered_within_the_budget() {
    let stale = |verdict| match verdict {
        RequestVerdict::Stale { offered_token } => offered_token,
        verdict @ (RequestVerdict::Accepted { .. }
        | RequestVerdict::Unproven { .. }
        | RequestVerdict::Refused(_)) => panic!("{verdict:?}"),
    };
    let [mut a, mut b] = hosts();
    let (first, second) = (a.ask(Purpose::Counted, START), a.ask(Purpose::Counted, START));
    let token = offer(b.judge(&second, START));
    assert_eq!(stale(b.judge(&second, START)), Some(token));
    assert_eq!(stale(b.judge(&first, START)), Some(token));
    // Once the session is known, what it said before is old, and the peer is there.
    let proven = Probe { token, ..a.ask(Purpose::Counted, START) };
    assert!(accepted(b.judge(&proven, START)));
    let stranger = Probe { session: 7, ..first.clone() };
    offer(b.judge(&stranger, START));
    for hello in [&first, &second, &stranger] {
        assert_eq!(b.judge(hello, START), COPY);
    }
    let later = START + LIVE_TIME;
    let answered = (0..20).filter(|_| stale(b.judge(&first, later)).is_some()).count();
    assert_eq!(answered, MAX_PER_SOURCE);
}

#[test]
fn whoever_brings_the_wrong_token_is_told_the_right_one() {
    let [mut a, mut b] = associated();
    let lost = Probe { token: 12345, ..a.ask(Purpose::Counted, START) };
    let token = offer(b.judge(&lost, START));
    let found = Probe { token, ..a.ask(Purpose::Counted, START) };
    assert!(accepted(b.judge(&found, START)));
}

#[test]
fn what_is_not_from_the_peer_to_this_host_is_refused() {
    let [mut a, mut b] = associated();
    let request = a.ask(Purpose::Counted, START);
    let asked = b.ask(Purpose::Counted, START);
    let reply = a.answer(&asked, 1, START);
    let [of_a, of_b, of_c] = ["a", "b", "c"].map(name_id);
    for (sender, receiver, refused) in [
        (of_b, of_a, ProbeRefusal::Reflected),
        (of_c, of_b, ProbeRefusal::Misaddressed),
        (of_a, of_c, ProbeRefusal::Misaddressed),
        (of_c, of_a, ProbeRefusal::Misaddressed),
        (of_a, of_a, ProbeRefusal::Misaddressed),
        (of_b, of_b, ProbeRefusal::Misaddressed),
    ] {
        let request = Probe { sender, receiver, ..request.clone() };
        assert_eq!(b.judge(&request, START), RequestVerdict::Refused(refused));
        let reply = Probe { sender, receiver, ..reply.clone() };
        assert_eq!(b.association.reply(&reply, START + b.clock), Err(refused));
    }
    assert!(accepted(b.judge(&request, START)));
    // Sent back, before and after a new start.
    let own = b.ask(Purpose::Counted, START);
    assert_eq!(b.judge(&own, START), RequestVerdict::Refused(ProbeRefusal::Reflected));
    let mut anew = Host::new("b", "a", 77);
    assert_eq!(anew.judge(&own, START), RequestVerdict::Refused(ProbeRefusal::Reflected));
    // The session alone tells it, too.
    let session = b.association.session();
    let request = Probe { session, ..a.ask(Purpose::Counted, START) };
    assert_eq!(b.judge(&request, START), RequestVerdict::Refused(ProbeRefusal::Reflected));
}

#[test]
fn a_request_waits_for_one_answer_and_not_for_ever() {
    let [mut a, b] = associated();
    let now = START + a.clock;
    let requests = [Purpose::Counted, Purpose::Size, Purpose::Unsolicited, Purpose::Counted]
        .map(|purpose| a.ask(purpose, START));
    let reply = b.answer(&requests[1], 0, START);
    let strange = Probe { echoed_session: reply.echoed_session + 1, ..reply.clone() };
    assert_eq!(a.association.reply(&strange, now), Err(ProbeRefusal::Replayed));
    let early = Probe { echoed_sequence: requests[3].sequence + 1, ..reply.clone() };
    assert_eq!(a.association.reply(&early, now), Err(ProbeRefusal::Replayed));
    let answered = a.association.reply(&reply, now + REPLY_TIMEOUT).expect("accepted");
    assert_eq!((answered.request.purpose, answered.request.sent_at), (Purpose::Size, now));
    assert_eq!(a.association.reply(&reply, now), Err(ProbeRefusal::Replayed));
    let after = now + REPLY_TIMEOUT + Duration::from_nanos(1);
    let late = b.answer(&requests[0], 0, START);
    assert_eq!(a.association.reply(&late, after), Err(ProbeRefusal::Replayed));
    assert_eq!(a.association.expire(now + REPLY_TIMEOUT), []);
    let lost = a.association.expire(after).into_iter();
    let lost: Vec<_> = lost.map(|request| (request.sequence, request.purpose)).collect();
    let sequence = requests[0].sequence;
    assert_eq!(
        lost,
        [
            (sequence, Purpose::Counted),
            (sequence + 2, Purpose::Unsolicited),
            (sequence + 3, Purpose::Counted)
        ]
    );
    assert_eq!(a.association.expire(after), []);
}

#[test]
fn an_overtaken_answer_offers_nothing() {
    let [mut a, b] = associated();
    let (first, second) = (a.ask(Purpose::Counted, START), a.ask(Purpose::Counted, START));
    let now = START + a.clock;
    assert!(a.association.reply(&b.answer(&second, 6, START), now).expect("accepted").request_now);
    assert!(!a.association.reply(&b.answer(&first, 5, START), now).expect("accepted").request_now);
    assert_eq!(a.association.token(), 6);
    // Neither does an overtaken request.
    let [mut a, mut b] = associated();
    let (first, second) = (a.ask(Purpose::Counted, START), a.ask(Purpose::Counted, START));
    let offering = |request, offered_token| Probe { offered_token, ..request };
    for (request, newest) in [(offering(second, 6), true), (offering(first, 5), false)] {
        let RequestVerdict::Accepted { newest: is, request_now, .. } = b.judge(&request, START)
        else {
            panic!("refused");
        };
        assert_eq!((is, request_now), (newest, newest));
    }
    assert_eq!(b.association.token(), 6);
}

#[test]
fn so_many_wait_and_no_more() {
    let mut association = Association::new(name_id("a"), name_id("b"), 1);
    let mut next = |now| association.next_request(Purpose::Counted, now, || 1);
    for sequence in 1..=MAX_IN_FLIGHT as u64 {
        assert_eq!(next(START).map(|outgoing| outgoing.sequence), Some(sequence));
    }
    assert_eq!(next(START), None);
    assert_eq!(association.expire(seconds(6.0)).len(), MAX_IN_FLIGHT);
    let outgoing = association.next_request(Purpose::Size, seconds(6.0), || 1).expect("room");
    assert_eq!((outgoing.sequence, outgoing.requests_sent), (1025, 1024));
}

#[test]
fn what_was_accepted_is_counted_by_session() {
    let [mut a, mut b] = associated();
    let before = b.association.received();
    assert_eq!((before.requests, before.highest_requests_sent), (1, 2));
    for purpose in [Purpose::Counted, Purpose::Size, Purpose::Unsolicited, Purpose::Unsolicited] {
        let request = a.ask(purpose, START);
        assert!(accepted(b.judge(&request, START)));
        assert_eq!(b.judge(&request, START), COPY);
    }
    let seen = b.association.received();
    assert_eq!((seen.requests, seen.highest_requests_sent, seen.unsolicited), (2, 3, 2));
    assert_eq!(seen.session, a.association.session());
    let mut hosts = [Host::new("a", "b", 99), b];
    carry(&mut hosts, 0, START);
    let seen = hosts[1].association.received();
    assert_eq!((seen.requests, seen.unsolicited), (1, 0));
    assert_eq!(seen.session, hosts[0].association.session());
}

#[test]
fn no_random_number_makes_a_token_of_zero() {
    let mut association = Association::new(name_id("b"), name_id("a"), 1);
    let request = Probe { kind: ProbeKind::Request, ..sample() };
    let verdict = association.request(&request, HONEST, START, || 0);
    assert_ne!(offer(verdict), 0);
}
