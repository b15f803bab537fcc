//! A flood of forged requests: one open row per kind, every request counted, few writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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
