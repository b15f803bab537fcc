//! How much an address, an organisation and a stranger may ask for: whoever has enough hears 429 and
//! when to come back, and nobody else notices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use monsys_wire::header::MAC;

use support::raw::Wire;
use support::refusal::assert_refusal;
use support::store::{Stored, anomalies, commits, number};
use support::{DataDir, Hub, poll};

#[test]
fn guessing_tokens_is_limited_by_address_and_writes_nothing() {
    let data = DataDir::new();
    data.add_org("acme");
    let mut agent = data.enrol("acme", "guesser");
    agent.token = format!("ms_{}", "A".repeat(43));
    let hub = Hub::start_with(&data, &[("MONSYS_ADDRESS_RATE", "5")]);
    let (before, commits_before) = (Stored::of(&data), commits(&data));
    let body = agent.metrics((1, 1), 4.2);
    let answers: Vec<_> = (0..60).map(|_| agent.send(&hub, body.as_bytes())).collect();
    let n_unknown = answers
        .iter()
        .take_while(|answer| answer.status == 401)
        .count();
    assert!(n_unknown >= 10, "the burst is twice the rate: {n_unknown}");
    let limited = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_refusal(limited, 429, "rate_limited");
    assert_eq!(Stored::of(&data), before);
    assert_eq!(commits(&data), commits_before);
}

/// Behind a proxy or a NAT all agents share one address.
#[test]
fn honest_agents_of_one_address_are_not_limited_however_many_send_at_once() {
    const N_SENDERS: i64 = 300;
    let data = DataDir::new();
    data.add_org("acme");
    let (agent, device) = (
        data.enrol("acme", "alpha"),
        data.enrol_device("acme", "web-1"),
    );
    let hub = Hub::start_with(&data, &[]);
    let of_agent = (1..=N_SENDERS).map(|seq| {
        let body = agent.metrics((1, seq), 4.2);
        agent.raw(body.as_bytes())
    });
    let of_device = (1..=N_SENDERS).map(|seq| {
        let body = device.metrics((1, seq), 4.2);
        device.request(&body, &device.stamp()).raw()
    });
    // All heads first: each request is under way until its last byte comes.
    let open = of_agent.chain(of_device).map(|request| {
        let (head, last) = request.split_at(request.len() - 1);
        (Wire::open(hub.addr).send(head), last.to_vec())
    });
    let open: Vec<_> = open.collect();
    for (wire, last) in open {
        wire.send(&last).answer().answer().accepted();
    }
}

#[test]
fn what_no_device_proves_counts_against_its_address_and_what_one_does_does_not() {
    let data = DataDir::new();
    data.add_org("acme");
    let device = data.enrol_device("acme", "web-1");
    let hub = Hub::start_with(&data, &[("MONSYS_ADDRESS_RATE", "1")]);
    for seq in 1..=20 {
        device.report(&hub, (1, seq), 4.2);
    }
    let captured = device.request(&device.metrics((1, 21), 4.2), &device.stamp());
    captured.send(&hub).accepted();
    let stale = device.stamp_ahead(-3_600);
    let stale = device.request(&device.metrics((1, 22), 4.2), &stale);
    let forged = captured.clone().with(MAC, Some(&[b'0'; 64]));
    for (request, status) in [(captured, 409), (stale, 401), (forged, 401)] {
        let (before, commits_before) = (Stored::of(&data), commits(&data));
        // Far more than the burst and what is refilled in between let through.
        let limited = (0..2_000).find_map(|_| {
            let answer = request.send(&hub);
            (answer.status != status).then_some(answer)
        });
        assert_refusal(&limited.unwrap(), 429, "rate_limited");
        assert_eq!(Stored::of(&data), before);
        assert_eq!(commits(&data), commits_before, "nothing is written");
    }
    assert_eq!(
        number(&data, "SELECT count(*) FROM integrity_anomalies", []),
        0
    );
}

#[test]
fn a_captured_request_uses_up_nothing_of_what_its_organisation_may_send() {
    let data = DataDir::new();
    data.add_org("acme");
    let device = data.enrol_device("acme", "web-1");
    let settings = [("MONSYS_ORG_RATE", "1"), ("MONSYS_ADDRESS_RATE", "0")];
    let hub = Hub::start_with(&data, &settings);
    // Of a burst of two, one is left.
    let captured = device.request(&device.metrics((1, 1), 4.2), &device.stamp());
    captured.send(&hub).accepted();
    for _ in 0..100 {
        assert_refusal(&captured.send(&hub), 409, "replay");
    }
    device.report(&hub, (1, 2), 4.2);
}

#[test]
fn what_slips_under_the_limit_together_is_owed() {
    const N_AT_ONCE: usize = 32;
    const RATE: usize = 10;
    let data = DataDir::new();
    data.add_org("acme");
    let mut agent = data.enrol("acme", "guesser");
    agent.token = format!("ms_{}", "A".repeat(43));
    let hub = Hub::start_with(&data, &[("MONSYS_ADDRESS_RATE", &RATE.to_string())]);
    let body = agent.metrics((1, 1), 4.2);
    let gate = Barrier::new(N_AT_ONCE);
    let started = Instant::now();
    let n_unknown: usize = std::thread::scope(|scope| {
        let guess = || {
            gate.wait();
            let answers = (0..8).map(|_| agent.send(&hub, body.as_bytes()).status);
            answers.filter(|status| *status == 401).count()
        };
        let threads: Vec<_> = (0..N_AT_ONCE).map(|_| scope.spawn(guess)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    let refilled = usize::try_from(started.elapsed().as_millis()).unwrap() * RATE / 1_000 + 1;
    // Those that were under way together when the bucket ran dry, and no more whatever follows.
    let n_allowed = 2 * RATE + N_AT_ONCE + refilled;
    assert!(
        (2 * RATE..=n_allowed).contains(&n_unknown),
        "{n_unknown} passed, allowed were {n_allowed}"
    );
}

#[test]
fn i8_an_organisation_that_sends_too_much_is_told_when_to_come_back_and_others_are_not() {
    let data = DataDir::new();
    data.add_org("loud");
    data.add_org("quiet");
    let (loud, quiet) = (data.enrol("loud", "alpha"), data.enrol("quiet", "beta"));
    let hub = Hub::start_with(&data, &[("MONSYS_ORG_RATE", "5")]);
    let mut answers = (1..=60).map(|seq| {
        let answer = loud.send(&hub, loud.metrics((1, seq), 4.2).as_bytes());
        (seq, answer)
    });
    let (seq, limited) = answers.find(|(_, answer)| answer.status != 202).unwrap();
    assert!(seq > 10, "the burst is twice the rate: {seq}");
    assert_refusal(&limited, 429, "rate_limited");
    quiet.report(&hub, (1, 1), 4.2, "0.1.0");
    let sql = "SELECT count(*) FROM metrics WHERE agent_id = ?1";
    assert_eq!(number(&data, sql, [loud.id.to_string()]), seq - 1);
    assert_eq!(
        anomalies(&data, &loud),
        [],
        "haste at the limit is no finding of its own"
    );
    let accepted = poll("the limit lifts", Duration::from_secs(5), || {
        let answer = loud.send(&hub, loud.metrics((1, seq), 4.2).as_bytes());
        (answer.status == 202).then_some(answer)
    });
    assert_eq!(accepted.json()["status"], "accepted");
}
