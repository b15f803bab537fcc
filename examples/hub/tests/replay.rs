//! Positions over HTTP (contract §2): what is a duplicate, what a replay, and which epochs follow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_core::time::Span;

use support::refusal::assert_refusal;
use support::store::{Stored, number, rows};
use support::{Answer, DataDir, Hub, TestAgent, now};

struct Scene {
    data: DataDir,
    hub: Hub,
    agent: TestAgent,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "alpha");
        let hub = Hub::start(&data);
        Self { data, hub, agent }
    }

    fn body(&self, epoch: i64, seq: i64) -> String {
        self.agent.metrics((epoch, seq), 4.0).as_str().to_owned()
    }

    fn send(&self, body: &str) -> Answer {
        self.agent.send(&self.hub, body.as_bytes())
    }

    fn accept(&self, epoch: i64, seq: i64) -> String {
        let body = self.body(epoch, seq);
        self.send(&body).accepted();
        body
    }

    /// Asserts that a body is a duplicate, which changes nothing.
    fn assert_duplicate(&self, body: &str) {
        let before = Stored::of(&self.data);
        let answer = self.send(body);
        assert_eq!(
            (answer.status, answer.json()["status"].as_str()),
            (200, Some("duplicate"))
        );
        assert_eq!(Stored::of(&self.data), before);
    }

    /// Asserts that a body is refused for its position, which changes nothing.
    fn assert_refused(&self, body: &str, status: u16, code: &str) -> Answer {
        let before = Stored::of(&self.data);
        let answer = self.send(body);
        assert_refusal(&answer, status, code);
        assert_eq!(Stored::of(&self.data), before);
        answer
    }
}

#[test]
fn the_same_payload_again_is_a_duplicate_that_changes_nothing() {
    let scene = Scene::new();
    let first = scene.accept(1, 1);
    scene.assert_duplicate(&first);
    scene.accept(1, 2);
    scene.assert_duplicate(&first);
}

#[test]
fn a_retry_differs_in_sent_at_and_is_still_a_duplicate() {
    let scene = Scene::new();
    let body = scene.agent.metrics((1, 1), 4.0);
    scene.send(body.as_str()).accepted();
    let later = body
        .with_sent_at(now().saturating_add(Span::from_secs(90)))
        .unwrap();
    assert_ne!(later.as_str(), body.as_str());
    scene.assert_duplicate(later.as_str());
}

#[test]
fn other_content_at_a_used_position_is_a_replay() {
    let scene = Scene::new();
    scene.accept(1, 1);
    let other = scene.agent.metrics((1, 1), 4.5);
    scene.assert_refused(other.as_str(), 409, "replay");
    scene.accept(1, 2);
}

#[test]
fn the_same_content_in_another_spelling_is_accepted_and_a_duplicate() {
    let scene = Scene::new();
    let body = scene.body(1, 1);
    let members = body
        .strip_prefix('{')
        .unwrap()
        .strip_suffix(r#","v":1}"#)
        .unwrap();
    let spellings = [
        body.replace("\"cpu_usage_percent\":4", "\"cpu_usage_percent\":4.0"),
        body.replace("\"cpu_usage_percent\":4", "\"cpu_usage_percent\":40e-1"),
        body.replace("\"v\":1", "\"v\":1.0"),
        body.replace("\"seq\":1", "\"seq\":1e0"),
        body.replace("\"v\":1", "\"\\u0076\":1"),
        body.replace("metrics", "m\\u0065trics"),
        format!("{{\"v\":1,{members}}}"),
        format!(
            " \t\r\n{}\n",
            body.replace(',', " ,\r\n\t")
                .replace(':', " : ")
                .replace(" : ", ":")
        ),
    ];
    for (i, spelling) in spellings.iter().enumerate() {
        assert_ne!(*spelling, body);
        let seq = i64::try_from(i).unwrap() + 2;
        let of_seq = |text: &str| text.replace("\"seq\":1", &format!("\"seq\":{seq}"));
        scene.send(&of_seq(spelling)).accepted();
        scene.assert_duplicate(&of_seq(spelling));
        if !spelling.contains("1e0") {
            scene.assert_duplicate(&of_seq(&body));
        }
    }
    let cpu = rows(
        &scene.data,
        "SELECT DISTINCT cpu_usage_percent FROM metrics",
        [],
        |row| row.get::<_, f64>(0),
    );
    assert_eq!(cpu, [4.0]);
}

#[test]
fn a_lost_epoch_goes_on_above_the_current_one() {
    let scene = Scene::new();
    let of_first = scene.accept(1, 1);
    scene.accept(5, 1);
    let answer = scene.assert_refused(&scene.body(4, 1), 409, "stale_epoch");
    assert_eq!(answer.json()["min_epoch"], 6);
    let answer = scene.assert_refused(&scene.body(1, 2), 409, "stale_epoch");
    assert_eq!(answer.json()["min_epoch"], 6);
    scene.assert_duplicate(&of_first);
    let other = scene.agent.metrics((1, 1), 4.5);
    scene.assert_refused(other.as_str(), 409, "replay");
    scene.accept(6, 1);
}

#[test]
fn an_epoch_jumps_a_million_and_no_further() {
    let scene = Scene::new();
    scene.accept(1, 1);
    let answer = scene.assert_refused(&scene.body(1_000_002, 1), 422, "out_of_range");
    assert_eq!(answer.json()["pointer"], "/epoch");
    scene.accept(1_000_001, 1);
}

#[test]
fn the_first_epoch_is_at_most_2_to_the_40() {
    let scene = Scene::new();
    scene.assert_refused(&scene.body((1 << 40) + 1, 1), 422, "out_of_range");
    scene.accept(1 << 40, 1);
    scene.assert_refused(&scene.body(1, 1), 409, "stale_epoch");
}

#[test]
fn the_largest_position_is_accepted_once() {
    let scene = Scene::new();
    let largest = scene.accept(1, 9_007_199_254_740_991);
    scene.assert_duplicate(&largest);
    scene.accept(1, 1);
}

#[test]
fn a_backlog_fills_the_gap_that_the_freshest_payload_left() {
    let scene = Scene::new();
    scene.accept(1, 10);
    let late = scene.agent.metrics((1, 9), 4.0);
    let captured = now().saturating_sub(Span::from_secs(300)).to_rfc3339();
    let text = late.as_str();
    let (before, rest) = text.split_once(r#""captured_at":""#).unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let late = format!(r#"{before}"captured_at":"{captured}"{after}"#);
    scene.send(&late).accepted();
    let fresh_ahead = late.replace("\"seq\":9", "\"seq\":11");
    scene.send(&fresh_ahead).accepted();
    let sql = "SELECT seq, is_spooled FROM metrics ORDER BY seq";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?));
    let spooled = rows(&scene.data, sql, [], read);
    assert_eq!(spooled, [(9, true), (10, false), (11, false)]);
}

#[test]
fn of_65_gaps_the_shortest_is_closed_and_refuses_for_ever() {
    let scene = Scene::new();
    // A wide gap at first, then gaps of one position each.
    scene.accept(1, 100);
    for i in 1..=64 {
        scene.accept(1, 100 + 2 * i);
    }
    // The first gap is 1 to 99, the next 101; now one more than 64.
    scene.assert_refused(&scene.body(1, 101), 409, "replay");
    scene.accept(1, 103);
    scene.accept(1, 50);
    assert_eq!(
        number(
            &scene.data,
            "SELECT count(*) FROM metrics WHERE seq = 101",
            []
        ),
        0
    );
}

#[test]
fn pinning_a_key_starts_the_positions_anew() {
    let scene = Scene::new();
    let agent = scene.data.enrol_without_key("acme", "keyless");
    let body = agent.metrics((7, 7), 4.0);
    agent
        .send_with(&scene.hub, body.as_bytes(), None)
        .accepted();
    let pinned = agent.pin(&scene.hub);
    assert_eq!(pinned.status, 200, "{pinned:?}");
    assert_eq!(
        agent.pin(&scene.hub).status,
        200,
        "the same key again is no conflict"
    );
    agent
        .send(&scene.hub, agent.metrics((1, 1), 4.0).as_bytes())
        .accepted();
}
