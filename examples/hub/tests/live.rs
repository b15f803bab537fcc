//! `GET /integrity/events`: who hears what, and when it ends.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

mod support;

use std::time::{Duration, Instant};

use support::events::{Event, Events};
use support::person::Person;
use support::refusal::{assert_refusal, assert_security_headers};
use support::store::{change, number};
use support::{DataDir, Hub, PATIENCE, TestAgent, poll};

const EVENTS: &str = "/integrity/events";
/// The promise of issue 7, for the hub's part of it.
const PROMISE: Duration = Duration::from_secs(2);
/// A stream looks at its session every 15 s.
const BEAT: Duration = Duration::from_secs(17);
/// The hub gives requests under way 10 s; streams must not need them.
const END_WITHIN: Duration = Duration::from_secs(5);

struct Scene {
    data: DataDir,
    hub: Hub,
    agent: TestAgent,
    admin: Person,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "web-1");
        let hub = Hub::start(&data);
        let admin = Person::added(&data, &hub, "acme", "admin");
        Self {
            data,
            hub,
            agent,
            admin,
        }
    }

    fn stream(&self) -> Events {
        Events::open(&self.hub, &self.admin, EVENTS, None)
    }

    /// Sends without a signature, which is a finding at once.
    fn offend(&self, hub: &Hub, seq: i64) {
        let body = self.agent.metrics((1, seq), 4.2);
        let answer = self.agent.send_with(hub, body.as_bytes(), None);
        assert_refusal(&answer, 403, "unsigned_payload");
    }
}

fn ledger(seq: u64) -> Event {
    Event {
        name: "ledger".into(),
        id: seq.to_string(),
        data: format!("{{\"seq\":{seq}}}"),
    }
}

#[test]
fn a_viewer_hears_of_a_finding_within_two_seconds() {
    let scene = Scene::new();
    let mut events = scene.stream();
    let head = events.answer();
    assert_eq!(head.status, 200);
    assert_security_headers(&head);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(head.header(name), Some(value), "{head:?}");
    }
    assert_eq!(
        events.next(PATIENCE),
        ledger(0),
        "who knows nothing is told"
    );
    let start = Instant::now();
    scene.offend(&scene.hub, 1);
    assert_eq!(events.next(PROMISE), ledger(1));
    println!("heard after {:?}", start.elapsed());
}

#[test]
fn who_comes_back_hears_at_once_of_what_was_missed_and_of_nothing_else() {
    let scene = Scene::new();
    scene.offend(&scene.hub, 1);
    let open = |path: &str, last| Events::open(&scene.hub, &scene.admin, path, last);
    for (path, last) in [
        (EVENTS, Some("0")),
        ("/integrity/events?after=0", None),
        ("/integrity/events?after=1", Some("0")),
        // A store that was brought back from a copy has less than the browser saw.
        (EVENTS, Some("9")),
        (EVENTS, Some("never given")),
    ] {
        assert_eq!(open(path, last).next(PROMISE), ledger(1), "{path} {last:?}");
    }
    let mut current = open("/integrity/events?after=1", None);
    let mut returned = open("/integrity/events?after=0", Some("1"));
    for seq in 2..=3 {
        let id = number(&scene.data, "SELECT count(*) FROM integrity_events", []);
        assert_eq!(id, i64::try_from(seq).unwrap() - 1);
        resolve_or_offend(&scene, seq);
        for events in [&mut current, &mut returned] {
            assert_eq!(events.next(PROMISE), ledger(seq));
        }
    }
}

/// Makes the ledger longer by one entry.
fn resolve_or_offend(scene: &Scene, seq: u64) {
    if seq.is_multiple_of(2) {
        let anomaly = support::store::anomalies(&scene.data, &scene.agent).remove(0);
        let path = format!("/api/v1/integrity/anomalies/{}/resolve", anomaly.id);
        assert_eq!(scene.admin.post(&scene.hub, &path, "", &[]).status, 200);
    } else {
        scene.offend(&scene.hub, i64::try_from(seq).unwrap());
    }
}

#[test]
fn a_viewer_of_one_hub_hears_what_another_hub_and_a_command_wrote() {
    let scene = Scene::new();
    let other = Hub::start(&scene.data);
    let mut events = scene.stream();
    events.next(PATIENCE);
    scene.offend(&other, 1);
    assert_eq!(events.next(PROMISE), ledger(1));
    scene.agent.report(&scene.hub, (1, 2), 1.0, "0.2.0");
    scene.agent.report(&scene.hub, (1, 3), 2.0, "0.1.9");
    scene.data.cycle();
    let seq = number(&scene.data, "SELECT max(seq) FROM integrity_events", []);
    assert!(seq > 1);
    let seq = u64::try_from(seq).unwrap();
    // The cycle's entries may come as one event or as two.
    while events.next(PROMISE) != ledger(seq) {}
}

#[test]
fn who_may_not_see_the_page_hears_nothing() {
    let scene = Scene::new();
    scene.data.add_org("rival");
    let rival = Person::added(&scene.data, &scene.hub, "rival", "admin");
    let reader = Person::added(&scene.data, &scene.hub, "acme", "read_only");
    let nobody = Person::anonymous().get(&scene.hub, EVENTS);
    assert_refusal(&nobody, 401, "unauthorized");
    for query in ["after=x", "after=-1", "after=", "before=1"] {
        let answer = scene.admin.get(&scene.hub, &format!("{EVENTS}?{query}"));
        assert_refusal(&answer, 422, "out_of_range");
    }
    let mut theirs = Events::open(&scene.hub, &rival, EVENTS, None);
    assert_eq!(theirs.next(PATIENCE), ledger(0));
    let mut ours = Events::open(&scene.hub, &reader, EVENTS, None);
    assert_eq!(ours.next(PATIENCE), ledger(0), "who reads hears as well");
    for seq in 1..=3 {
        resolve_or_offend(&scene, seq);
        assert_eq!(ours.next(PROMISE), ledger(seq));
    }
    assert_eq!(theirs.all(), [ledger(0)]);
}

#[test]
fn open_streams_do_not_hold_up_the_end() {
    let mut scene = Scene::new();
    let mut open: Vec<_> = (0..4).map(|_| scene.stream()).collect();
    for events in &mut open {
        events.next(PATIENCE);
    }
    scene.hub.terminate();
    for events in &mut open {
        events.assert_ends(END_WITHIN);
    }
    assert!(scene.hub.wait(END_WITHIN).success());
    assert!(!scene.hub.log().contains("cut off"), "{}", scene.hub.log());
}

#[test]
fn a_stream_lives_by_beats_and_ends_with_its_session() {
    let scene = Scene::new();
    let other = Person::added(&scene.data, &scene.hub, "acme", "read_only");
    let mut lasting = Events::open(&scene.hub, &other, EVENTS, None);
    let mut revoked = scene.stream();
    revoked.next(PATIENCE);
    let page = scene.admin.get(&scene.hub, "/overview").body;
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
    let form = format!("csrf={}", rest.split('"').next().unwrap());
    let answer = scene.admin.post_form(&scene.hub, "/logout", &form);
    assert_eq!(answer.status, 303);
    revoked.assert_ends(BEAT);
    lasting.next(PATIENCE);
    lasting.assert_beats(BEAT);
    let again = scene.admin.get(&scene.hub, EVENTS);
    assert_refusal(&again, 401, "unauthorized");
    // What an operator takes away in the store ends as well.
    change(&scene.data, "DELETE FROM sessions");
    lasting.assert_ends(BEAT);
}

#[test]
fn a_session_has_four_streams_and_gets_a_place_back_when_one_closes() {
    let scene = Scene::new();
    let mut open: Vec<_> = (0..4).map(|_| scene.stream()).collect();
    let refused = scene.admin.get(&scene.hub, EVENTS);
    assert_refusal(&refused, 429, "no_stream");
    assert_eq!(refused.header("retry-after"), Some("60"));
    let reader = Person::added(&scene.data, &scene.hub, "acme", "read_only");
    assert_eq!(
        Events::open(&scene.hub, &reader, EVENTS, None)
            .answer()
            .status,
        200
    );
    drop(open.pop());
    poll("the place comes back", PATIENCE, || {
        (scene.stream().answer().status == 200).then_some(())
    });
    assert_eq!(
        scene.admin.get(&scene.hub, "/integrity").status,
        200,
        "pages go on"
    );
}
