//! The strict schemas: every member, its type and range, and the place a refusal points to.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::{Agent, METRICS};
use monsys_core::sample::MetricSample;
use monsys_core::signal::SignalDraft;
use monsys_wire::schema::Payload;

const FULL: &str = concat!(
    r#"{"cpu_cores":8,"cpu_usage_percent":12.5,"disks":[{"mount":"/","total_bytes":1000,"used_bytes":10}],"#,
    r#""load1":0.5,"load15":0.25,"load5":1,"mem_total_bytes":9007199254740991,"mem_used_bytes":0,"#,
    r#""networks":[{"interface":"eth0","rx_bytes":1,"tx_bytes":2}],"swap_total_bytes":0,"#,
    r#""swap_used_bytes":0,"uptime_seconds":86400.5}"#
);

const SIGNAL: &str = concat!(
    r#"{"key":"backup.age_hours","observed_at":"2026-11-21T01:15:41Z","severity":"low","#,
    r#""source":"backup_check","subject_id":"me","subject_type":"agent","ttl_seconds":3600,"#,
    r#""value":{"value":[1,{"a":"b"}]}}"#
);

fn sample(data: &str) -> MetricSample {
    let agent = Agent::new();
    let Payload::Metrics(sample) = agent
        .send(&agent.request(&agent.body("metrics", data)))
        .unwrap()
        .payload
    else {
        panic!("metrics were sent")
    };
    sample
}

fn drafts(signals: &str) -> Vec<SignalDraft> {
    let agent = Agent::new();
    let body = agent.body("agent_signals", &format!(r#"{{"signals":{signals}}}"#));
    let Payload::Signals(drafts) = agent.send(&agent.request(&body)).unwrap().payload else {
        panic!("signals were sent")
    };
    drafts
}

fn refused(kind: &str, data: &str) -> (&'static str, String) {
    let agent = Agent::new();
    let (code, pointer) = agent.refusal(&agent.body(kind, data));
    (code, pointer.unwrap())
}

#[test]
fn the_envelope_takes_no_other_members_types_or_values() {
    let agent = Agent::new();
    let body = agent.body("metrics", METRICS);
    let cases = [
        (r#""v":1"#, r#""v":2"#, "out_of_range", "/v"),
        (r#""v":1"#, r#""v":"1""#, "wrong_type", "/v"),
        (r#""v":1"#, r#""v":1.5"#, "wrong_type", "/v"),
        (r#","v":1"#, "", "missing_field", "/v"),
        (r#""v":1"#, r#""v":2,"x":1"#, "out_of_range", "/v"),
        (r#""v":1"#, r#""v":1,"x":1"#, "unknown_field", "/x"),
        (r#""v":1"#, r#""v":1,"a/~":1"#, "unknown_field", "/a~1~0"),
        (
            r#""type":"metrics""#,
            r#""type":"other""#,
            "out_of_range",
            "/type",
        ),
        (
            r#""type":"metrics""#,
            r#""type":null"#,
            "wrong_type",
            "/type",
        ),
        (r#""type":"metrics","#, "", "missing_field", "/type"),
        (r#""0.1.0""#, r#""""#, "out_of_range", "/agent_version"),
        (r#""0.1.0""#, "1", "wrong_type", "/agent_version"),
        (
            r#""0.1.0""#,
            r#""a\u0000b""#,
            "out_of_range",
            "/agent_version",
        ),
        (r#""0.1.0""#, r#""a\nb""#, "out_of_range", "/agent_version"),
        (
            r#""agent_version":"0.1.0","#,
            "",
            "missing_field",
            "/agent_version",
        ),
        (
            "2026-11-21T01:15:41.123456Z",
            "2026-11-21T01:15:41.123456",
            "wrong_type",
            "/captured_at",
        ),
        (
            "2026-11-21T01:15:41.123456Z",
            "now",
            "wrong_type",
            "/captured_at",
        ),
        (
            "2026-11-21T01:15:41.3Z",
            "2026-11-21T01:15:41.1234567890Z",
            "wrong_type",
            "/sent_at",
        ),
        (
            "2026-11-21T01:15:41.3Z",
            "0001-01-01T00:00:00+23:00",
            "out_of_range",
            "/sent_at",
        ),
        (
            r#""2026-11-21T01:15:41.3Z""#,
            "1763687741",
            "wrong_type",
            "/sent_at",
        ),
        (
            r#""sent_at":"2026-11-21T01:15:41.3Z","#,
            "",
            "missing_field",
            "/sent_at",
        ),
        (
            r#""captured_at":"2026-11-21T01:15:41.123456Z","#,
            "",
            "missing_field",
            "/captured_at",
        ),
        (
            r#""data":{"cpu_usage_percent":4.2},"#,
            "",
            "missing_field",
            "/data",
        ),
        (r#"{"cpu_usage_percent":4.2}"#, "[]", "wrong_type", "/data"),
        (
            r#"{"cpu_usage_percent":4.2}"#,
            "null",
            "wrong_type",
            "/data",
        ),
    ];
    for (from, to, code, pointer) in cases {
        let changed = body.replace(from, to);
        assert_ne!(changed, body);
        assert_eq!(
            agent.refusal(&changed),
            (code, Some(pointer.to_owned())),
            "{to}"
        );
    }
}

#[test]
fn offsets_and_nine_digits_are_read_and_kept_to_the_microsecond() {
    let agent = Agent::new();
    let body = agent.body("metrics", METRICS).replace(
        "2026-11-21T01:15:41.123456Z",
        "2026-11-21T02:15:41.123456789+01:00",
    );
    let admitted = agent.send(&agent.request(&body)).unwrap();
    assert_eq!(
        admitted.captured_at.to_rfc3339(),
        "2026-11-21T01:15:41.123456Z"
    );
}

#[test]
fn every_metric_is_read() {
    let full = sample(FULL);
    assert_eq!(full.cpu_usage_percent.get(), 12.5);
    assert_eq!(full.cpu_cores.unwrap().get(), 8);
    let loads = [full.load1, full.load5, full.load15].map(|load| load.unwrap().get());
    assert_eq!(loads, [0.5, 1.0, 0.25]);
    let bytes = [
        full.mem_total_bytes,
        full.mem_used_bytes,
        full.swap_total_bytes,
        full.swap_used_bytes,
    ];
    assert_eq!(
        bytes.map(|count| count.unwrap().get()),
        [9_007_199_254_740_991, 0, 0, 0]
    );
    assert_eq!(full.uptime_seconds.unwrap().get(), 86_400.5);
    let disk = &full.disks.unwrap()[0];
    assert_eq!(
        (
            disk.mount.as_str(),
            disk.total_bytes.get(),
            disk.used_bytes.get()
        ),
        ("/", 1000, 10)
    );
    let network = &full.networks.unwrap()[0];
    assert_eq!(
        (
            network.interface.as_str(),
            network.rx_bytes.get(),
            network.tx_bytes.get()
        ),
        ("eth0", 1, 2)
    );
}

#[test]
fn null_and_absent_both_mean_unknown() {
    let nulls = concat!(
        r#"{"cpu_cores":null,"cpu_usage_percent":100,"disks":null,"load1":null,"load15":null,"#,
        r#""load5":null,"mem_total_bytes":null,"mem_used_bytes":null,"networks":null,"#,
        r#""swap_total_bytes":null,"swap_used_bytes":null,"uptime_seconds":null}"#
    );
    assert_eq!(sample(nulls), sample(r#"{"cpu_usage_percent":100}"#));
    assert_eq!(
        sample(r#"{"cpu_usage_percent":0,"disks":[]}"#).disks,
        Some(Vec::new())
    );
}

#[test]
fn metrics_have_types_and_ranges() {
    let disk = |disk: &str| format!(r#"{{"cpu_usage_percent":1,"disks":[{disk}]}}"#);
    let cases = [
        ("{}".to_owned(), "missing_field", "/data/cpu_usage_percent"),
        (
            r#"{"cpu_usage_percent":null}"#.to_owned(),
            "wrong_type",
            "/data/cpu_usage_percent",
        ),
        (
            r#"{"cpu_usage_percent":"4.2"}"#.to_owned(),
            "wrong_type",
            "/data/cpu_usage_percent",
        ),
        (
            r#"{"cpu_usage_percent":100.0001}"#.to_owned(),
            "out_of_range",
            "/data/cpu_usage_percent",
        ),
        (
            r#"{"cpu_usage_percent":-0.1}"#.to_owned(),
            "out_of_range",
            "/data/cpu_usage_percent",
        ),
        (
            FULL.replace("\"load1\":0.5", "\"load1\":-1"),
            "out_of_range",
            "/data/load1",
        ),
        (
            FULL.replace("\"load1\":0.5", "\"load1\":true"),
            "wrong_type",
            "/data/load1",
        ),
        (
            FULL.replace("\"load1\":0.5", "\"load2\":1"),
            "unknown_field",
            "/data/load2",
        ),
        (
            FULL.replace("\"cpu_cores\":8", "\"cpu_cores\":0"),
            "out_of_range",
            "/data/cpu_cores",
        ),
        (
            FULL.replace("\"cpu_cores\":8", "\"cpu_cores\":8.5"),
            "wrong_type",
            "/data/cpu_cores",
        ),
        (
            FULL.replace("\"mem_used_bytes\":0", "\"mem_used_bytes\":-1"),
            "out_of_range",
            "/data/mem_used_bytes",
        ),
        (
            FULL.replace("86400.5", "-1"),
            "out_of_range",
            "/data/uptime_seconds",
        ),
        (
            FULL.replace("\"mount\":\"/\",", ""),
            "missing_field",
            "/data/disks/0/mount",
        ),
        (
            FULL.replace("\"mount\":\"/\"", "\"mount\":\"\""),
            "out_of_range",
            "/data/disks/0/mount",
        ),
        (
            FULL.replace("\"tx_bytes\":2", "\"tx_bytes\":\"2\""),
            "wrong_type",
            "/data/networks/0/tx_bytes",
        ),
        (
            FULL.replace("\"tx_bytes\":2", "\"tx_bytes\":2,\"u\":1"),
            "unknown_field",
            "/data/networks/0/u",
        ),
        (disk("1"), "wrong_type", "/data/disks/0"),
        (
            disk(r#"{"mount":"/","total_bytes":1,"used_bytes":1},{}"#),
            "missing_field",
            "/data/disks/1/mount",
        ),
        (
            disk(&vec!["{}"; 257].join(",")),
            "missing_field",
            "/data/disks/0/mount",
        ),
        (
            r#"{"cpu_usage_percent":1,"disks":{}}"#.to_owned(),
            "wrong_type",
            "/data/disks",
        ),
    ];
    for (data, code, pointer) in cases {
        assert_eq!(
            refused("metrics", &data),
            (code, pointer.to_owned()),
            "{data}"
        );
    }
    let good = r#"{"mount":"/","total_bytes":1,"used_bytes":1}"#;
    assert_eq!(
        refused("metrics", &disk(&vec![good; 257].join(","))),
        ("out_of_range", "/data/disks".to_owned())
    );
    assert_eq!(
        sample(&disk(&vec![good; 256].join(",")))
            .disks
            .unwrap()
            .len(),
        256
    );
}

#[test]
fn u0000_is_refused_wherever_it_stands() {
    let cases = [
        (
            FULL.replace("eth0", "eth\\u0000"),
            "/data/networks/0/interface",
        ),
        (
            FULL.replace("\"mount\"", "\"mo\\u0000unt\""),
            "/data/disks/0",
        ),
    ];
    for (data, pointer) in cases {
        assert_eq!(
            refused("metrics", &data),
            ("out_of_range", pointer.to_owned())
        );
    }
    let value = SIGNAL.replace("\"b\"", "\"\\u0000\"");
    let data = format!(r#"{{"signals":[{value}]}}"#);
    assert_eq!(
        refused("agent_signals", &data),
        ("out_of_range", "/data/signals/0/value/value/1/a".to_owned())
    );
    assert_eq!(
        sample(&FULL.replace("eth0", "\\\\u0000")).networks.unwrap()[0].interface,
        "\\u0000"
    );
}

#[test]
fn every_member_of_a_signal_is_read_and_none_is_judged() {
    let full = &drafts(&format!("[{SIGNAL}]"))[0];
    assert_eq!(full.source, "backup_check");
    assert_eq!(full.subject_type, "agent");
    assert_eq!(full.subject_id, "me");
    assert_eq!(full.key, "backup.age_hours");
    assert_eq!(full.value, r#"{"value":[1,{"a":"b"}]}"#);
    assert_eq!(full.severity.as_deref(), Some("low"));
    assert_eq!(full.observed_at.to_rfc3339(), "2026-11-21T01:15:41.000000Z");
    assert_eq!(full.ttl_seconds, Some(3600));
    let odd = concat!(
        r#"[{"key":"","observed_at":"2026-11-21T01:15:41Z","severity":"purple","source":"NO","#,
        r#""subject_type":"?","value":7},{"key":"a.b","observed_at":"2026-11-21T01:15:41Z","#,
        r#""severity":null,"source":"s","subject_id":null,"subject_type":"t","ttl_seconds":null,"value":null}]"#
    );
    let odd = drafts(odd);
    assert_eq!(
        (odd[0].value.as_str(), odd[0].severity.as_deref()),
        ("7", Some("purple"))
    );
    assert_eq!((odd[0].subject_id.as_str(), odd[0].ttl_seconds), ("", None));
    assert_eq!(
        (odd[1].value.as_str(), odd[1].severity.as_deref()),
        ("null", None)
    );
}

#[test]
fn the_structure_of_signals_is_strict() {
    let cases = [
        (
            "\"key\":\"backup.age_hours\",",
            "",
            "missing_field",
            "/data/signals/0/key",
        ),
        (
            "\"source\":\"backup_check\",",
            "",
            "missing_field",
            "/data/signals/0/source",
        ),
        (
            "\"subject_type\":\"agent\",",
            "",
            "missing_field",
            "/data/signals/0/subject_type",
        ),
        (
            "\"observed_at\":\"2026-11-21T01:15:41Z\",",
            "",
            "missing_field",
            "/data/signals/0/observed_at",
        ),
        (
            ",\"value\":{\"value\":[1,{\"a\":\"b\"}]}",
            "",
            "missing_field",
            "/data/signals/0/value",
        ),
        (
            "\"ttl_seconds\":3600",
            "\"ttl_seconds\":1.5",
            "wrong_type",
            "/data/signals/0/ttl_seconds",
        ),
        (
            "\"severity\":\"low\"",
            "\"severity\":3",
            "wrong_type",
            "/data/signals/0/severity",
        ),
        (
            "\"severity\":\"low\"",
            "\"level\":3",
            "unknown_field",
            "/data/signals/0/level",
        ),
        (
            "2026-11-21T01:15:41Z",
            "yesterday",
            "wrong_type",
            "/data/signals/0/observed_at",
        ),
        (
            "\"backup.age_hours\"",
            "1",
            "wrong_type",
            "/data/signals/0/key",
        ),
    ];
    for (from, to, code, pointer) in cases {
        let signal = SIGNAL.replace(from, to);
        assert_ne!(signal, SIGNAL);
        let found = refused("agent_signals", &format!(r#"{{"signals":[{signal}]}}"#));
        assert_eq!(found, (code, pointer.to_owned()), "{to}");
    }
    let cases = [
        ("{}", "missing_field", "/data/signals"),
        (r#"{"signals":[]}"#, "out_of_range", "/data/signals"),
        (r#"{"signals":{}}"#, "wrong_type", "/data/signals"),
        (r#"{"signals":[1]}"#, "wrong_type", "/data/signals/0"),
        (r#"{"more":1,"signals":[]}"#, "unknown_field", "/data/more"),
    ];
    for (data, code, pointer) in cases {
        assert_eq!(
            refused("agent_signals", data),
            (code, pointer.to_owned()),
            "{data}"
        );
    }
}

#[test]
fn a_batch_holds_1_to_1000_signals() {
    let signals = |n: usize| format!("[{}]", vec![SIGNAL; n].join(","));
    assert_eq!(drafts(&signals(1000)).len(), 1000);
    let found = refused(
        "agent_signals",
        &format!(r#"{{"signals":{}}}"#, signals(1001)),
    );
    assert_eq!(found, ("out_of_range", "/data/signals".to_owned()));
}
