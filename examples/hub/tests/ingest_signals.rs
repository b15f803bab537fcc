//! Batches of signals over HTTP: all or nothing, about the sender only, refused with every rule
//! that is broken (signals document; contract §6).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_core::signal::SignalDraft;
use monsys_core::time::Span;
use monsys_wire::compose::Outbound;

use serde_json::{Value, json};
use support::refusal::assert_refusal;
use support::store::{Stored, rows};
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

    fn send(&self, seq: i64, drafts: &[SignalDraft]) -> Answer {
        let body = self
            .agent
            .compose((1, seq), "0.1.0", Outbound::Signals(drafts));
        self.agent.send(&self.hub, body.as_bytes())
    }

    /// Asserts that a batch is refused whole, and returns index, field and rule of each violation.
    fn refused(&self, drafts: &[SignalDraft]) -> Vec<(u64, String, String)> {
        let before = Stored::of(&self.data);
        let answer = self.send(1, drafts);
        assert_refusal(&answer, 422, "invalid_signal");
        assert_eq!(Stored::of(&self.data), before);
        let problem = answer.json();
        let violations = problem["violations"].as_array().unwrap();
        let text = |violation: &Value, member: &str| violation[member].as_str().unwrap().to_owned();
        violations
            .iter()
            .map(|violation| {
                assert!(!text(violation, "message").is_empty());
                let index = violation["index"].as_u64().unwrap();
                (index, text(violation, "field"), text(violation, "rule"))
            })
            .collect()
    }
}

fn draft() -> SignalDraft {
    SignalDraft {
        source: "backup_check".into(),
        subject_type: "agent".into(),
        subject_id: String::new(),
        key: "backup.age_hours".into(),
        value: r#"{"value":30}"#.into(),
        severity: Some("high".into()),
        observed_at: now(),
        ttl_seconds: Some(600),
    }
}

#[test]
fn signals_are_about_their_sender_whatever_they_say() {
    let scene = Scene::new();
    let other = scene.data.enrol("acme", "beta").id.to_string();
    let drafts = ["", "somebody", &other].map(|subject_id| SignalDraft {
        subject_id: subject_id.into(),
        ..draft()
    });
    scene.send(1, &drafts).accepted();
    let sql = "SELECT DISTINCT source, subject_type, subject_id, signal_key, signal_value, \
               severity, ttl_seconds FROM signal_streams WHERE source <> 'integrity_check'";
    let stored = rows(&scene.data, sql, [], |row| {
        let text = |index| row.get::<_, String>(index);
        // Each store has spaces of its own in a value.
        let value: Value = serde_json::from_str(&text(4)?).unwrap();
        Ok((
            [text(0)?, text(1)?, text(2)?, text(3)?, text(5)?],
            (value, row.get::<_, i64>(6)?),
        ))
    });
    let own = scene.agent.id.to_string();
    let expected = ["backup_check", "agent", &own, "backup.age_hours", "high"];
    let value = json!({"value": 30});
    assert_eq!(stored, [(expected.map(str::to_owned), (value, 600))]);
    assert_eq!(Stored::of(&scene.data).signals, 3);
}

#[test]
fn each_broken_rule_is_named_with_its_field() {
    let scene = Scene::new();
    let long_key = format!("a.{}", "b".repeat(127));
    let deep = format!(r#"{{"value":{}{}}}"#, "[".repeat(8), "]".repeat(8));
    let large = format!(r#"{{"value":"{}"}}"#, "x".repeat(16_384));
    let future = now().saturating_add(Span::from_secs(400));
    let past = now().saturating_sub(Span::from_secs(181 * 86_400));
    let cases: [(SignalDraft, &str, &str); 14] = [
        (
            SignalDraft {
                source: "integrity_check".into(),
                ..draft()
            },
            "source",
            "agent_source_allowed",
        ),
        (
            SignalDraft {
                source: "cert_scan".into(),
                ..draft()
            },
            "source",
            "agent_source_allowed",
        ),
        (
            SignalDraft {
                subject_type: "domain".into(),
                ..draft()
            },
            "subject_type",
            "agent_subject_type_allowed",
        ),
        (
            SignalDraft {
                key: "age".into(),
                ..draft()
            },
            "key",
            "signal_key_format",
        ),
        (
            SignalDraft {
                key: "Backup.Age".into(),
                ..draft()
            },
            "key",
            "signal_key_format",
        ),
        (
            SignalDraft {
                key: long_key,
                ..draft()
            },
            "key",
            "signal_key_format",
        ),
        (
            SignalDraft {
                value: "30".into(),
                ..draft()
            },
            "value",
            "signal_value_object",
        ),
        (
            SignalDraft {
                value: r#"{"age":30}"#.into(),
                ..draft()
            },
            "value",
            "signal_value_object",
        ),
        (
            SignalDraft {
                value: deep,
                ..draft()
            },
            "value",
            "signal_value_depth",
        ),
        (
            SignalDraft {
                value: large,
                ..draft()
            },
            "value",
            "signal_value_size",
        ),
        (
            SignalDraft {
                severity: Some("High".into()),
                ..draft()
            },
            "severity",
            "severity_word",
        ),
        (
            SignalDraft {
                observed_at: future,
                ..draft()
            },
            "observed_at",
            "observed_at_future",
        ),
        (
            SignalDraft {
                observed_at: past,
                ..draft()
            },
            "observed_at",
            "observed_at_retention",
        ),
        (
            SignalDraft {
                ttl_seconds: Some(0),
                ..draft()
            },
            "ttl_seconds",
            "ttl_seconds_range",
        ),
    ];
    for (broken, field, rule) in cases {
        let expected = [(1, field.to_owned(), rule.to_owned())];
        assert_eq!(scene.refused(&[draft(), broken, draft()]), expected);
    }
    scene.send(1, &[draft()]).accepted();
}

#[test]
fn all_violations_of_a_batch_are_counted_and_the_first_are_shown() {
    let scene = Scene::new();
    let bad = SignalDraft {
        source: "cert_scan".into(),
        ttl_seconds: Some(-1),
        ..draft()
    };
    let shown = scene.refused(&[draft(), bad.clone(), draft(), bad.clone()]);
    let indexes: Vec<_> = shown.iter().map(|(index, _, _)| *index).collect();
    assert_eq!(indexes, [1, 1, 3, 3]);
    let shown = scene.refused(&vec![bad; 1_000]);
    assert!(
        shown.len() <= 100,
        "{} violations in one answer",
        shown.len()
    );
}

#[test]
fn a_batch_holds_1_to_1000_signals() {
    let scene = Scene::new();
    let whole = scene
        .agent
        .compose((1, 1), "0.1.0", Outbound::Signals(&vec![draft(); 1_000]));
    let text = whole.as_str();
    let (start, end) = (text.find('[').unwrap(), text.rfind(']').unwrap());
    let none = format!("{}[]{}", &text[..start], &text[end + 1..]);
    let one = &text[start + 1..=start + text[start..].find("},{").unwrap()];
    let too_many = format!("{},{one}]{}", &text[..end], &text[end + 1..]);
    for body in [none, too_many] {
        let answer = scene.agent.send(&scene.hub, body.as_bytes());
        assert_refusal(&answer, 422, "out_of_range");
        assert_eq!(answer.json()["pointer"], "/data/signals");
    }
    assert_eq!(Stored::of(&scene.data).signals, 0);
    scene.agent.send(&scene.hub, text.as_bytes()).accepted();
    assert_eq!(Stored::of(&scene.data).signals, 1_000);
}

#[test]
fn a_signal_without_a_member_is_refused_by_its_place() {
    let scene = Scene::new();
    let body = scene
        .agent
        .compose((1, 1), "0.1.0", Outbound::Signals(&[draft()]));
    for (from, to, code, pointer) in [
        (
            r#""key":"backup.age_hours","#,
            "",
            "missing_field",
            "/data/signals/0/key",
        ),
        (
            r#""source":"backup_check","#,
            "",
            "missing_field",
            "/data/signals/0/source",
        ),
        (
            r#","value":{"value":30}"#,
            "",
            "missing_field",
            "/data/signals/0/value",
        ),
        (
            r#""ttl_seconds":600"#,
            r#""ttl_seconds":"600""#,
            "wrong_type",
            "/data/signals/0/ttl_seconds",
        ),
        (
            r#""severity":"high""#,
            r#""level":"high""#,
            "unknown_field",
            "/data/signals/0/level",
        ),
        (
            "backup.age_hours",
            "a\\u0000b",
            "out_of_range",
            "/data/signals/0/key",
        ),
    ] {
        let changed = body.as_str().replacen(from, to, 1);
        assert_ne!(changed, body.as_str());
        let answer = scene.agent.send(&scene.hub, changed.as_bytes());
        assert_refusal(&answer, 422, code);
        assert_eq!(answer.json()["pointer"], pointer);
    }
    scene.agent.send(&scene.hub, body.as_bytes()).accepted();
}

#[test]
fn the_key_beyond_a_thousand_live_ones_of_a_source_is_refused() {
    let scene = Scene::new();
    let keyed = |n: i64, ttl_seconds| SignalDraft {
        key: format!("backup.k{n}"),
        ttl_seconds,
        ..draft()
    };
    let batch = |from: i64, to: i64| (from..to).map(|n| keyed(n, None)).collect::<Vec<_>>();
    assert_eq!(scene.send(1, &batch(0, 600)).status, 202);
    assert_eq!(
        scene.send(2, &batch(300, 1_000)).status,
        202,
        "a known key is not a new one"
    );
    let refused = scene.send(3, &[keyed(5, None), keyed(1_000, None)]);
    assert_refusal(&refused, 422, "invalid_signal");
    let violation = &refused.json()["violations"][0];
    assert_eq!(
        (&violation["index"], &violation["rule"]),
        (&1.into(), &"agent_live_keys".into())
    );
    assert_eq!(
        scene.send(3, &[keyed(7, Some(60))]).status,
        202,
        "the position was not used up"
    );
    let other_source = SignalDraft {
        source: "clock_check".into(),
        ..keyed(1_000, None)
    };
    assert_eq!(
        scene.send(4, &[other_source]).status,
        202,
        "each source has its own thousand"
    );
}
