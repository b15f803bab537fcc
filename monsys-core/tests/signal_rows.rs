//! The rows S1 to S7 of the signals study, example by example.
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an error fails where it meets it"
)]

use monsys_core::limit;
use monsys_core::severity::Severity;
use monsys_core::signal::{Rule, Signal, SignalDraft};
use monsys_core::time::{Span, Timestamp};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
}

fn draft() -> SignalDraft {
    SignalDraft {
        source: "cert_scan".into(),
        subject_type: "endpoint".into(),
        subject_id: "shop".into(),
        key: "cert.expiry_days".into(),
        value: r#"{"value":30}"#.into(),
        severity: Some("low".into()),
        observed_at: now(),
        ttl_seconds: None,
    }
}

/// The rules that a draft breaks after a change.
fn broken(change: impl FnOnce(&mut SignalDraft)) -> Vec<Rule> {
    let mut draft = draft();
    change(&mut draft);
    match Signal::validate(&draft, now()) {
        Ok(_) => Vec::new(),
        Err(violations) => violations.shown().iter().map(|v| v.rule).collect(),
    }
}

#[test]
fn s1_a_source_is_snake_case_of_1_to_64_bytes() {
    let with = |text: &str| broken(|draft| draft.source = text.into());
    let longest = "a".repeat(64);
    for good in ["cert_scan", "dns_check", "a1", "a", &longest] {
        assert_eq!(with(good), [], "{good}");
    }
    let too_long = "a".repeat(65);
    for bad in [
        "", "Cert", "1a", "_a", "a_", "a__b", "a-b", "a.b", "é", "a\n", " a", &too_long,
    ] {
        assert_eq!(with(bad), [Rule::Source], "{bad:?}");
    }
}

#[test]
fn s2_a_subject_type_is_any_word_in_snake_case() {
    let with = |text: &str| broken(|draft| draft.subject_type = text.into());
    for good in ["agent", "endpoint", "domain", "dependency", "printer"] {
        assert_eq!(with(good), [], "{good}");
    }
    for bad in ["", "Agent", "agent ", "a__b"] {
        assert_eq!(with(bad), [Rule::SubjectType], "{bad:?}");
    }
}

#[test]
fn s3_a_key_is_two_or_more_segments_of_at_most_128_bytes() {
    let with = |text: &str| broken(|draft| draft.key = text.into());
    let longest = format!("a.{}", "b".repeat(126));
    for good in ["cert.expiry_days", "dns.dmarc_present", "tls.1_2", &longest] {
        assert_eq!(with(good), [], "{good}");
    }
    let too_long = format!("a.{}", "b".repeat(127));
    for bad in [
        "", "cert", "a..b", ".a", "a.", "A.b", "1.a", "a.b\n", &too_long,
    ] {
        assert_eq!(with(bad), [Rule::Key], "{bad:?}");
    }
}

#[test]
fn s4_a_value_is_an_object_with_a_value_and_bounds() {
    let with = |text: &str| broken(|draft| draft.value = text.into());
    for good in [r#"{"value":null}"#, r#"{"extra":"context","value":42}"#] {
        assert_eq!(with(good), [], "{good}");
    }
    for bad in ["", "1", "[]", r#"{"values":1}"#, r#"{"value":1"#] {
        assert_eq!(with(bad), [Rule::Value], "{bad:?}");
    }
    let of_size = |bytes: usize| format!(r#"{{"value":"{}"}}"#, "x".repeat(bytes - 12));
    assert_eq!(of_size(16_384).len(), 16_384);
    assert_eq!(with(&of_size(16_384)), []);
    assert_eq!(with(&of_size(16_385)), [Rule::ValueSize]);
    let of_depth = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"value":{open}{close}}}"#)
    };
    assert_eq!(with(&of_depth(8)), []);
    assert_eq!(with(&of_depth(9)), [Rule::ValueDepth]);
}

#[test]
fn s5_a_severity_is_null_or_one_of_five_ordered_words() {
    let with = |word: Option<&str>| broken(|draft| draft.severity = word.map(Into::into));
    assert_eq!(with(None), []);
    let words = ["info", "low", "medium", "high", "critical"];
    for good in words {
        assert_eq!(with(Some(good)), [], "{good}");
    }
    assert!(words.map(|word| Severity::parse(word).unwrap()).is_sorted());
    for bad in ["", "High", "warning", "low ", "null"] {
        assert_eq!(with(Some(bad)), [Rule::Severity], "{bad:?}");
        let mut draft = draft();
        draft.severity = Some(bad.into());
        let said = Signal::validate(&draft, now()).unwrap_err().to_string();
        assert!(said.contains("severity"), "{said}");
    }
}

#[test]
fn s6_a_time_has_an_offset_and_microseconds_and_is_neither_old_nor_ahead() {
    let parse = Timestamp::parse_rfc3339;
    assert!(parse("2026-11-21T01:15:41").is_err(), "no offset");
    assert!(parse("2026-12-31T23:59:60Z").is_err(), "a leap second");
    let shifted = parse("2026-11-21T03:15:41.123456789+02:00").unwrap();
    assert_eq!(shifted.to_rfc3339(), "2026-11-21T01:15:41.123456Z");
    let with = |off: i64| {
        let at = now().saturating_add(Span::from_micros(off));
        broken(|draft| draft.observed_at = at)
    };
    assert_eq!(with(300_000_000), []);
    assert_eq!(with(300_000_001), [Rule::ObservedFuture]);
    let kept = limit::SIGNAL_RETENTION_S * 1_000_000;
    assert_eq!(with(-kept), []);
    assert_eq!(with(-kept - 1), [Rule::ObservedPast]);
}

#[test]
fn s7_a_ttl_is_null_or_1_to_ten_years_and_ends_half_open() {
    let with = |ttl: Option<i64>| broken(|draft| draft.ttl_seconds = ttl);
    for good in [None, Some(1), Some(315_360_000)] {
        assert_eq!(with(good), [], "{good:?}");
    }
    for bad in [0, -1, 315_360_001, i64::MIN, i64::MAX] {
        assert_eq!(with(Some(bad)), [Rule::Ttl], "{bad}");
    }
    let lives = |ttl, micros| {
        let mut draft = draft();
        draft.ttl_seconds = ttl;
        let signal = Signal::validate(&draft, now()).unwrap();
        signal.is_live(now().saturating_add(Span::from_micros(micros)))
    };
    assert!(lives(Some(60), 59_999_999));
    assert!(!lives(Some(60), 60_000_000));
    assert!(lives(None, i64::MAX), "sticky");
}
