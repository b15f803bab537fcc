use core::net::Ipv4Addr;
use monsys_core::name::Source;
use monsys_core::signal::Signal;

use super::*;
use crate::catalog::{Category, category_of};

const DAY: i64 = 86_400;

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T12:00:00Z").unwrap()
}

fn after(seconds: i64) -> Timestamp {
    now().saturating_add(Span::from_secs(seconds))
}

fn shop() -> Endpoint {
    Endpoint::parse("shop.example", 443, None).unwrap()
}

fn good() -> Presented {
    Presented {
        not_before: after(-30 * DAY),
        not_after: after(60 * DAY),
        issuer: "CN=R11,O=Let's Encrypt,C=US".to_string(),
        n_certificates: 2,
        address: Ipv4Addr::new(192, 0, 2, 7).into(),
        name: NameVerdict::Matches,
        chain: ChainVerdict::Trusted,
    }
}

/// The valid signals of an observation.
fn signals(observation: &Observation) -> Vec<Signal> {
    let ttl = Span::from_secs(3 * 6 * 3_600);
    let drafts = assess(&shop(), observation, ttl, now());
    Signal::validate_batch(&drafts, now()).unwrap()
}

fn shown(presented: Presented) -> Vec<Signal> {
    signals(&Observation::Shown(presented))
}

/// Severity and value of the expiry of a certificate that ends then.
fn expiry_of(not_after: Timestamp) -> (Option<Severity>, String) {
    let signals = shown(Presented {
        not_after,
        ..good()
    });
    (signals[0].severity(), signals[0].value().to_string())
}

#[test]
fn a_good_certificate_makes_three_signals_and_no_finding() {
    let signals = shown(good());
    let keys: Vec<_> = signals.iter().map(|signal| signal.key().as_str()).collect();
    assert_eq!(keys, KEYS);
    for signal in &signals {
        assert_eq!(signal.severity(), None);
        assert_eq!(signal.source().as_str(), SOURCE);
        assert_eq!(signal.subject_type().as_str(), SUBJECT_TYPE);
        assert_eq!(signal.subject_id().as_str(), "shop.example:443");
        assert_eq!(signal.observed_at(), now());
        assert_eq!(signal.ttl_seconds(), Some(64_800));
    }
    let values: Vec<_> = signals.iter().map(Signal::value).collect();
    assert_eq!(
        values,
        [
            r#"{"not_after":"2027-01-20T12:00:00.000000Z","not_before":"2026-10-22T12:00:00.000000Z","value":60}"#,
            r#"{"name":"shop.example","value":true}"#,
            r#"{"address":"192.0.2.7","issuer":"CN=R11,O=Let's Encrypt,C=US","n_certificates":2,"value":true}"#,
        ]
    );
}

#[test]
fn every_step_of_expiry_begins_and_ends_where_the_table_says() {
    for (seconds, days, severity) in [
        (31 * DAY, 31, None),
        (31 * DAY - 1, 30, Some(Severity::Low)),
        (30 * DAY, 30, Some(Severity::Low)),
        (15 * DAY, 15, Some(Severity::Low)),
        (15 * DAY - 1, 14, Some(Severity::Medium)),
        (8 * DAY, 8, Some(Severity::Medium)),
        (8 * DAY - 1, 7, Some(Severity::High)),
        (DAY, 1, Some(Severity::High)),
        (DAY - 1, 0, Some(Severity::Critical)),
        (0, 0, Some(Severity::Critical)),
        (-1, -1, Some(Severity::Critical)),
        (-DAY, -1, Some(Severity::Critical)),
        (-DAY - 1, -2, Some(Severity::Critical)),
    ] {
        let (found, value) = expiry_of(after(seconds));
        assert_eq!(found, severity, "{seconds}");
        let ending = format!("\"value\":{days}}}");
        assert!(value.ends_with(&ending), "{seconds}: {value}");
        let is_expired = value.contains(r#""reason":"expired""#);
        assert_eq!(is_expired, seconds < 0, "{seconds}: {value}");
    }
}

#[test]
fn the_steps_rise_in_days_and_fall_in_severity() {
    let falls = |a: &(i64, Severity), b: &(i64, Severity)| a.0 < b.0 && a.1 > b.1;
    assert!(EXPIRY_STEPS.is_sorted_by(falls));
    assert_eq!(expiry_severity(i64::MIN), Some(Severity::Critical));
    assert_eq!(expiry_severity(i64::MAX), None);
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_as_bad_as_an_expired_one() {
    for (seconds, severity) in [(1, Some(Severity::Critical)), (0, None), (-1, None)] {
        let signals = shown(Presented {
            not_before: after(seconds),
            ..good()
        });
        assert_eq!(signals[0].severity(), severity, "{seconds}");
        let is_named = signals[0].value().contains("not_yet_valid");
        assert_eq!(is_named, seconds > 0, "{seconds}");
        assert_eq!((signals[1].severity(), signals[2].severity()), (None, None));
    }
}

#[test]
fn the_ends_of_time_are_counted_without_overflow() {
    assert_eq!(expiry_of(Timestamp::MAX).0, None);
    assert_eq!(expiry_of(Timestamp::MIN).0, Some(Severity::Critical));
}

#[test]
fn the_three_verdicts_do_not_touch_each_other() {
    let severities = |presented| shown(presented).iter().map(Signal::severity).collect();
    let (expired, other) = (after(-DAY), NameVerdict::Differs { presented: vec![] });
    let broken = ChainVerdict::Broken(ChainFault::SelfSigned);
    for n in 0..8_u8 {
        let is_bad = |bit: u8| n & bit != 0;
        let presented = Presented {
            not_after: if is_bad(1) { expired } else { good().not_after },
            name: if is_bad(2) {
                other.clone()
            } else {
                NameVerdict::Matches
            },
            chain: if is_bad(4) {
                broken
            } else {
                ChainVerdict::Trusted
            },
            ..good()
        };
        let expected = vec![
            is_bad(1).then_some(Severity::Critical),
            is_bad(2).then_some(Severity::High),
            is_bad(4).then_some(Severity::High),
        ];
        let found: Vec<_> = severities(presented);
        assert_eq!(found, expected, "{n}");
    }
}

#[test]
fn a_chain_is_verified_inside_the_validity_of_its_certificate() {
    let moment = |from, to| Presented::chain_moment(after(from), after(to), now());
    assert_eq!(moment(-1, 1), now());
    assert_eq!(moment(-9, -3), after(-3), "expired");
    assert_eq!(moment(3, 9), after(3), "not yet valid");
    assert_eq!(moment(0, 0), now());
    assert_eq!(moment(9, 3), after(3), "never valid");
}

#[test]
fn every_fault_of_a_chain_is_high_and_named() {
    for fault in ChainFault::ALL {
        let signals = shown(Presented {
            chain: ChainVerdict::Broken(fault),
            ..good()
        });
        assert_eq!(signals[2].severity(), Some(Severity::High));
        let reason = format!(r#""reason":"{}","value":false"#, fault.as_str());
        assert!(signals[2].value().contains(&reason), "{reason}");
    }
}

#[test]
fn an_endpoint_that_shows_nothing_makes_one_signal_with_the_reason() {
    for obstacle in Obstacle::ALL {
        let signals = signals(&Observation::Unseen(obstacle));
        let [signal] = &signals[..] else {
            unreachable!("{obstacle:?}: {signals:?}");
        };
        assert_eq!(signal.key().as_str(), CHAIN_OK);
        let value = format!(r#"{{"reason":"{}","value":null}}"#, obstacle.as_str());
        assert_eq!(signal.value(), value);
        assert_eq!(signal.severity(), Some(obstacle.severity()));
    }
    assert!(Obstacle::ALL.is_sorted_by_key(|obstacle| obstacle.severity()));
    assert_eq!(Obstacle::AddressRefused.severity(), Severity::Low);
    assert_eq!(Obstacle::TimedOut.severity(), Severity::Medium);
    assert_eq!(Obstacle::NotTls.severity(), Severity::High);
}

#[test]
fn names_of_a_certificate_are_cleaned_counted_and_cut() {
    let names = |presented| {
        let presented = Presented {
            name: NameVerdict::Differs { presented },
            ..good()
        };
        shown(presented)[1].value().to_string()
    };
    let hostile = vec![
        "a\u{202e}\"<b>\n.example".to_string(),
        "x@y.example".to_string(),
    ];
    assert_eq!(
        names(hostile),
        r#"{"name":"shop.example","presented":"a\"<b>.example, [redacted-email]","value":false}"#
    );
    let many = (0..9_000).map(|n| format!("{n}.{}", "x".repeat(9_000)));
    let value = names(many.collect());
    assert!(value.contains(" and 8992 more"), "{value}");
    assert!(value.len() < 2_500, "{}", value.len());
}

#[test]
fn no_issuer_makes_an_invalid_signal() {
    for issuer in [
        "",
        "\0\u{1b}[31m",
        &"\u{10ffff}".repeat(70_000),
        "a@b.example",
    ] {
        let signals = shown(Presented {
            issuer: issuer.to_string(),
            ..good()
        });
        assert!(signals[2].value().len() < 2_000);
        assert!(!signals[2].value().contains('@'));
    }
}

#[test]
fn what_it_finds_counts_under_certificates() {
    let source = Source::parse(SOURCE).unwrap();
    assert_eq!(category_of(&source), Some(Category::Certificates));
}
