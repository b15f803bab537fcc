//! Signals: one row about a subject, checked once.
//!
//! What: [`SignalDraft`] is anything anyone sent; [`Signal`] is always valid, and
//! [`Signal::validate`] is the only way from one to the other. Every rule of contract §6 is checked
//! and all broken ones are reported at once; [`SignalRef::check`] says the same of borrowed text
//! without making anything. OpenTelemetry calls something else a signal. What
//! not: which sources an agent may use, and what a value means. Cost: one pass over each field.
//!
//! The rules are those of the signals document (rows S1 to S7); the names of [`Rule`] are the names
//! of the CHECK constraints that mirror them in a database. The kit `vectors/signals.json` of this
//! crate holds texts for each of them, good and bad, with the verdict that the validator and every
//! database must give.

mod check;
mod rule;

use alloc::string::String;
use alloc::vec::Vec;

pub use self::check::{BrokenRules, SignalRef};
pub use self::rule::{Rule, Violation, Violations};
use crate::json::{CanonicalText, Scratch};
use crate::name::{SignalKey, Source, SubjectId, SubjectType};
use crate::severity::Severity;
use crate::time::{Span, Timestamp};

/// An unvalidated signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalDraft {
    /// Who found it.
    pub source: String,
    /// What kind of thing it is about.
    pub subject_type: String,
    /// Which one.
    pub subject_id: String,
    /// What was looked at.
    pub key: String,
    /// A JSON object with a member `value`.
    pub value: String,
    /// How bad it is, or nothing.
    pub severity: Option<String>,
    /// When it was seen.
    pub observed_at: Timestamp,
    /// How long it holds, in seconds; `None` is until superseded.
    pub ttl_seconds: Option<i64>,
}

/// A valid signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    source: Source,
    subject_type: SubjectType,
    subject_id: SubjectId,
    key: SignalKey,
    value: CanonicalText,
    severity: Option<Severity>,
    observed_at: Timestamp,
    ttl_seconds: Option<i64>,
}

impl Signal {
    /// Checks a draft against every rule of contract §6.
    ///
    /// # Errors
    /// [`Violations`] with each broken rule; index 0.
    pub fn validate(draft: &SignalDraft, now: Timestamp) -> Result<Self, Violations> {
        let mut found = Violations::default();
        match Self::check(draft, 0, &mut Scratch::new(), now, &mut found) {
            Some(signal) => Ok(signal),
            None => Err(found),
        }
    }

    /// Checks a batch, all or nothing (signals document, `EmitBatch`).
    ///
    /// # Errors
    /// [`Violations`] with index, field and rule of every broken rule; when there are many, the
    /// first ones and their number.
    pub fn validate_batch(drafts: &[SignalDraft], now: Timestamp) -> Result<Vec<Self>, Violations> {
        let mut found = Violations::default();
        let mut scratch = Scratch::new();
        let mut signals = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            signals.extend(Self::check(draft, index, &mut scratch, now, &mut found));
        }
        if found.is_empty() {
            Ok(signals)
        } else {
            Err(found)
        }
    }

    /// Takes a signal that a store kept: valid when it was written, whatever the time is now.
    ///
    /// # Errors
    /// [`Violations`] when it is not what a store may hold: somebody changed it.
    pub fn from_stored(draft: &SignalDraft) -> Result<Self, Violations> {
        Self::validate(draft, draft.observed_at)
    }

    fn check(
        draft: &SignalDraft,
        index: usize,
        scratch: &mut Scratch,
        now: Timestamp,
        found: &mut Violations,
    ) -> Option<Self> {
        let checked = SignalRef::from(draft).check_into(scratch, now);
        for rule in checked.broken.iter() {
            found.push(Violation { index, rule });
        }
        let value = checked.value.filter(|_| checked.broken.is_empty())?;
        Some(Self {
            source: Source::parse(&draft.source).ok()?,
            subject_type: SubjectType::parse(&draft.subject_type).ok()?,
            subject_id: SubjectId::parse(&draft.subject_id).ok()?,
            key: SignalKey::parse(&draft.key).ok()?,
            value: CanonicalText::from(value),
            severity: checked.severity,
            observed_at: draft.observed_at,
            ttl_seconds: draft.ttl_seconds,
        })
    }

    /// Returns who found it.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Returns what kind of thing it is about.
    pub const fn subject_type(&self) -> &SubjectType {
        &self.subject_type
    }

    /// Returns which one.
    pub const fn subject_id(&self) -> &SubjectId {
        &self.subject_id
    }

    /// Returns what was looked at.
    pub const fn key(&self) -> &SignalKey {
        &self.key
    }

    /// Returns the value, a canonical JSON object with a member `value`.
    pub fn value(&self) -> &str {
        self.value.as_str()
    }

    /// Returns how bad it is, if it is a finding at all.
    pub const fn severity(&self) -> Option<Severity> {
        self.severity
    }

    /// Returns when it was seen.
    pub const fn observed_at(&self) -> Timestamp {
        self.observed_at
    }

    /// Returns how long it holds, in seconds; `None` is until superseded.
    pub const fn ttl_seconds(&self) -> Option<i64> {
        self.ttl_seconds
    }

    /// Returns the first moment at which it holds no longer, held within the representable range;
    /// `None` while it holds until it is superseded.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let ttl = Span::from_secs(self.ttl_seconds?);
        Some(self.observed_at.saturating_add(ttl))
    }

    /// Tells whether it still holds: `now < observed_at + ttl`, sticky ones always.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ttl_seconds
            .is_none_or(|ttl| now.since(self.observed_at).micros() < Span::from_secs(ttl).micros())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::limit;

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-21T00:00:00Z").unwrap()
    }

    fn good() -> SignalDraft {
        SignalDraft {
            source: "cert_scan".into(),
            subject_type: "endpoint".into(),
            subject_id: "shop.example:443".into(),
            key: "cert.expiry_days".into(),
            value: r#"{"value": 12, "issuer": "x"}"#.into(),
            severity: None,
            observed_at: now(),
            ttl_seconds: None,
        }
    }

    fn rules(draft: &SignalDraft) -> Vec<Rule> {
        match Signal::validate(draft, now()) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.shown().iter().map(|v| v.rule).collect(),
        }
    }

    #[test]
    fn a_valid_draft_becomes_a_signal_with_a_canonical_value() {
        let signal = Signal::validate(&good(), now()).unwrap();
        assert_eq!(signal.value(), r#"{"issuer":"x","value":12}"#);
    }

    #[test]
    fn every_broken_rule_is_reported_at_once() {
        let draft = SignalDraft {
            source: "Cert".into(),
            subject_type: "a__b".into(),
            subject_id: "".into(),
            key: "cert".into(),
            value: "[]".into(),
            severity: Some("HIGH".into()),
            observed_at: now().saturating_add(Span::from_secs(301)),
            ttl_seconds: Some(0),
        };
        let expected = [
            Rule::Source,
            Rule::SubjectType,
            Rule::SubjectId,
            Rule::Key,
            Rule::Value,
            Rule::Severity,
            Rule::ObservedFuture,
            Rule::Ttl,
        ];
        assert_eq!(rules(&draft), expected);
    }

    #[test]
    fn values_follow_row_s4() {
        let with = |value: &str| {
            rules(&SignalDraft {
                value: value.to_string(),
                ..good()
            })
        };
        assert_eq!(with(r#"{"value":null}"#), []);
        let bads = [
            "",
            "1",
            "[]",
            "{}",
            r#"{"v":1}"#,
            r#"{"value":1"#,
            r#"{"value":"\u0000"}"#,
        ];
        for bad in bads {
            assert_eq!(with(bad), [Rule::Value], "{bad}");
        }
        let deep = |n: usize| alloc::format!("{{\"value\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(with(&deep(7)), []);
        assert_eq!(with(&deep(8)), [Rule::ValueDepth]);
        assert_eq!(with(&deep(40)), [Rule::ValueDepth]);
        let long = |n: usize| alloc::format!("{{\"value\": \"{}\"}}", "a".repeat(n));
        assert_eq!(with(&long(16_384 - 12)), []);
        assert_eq!(with(&long(16_384 - 11)), [Rule::ValueSize]);
        assert_eq!(with(r#"{"value":"[[[[[[[[[[{{{\"[[[["}"#), []);
    }

    #[test]
    fn times_follow_rows_s6_and_s7() {
        let at = |s: i64| {
            rules(&SignalDraft {
                observed_at: now().saturating_add(Span::from_secs(s)),
                ..good()
            })
        };
        assert_eq!(at(300), []);
        assert_eq!(at(301), [Rule::ObservedFuture]);
        assert_eq!(at(-180 * 86_400), []);
        assert_eq!(at(-180 * 86_400 - 1), [Rule::ObservedPast]);
        let ttl = |s: i64| {
            rules(&SignalDraft {
                ttl_seconds: Some(s),
                ..good()
            })
        };
        assert_eq!(ttl(1), []);
        assert_eq!(ttl(315_360_000), []);
        for bad in [0, -1, 315_360_001, i64::MAX, i64::MIN] {
            assert_eq!(ttl(bad), [Rule::Ttl], "{bad}");
        }
    }

    #[test]
    fn a_signal_lives_until_its_ttl_and_not_at_it() {
        let draft = SignalDraft {
            ttl_seconds: Some(60),
            ..good()
        };
        let signal = Signal::validate(&draft, now()).unwrap();
        assert!(signal.is_live(now().saturating_add(Span::from_millis(59_999))));
        assert!(!signal.is_live(now().saturating_add(Span::from_secs(60))));
        assert!(
            Signal::validate(&good(), now())
                .unwrap()
                .is_live(Timestamp::MAX)
        );
    }

    #[test]
    fn one_bad_draft_refuses_the_batch_and_is_named() {
        let bad = SignalDraft {
            key: "cert".into(),
            ..good()
        };
        let refused = Signal::validate_batch(&[good(), bad, good()], now()).unwrap_err();
        assert_eq!(
            refused.shown(),
            [Violation {
                index: 1,
                rule: Rule::Key
            }]
        );
    }

    #[test]
    fn ten_thousand_violations_make_a_bounded_answer() {
        let bad = SignalDraft {
            key: "cert".into(),
            source: "".into(),
            ..good()
        };
        let refused = Signal::validate_batch(&alloc::vec![bad; 5_000], now()).unwrap_err();
        assert_eq!(refused.total(), 10_000);
        assert_eq!(refused.shown().len(), limit::VIOLATIONS_SHOWN_MAX);
        assert!(refused.to_string().len() < 512);
    }
}
