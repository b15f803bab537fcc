//! Two hubs on one store: a position or nonce is used up once, whichever hub it comes to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::sync::Barrier;

use support::refusal::assert_refusal;
use support::store::{number, rows};
use support::{Answer, DataDir, Hub, TestAgent};

struct Scene {
    data: DataDir,
    hubs: [Hub; 2],
    agent: TestAgent,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "alpha");
        let hubs = [Hub::start(&data), Hub::start(&data)];
        Self { data, hubs, agent }
    }

    /// Sends one body to each hub at the same moment.
    fn send_both(&self, bodies: [&[u8]; 2]) -> [Answer; 2] {
        let barrier = Barrier::new(2);
        let [first, second] = &self.hubs;
        let [one, other] = bodies;
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| {
                barrier.wait();
                self.agent.send(first, one)
            });
            barrier.wait();
            let answer = self.agent.send(second, other);
            [sent.join().unwrap(), answer]
        })
    }
}

#[test]
fn the_same_payload_to_both_at_once_is_accepted_once_and_a_duplicate_once() {
    let scene = Scene::new();
    let mut first_won = 0;
    for seq in 1..=200 {
        let body = scene.agent.metrics((1, seq), 4.2);
        let answers = scene.send_both([body.as_bytes(), body.as_bytes()]);
        let mut statuses = answers.each_ref().map(|answer| answer.status);
        first_won += i32::from(statuses[0] == 202);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 202], "{seq}: {answers:?}");
    }
    println!("the first hub won {first_won} of 200");
    let sql = "SELECT count(*), count(DISTINCT seq) FROM metrics";
    let counts = rows(&scene.data, sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(counts, [(200_i64, 200_i64)]);
    scene
        .hubs
        .into_iter()
        .for_each(|mut hub| hub.assert_alive());
}

#[test]
fn other_content_under_the_same_position_is_accepted_once_and_a_replay_once() {
    let scene = Scene::new();
    for seq in 1..=200 {
        let (one, other) = (
            scene.agent.metrics((1, seq), 4.2),
            scene.agent.metrics((1, seq), 4.3),
        );
        let answers = scene.send_both([one.as_bytes(), other.as_bytes()]);
        let refused = answers.iter().find(|answer| answer.status != 202);
        let accepted = answers.iter().filter(|answer| answer.status == 202).count();
        assert_eq!(accepted, 1, "{seq}: {answers:?}");
        assert_refusal(refused.unwrap(), 409, "replay");
        let cpu = if answers[0].status == 202 { 4.2 } else { 4.3 };
        let sql = "SELECT cpu_usage_percent FROM metrics WHERE seq = ?1";
        assert_eq!(
            rows(&scene.data, sql, [seq], |row| row.get::<_, f64>(0)),
            [cpu]
        );
    }
}

#[test]
fn the_same_nonce_to_both_at_once_passes_once() {
    let scene = Scene::new();
    let device = scene.data.enrol_device("acme", "web-1");
    let barrier = Barrier::new(2);
    for round in 1..=100 {
        let stamp = device.stamp();
        // Other positions, so that only the nonce tells the two apart from honest ones.
        let sent = [(0, 2 * round), (1, 2 * round + 1)].map(|(hub, seq)| {
            let request = device.request(&device.metrics((1, seq), 4.2), &stamp);
            (request, scene.hubs[hub].addr)
        });
        let answers = std::thread::scope(|scope| {
            let threads = sent.each_ref().map(|(request, addr)| {
                scope.spawn(|| {
                    barrier.wait();
                    request.send_to(*addr)
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        let mut statuses = answers.each_ref().map(|answer| answer.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 409], "{round}: {answers:?}");
    }
    let sql = "SELECT count(*) FROM metrics";
    assert_eq!(number(&scene.data, sql, []), 100);
}

#[test]
fn a_captured_request_is_refused_by_the_other_hub() {
    let scene = Scene::new();
    let device = scene.data.enrol_device("acme", "web-1");
    let [first, second] = &scene.hubs;
    let wrong = device.metrics((1, 1), 4.2).replace("\"v\":1", "\"v\":2");
    for (body, status) in [(device.metrics((1, 1), 4.2), 202), (wrong, 422)] {
        let captured = device.request(&body, &device.stamp());
        assert_eq!(captured.send(first).status, status);
        for hub in [second, first] {
            assert_refusal(&captured.send(hub), 409, "replay");
        }
    }
}

#[test]
fn both_hubs_are_one_audience_and_see_each_others_agents() {
    let scene = Scene::new();
    let late = scene.data.enrol("acme", "late");
    for (seq, hub) in (1..).zip(&scene.hubs) {
        late.report(hub, (1, seq), 4.2, "0.1.0");
    }
    scene.data.json(&["agent", "revoke", &late.id.to_string()]);
    for hub in &scene.hubs {
        let answer = late.send(hub, late.metrics((1, 9), 4.2).as_bytes());
        assert_refusal(&answer, 403, "revoked");
    }
}

#[test]
fn findings_of_both_hubs_meet_in_one_row() {
    let scene = Scene::new();
    for hub in &scene.hubs {
        let body = scene.agent.metrics((1, 1), 4.2);
        let answer = scene.agent.send_with(hub, body.as_bytes(), None);
        assert_refusal(&answer, 403, "unsigned_payload");
    }
    let sql = "SELECT count(*), sum(occurrences) FROM integrity_anomalies";
    let counts = rows(&scene.data, sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(counts, [(1_i64, 2_i64)]);
}

#[test]
fn hubs_that_start_at_once_on_an_empty_directory_make_one_store() {
    for round in 0..40 {
        let data = DataDir::new();
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            let add = |name: &'static str| {
                let (data, barrier) = (&data, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    data.run(&["org", "add", name])
                })
            };
            let threads = ["a", "b", "c", "d"].map(add);
            for thread in threads {
                let output = thread.join().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(0), "round {round}: {said}");
            }
        });
        assert_eq!(number(&data, "SELECT count(*) FROM tenants", []), 4);
    }
}
