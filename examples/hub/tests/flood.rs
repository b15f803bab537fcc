//! A flood of forged requests: one open row per kind, every request counted, few writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use monsys_wire::header::MAC;

use support::raw::Wire;
use support::refusal::assert_refusal;
use support::store::{Stored, anomalies, commits, number, open_occurrences};
use support::{DataDir, Hub, TestAgent, poll};

const N_THREADS: usize = 6;

/// Sends forged requests from several threads, every other one without a signature, and counts the
/// answers by status.
fn flood(hub: &Hub, agent: &TestAgent, n_requests: usize) -> BTreeMap<(bool, u16), i64> {
    let forged = "ab".repeat(64);
    let next = AtomicUsize::new(0);
    let mut counts = BTreeMap::new();
    std::thread::scope(|scope| {
        let send = || {
            let mut counts = BTreeMap::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= n_requests {
                    return counts;
                }
                let is_unsigned = n.is_multiple_of(2);
                let body = agent.metrics((1, i64::try_from(n).unwrap() + 1), 4.2);
                let signature = (!is_unsigned).then_some(forged.as_str());
                let answer = agent.send_with(hub, body.as_bytes(), signature);
                match answer.status {
                    403 if is_unsigned => assert_refusal(&answer, 403, "unsigned_payload"),
                    403 => assert_refusal(&answer, 403, "bad_signature"),
                    _ => {
                        assert_refusal(&answer, 429, "rate_limited");
                        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
                        assert!(wait >= 1);
                    }
                }
                *counts.entry((is_unsigned, answer.status)).or_insert(0) += 1;
            }
        };
        let threads: Vec<_> = (0..N_THREADS).map(|_| scope.spawn(send)).collect();
        for thread in threads {
            for (key, count) in thread.join().unwrap() {
                *counts.entry(key).or_insert(0) += count;
            }
        }
    });
    counts
}

fn statements_about_integrity(data: &DataDir) -> i64 {
    let sql = "SELECT count(*) FROM signal_streams WHERE source = 'integrity_check'";
    number(data, sql, [])
}

#[test]
fn a_flood_is_counted_whole_in_one_row_per_kind_and_few_writes() {
    const N_REQUESTS: usize = 3_000;
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "victim");
    let mut hub = Hub::start(&data);
    let (before, commits_before, started) = (Stored::of(&data), commits(&data), Instant::now());

    let counts = flood(&hub, &agent, N_REQUESTS);

    let half = i64::try_from(N_REQUESTS / 2).unwrap();
    assert_eq!(
        counts,
        BTreeMap::from([((true, 403), half), ((false, 403), half)])
    );
    let expected = [("signature_invalid", half), ("unsigned_payload", half)];
    let expected: BTreeMap<_, _> = expected.map(|(kind, n)| (kind.to_owned(), n)).into();
    poll("every request is counted", Duration::from_secs(5), || {
        (open_occurrences(&data) == expected).then_some(())
    });
    let (elapsed, n_commits) = (started.elapsed(), commits(&data) - commits_before);
    // One write a second and kind, besides the first and the last of each.
    let n_commits_max = 2 * (u32::try_from(elapsed.as_secs()).unwrap() + 3);
    assert!(
        (2..=n_commits_max).contains(&n_commits),
        "{n_commits} commits in {elapsed:?}"
    );
    assert_eq!(anomalies(&data, &agent).len(), 2);
    assert_eq!(statements_about_integrity(&data), 2);
    assert_eq!(Stored::of(&data), before);
    hub.assert_alive();
    agent.report(&hub, (1, 1), 4.2, "0.1.0");
}

#[test]
fn the_default_limit_of_an_address_holds_and_what_it_lets_through_is_counted() {
    const N_REQUESTS: usize = 900;
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "victim");
    let hub = Hub::start_with(&data, &[]);
    let started = Instant::now();

    let counts = flood(&hub, &agent, N_REQUESTS);

    let of = |is_unsigned, status| counts.get(&(is_unsigned, status)).copied().unwrap_or(0);
    let n_refused = of(true, 403) + of(false, 403);
    let n_limited = of(true, 429) + of(false, 429);
    assert_eq!(n_refused + n_limited, i64::try_from(N_REQUESTS).unwrap());
    // A burst of 200 and 100 a second; each thread may have one more request under way.
    let seconds = i64::try_from(started.elapsed().as_secs()).unwrap() + 1;
    let n_refused_max = 200 + 100 * seconds + i64::try_from(N_THREADS).unwrap();
    assert!(n_refused <= n_refused_max, "{n_refused} in {seconds} s");
    assert!(n_limited > 0, "{counts:?}");
    let expected = [
        ("signature_invalid", of(false, 403)),
        ("unsigned_payload", of(true, 403)),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(kind, n)| (kind.to_owned(), n)).into();
    poll(
        "every refused request is counted",
        Duration::from_secs(5),
        || (open_occurrences(&data) == expected).then_some(()),
    );
}

#[test]
fn an_orderly_end_in_the_middle_of_a_flood_writes_what_was_counted() {
    const N_REQUESTS: usize = 300;
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "victim");
    let mut hub = Hub::start(&data);
    flood(&hub, &agent, N_REQUESTS);
    hub.terminate();
    let status = hub.wait(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "{}", hub.log());
    let total: i64 = open_occurrences(&data).values().sum();
    assert_eq!(total, i64::try_from(N_REQUESTS).unwrap());
}

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
fn an_organisation_that_sends_too_much_is_told_when_to_come_back_and_others_are_not() {
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
