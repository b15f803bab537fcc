//! Signals: one row about a subject, checked once.
//!
//! What: [`SignalDraft`] is anything anyone sent; [`Signal`] is always valid, and
//! [`Signal::validate`] is the only way from one to the other. Every rule of contract §6 is checked
//! and all broken ones are reported at once. OpenTelemetry calls something else a signal. What
//! not: which sources an agent may use, and what a value means. Cost: one pass over each field.
//!
//! The rules are those of the signals document (rows S1 to S7); the names of [`Rule`] are the names
//! of the CHECK constraints that mirror them in a database.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use crate::json::{Canonical, CanonicalText, Cursor, JsonCode};
use crate::limit;
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
        match Self::check(draft, 0, now, &mut found) {
            Some(signal) if found.is_empty() => Ok(signal),
            _ => Err(found),
        }
    }

    /// Checks a batch, all or nothing (signals document, `EmitBatch`).
    ///
    /// # Errors
    /// [`Violations`] with index, field and rule of every broken rule; when there are many, the
    /// first ones and their number.
    pub fn validate_batch(drafts: &[SignalDraft], now: Timestamp) -> Result<Vec<Self>, Violations> {
        let mut found = Violations::default();
        let mut signals = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            signals.extend(Self::check(draft, index, now, &mut found));
        }
        if found.is_empty() {
            Ok(signals)
        } else {
            Err(found)
        }
    }

    fn check(
        draft: &SignalDraft,
        index: usize,
        now: Timestamp,
        found: &mut Violations,
    ) -> Option<Self> {
        let mut broken = |rule| found.push(Violation { index, rule });
        let source = or_note(Source::parse(&draft.source).ok(), Rule::Source, &mut broken);
        let subject_type = SubjectType::parse(&draft.subject_type).ok();
        let subject_type = or_note(subject_type, Rule::SubjectType, &mut broken);
        let subject_id = SubjectId::parse(&draft.subject_id).ok();
        let subject_id = or_note(subject_id, Rule::SubjectId, &mut broken);
        let key = or_note(SignalKey::parse(&draft.key).ok(), Rule::Key, &mut broken);
        let value = match value_of(&draft.value) {
            Ok(value) => Some(value),
            Err(rule) => or_note(None, rule, &mut broken),
        };
        let severity = match draft.severity.as_deref().map(Severity::parse) {
            None => Some(None),
            Some(parsed) => or_note(parsed.ok().map(Some), Rule::Severity, &mut broken),
        };
        if let Some(rule) = time_rule(draft.observed_at, now) {
            broken(rule);
        }
        if draft
            .ttl_seconds
            .is_some_and(|ttl| !(1..=limit::SIGNAL_TTL_S_MAX).contains(&ttl))
        {
            broken(Rule::Ttl);
        }
        Some(Self {
            source: source?,
            subject_type: subject_type?,
            subject_id: subject_id?,
            key: key?,
            value: value?,
            severity: severity?,
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

    /// Tells whether it still holds: `now < observed_at + ttl`, sticky ones always.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ttl_seconds
            .is_none_or(|ttl| now.since(self.observed_at).micros() < Span::from_secs(ttl).micros())
    }
}

/// A rule of contract §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// `source` is snake case, 1 to 64 bytes.
    Source,
    /// `subject_type` is snake case, 1 to 64 bytes.
    SubjectType,
    /// `subject_id` is 1 to 256 bytes without control characters.
    SubjectId,
    /// `signal_key` is dotted lower case, at most 128 bytes.
    Key,
    /// `signal_value` is a JSON object with a member `value`.
    Value,
    /// `signal_value` is at most 16 KiB canonical.
    ValueSize,
    /// `signal_value` is at most 8 deep.
    ValueDepth,
    /// `severity` is null or one of five words.
    Severity,
    /// `observed_at` is at most 300 s in the future.
    ObservedFuture,
    /// `observed_at` is within the retention of 180 days.
    ObservedPast,
    /// `ttl_seconds` is null or 1 to 315,360,000.
    Ttl,
    /// Agents may use a few sources only.
    AgentSource,
    /// Agents may speak about agents only.
    AgentSubjectType,
    /// An agent has at most 1,000 live keys per source.
    LiveKeys,
}

impl Rule {
    /// Returns the stable name, which is also that of the CHECK constraint where there is one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source_format",
            Self::SubjectType => "subject_type_format",
            Self::SubjectId => "subject_id_format",
            Self::Key => "signal_key_format",
            Self::Value => "signal_value_object",
            Self::ValueSize => "signal_value_size",
            Self::ValueDepth => "signal_value_depth",
            Self::Severity => "severity_word",
            Self::ObservedFuture => "observed_at_future",
            Self::ObservedPast => "observed_at_retention",
            Self::Ttl => "ttl_seconds_range",
            Self::AgentSource => "agent_source_allowed",
            Self::AgentSubjectType => "agent_subject_type_allowed",
            Self::LiveKeys => "agent_live_keys",
        }
    }

    /// Returns the field the rule is about, as it is called on the wire.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Source | Self::AgentSource => "source",
            Self::SubjectType | Self::AgentSubjectType => "subject_type",
            Self::SubjectId => "subject_id",
            Self::Key | Self::LiveKeys => "key",
            Self::Value | Self::ValueSize | Self::ValueDepth => "value",
            Self::Severity => "severity",
            Self::ObservedFuture | Self::ObservedPast => "observed_at",
            Self::Ttl => "ttl_seconds",
        }
    }

    /// Says what was expected.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Source | Self::SubjectType => {
                "expected lower-case words joined by single underscores, 1 to 64 bytes"
            }
            Self::SubjectId => "expected 1 to 256 bytes without control characters",
            Self::Key => {
                "expected two or more lower-case segments joined by dots, at most 128 bytes"
            }
            Self::Value => "expected a JSON object with a member value",
            Self::ValueSize => "expected at most 16384 bytes in canonical form",
            Self::ValueDepth => "expected at most 8 levels of nesting",
            Self::Severity => "expected null, info, low, medium, high or critical",
            Self::ObservedFuture => "expected a time at most 300 seconds in the future",
            Self::ObservedPast => "expected a time within the last 180 days",
            Self::Ttl => "expected null or 1 to 315360000 seconds",
            Self::AgentSource => "expected a source that agents may use",
            Self::AgentSubjectType => "expected agent",
            Self::LiveKeys => "expected at most 1000 live keys of one agent and source",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One broken rule of one draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// Which draft of the batch, from 0.
    pub index: usize,
    /// Which rule.
    pub rule: Rule,
}

/// All broken rules of a batch: the first ones by name, the rest by number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Error)]
pub struct Violations {
    shown: Vec<Violation>,
    total: usize,
}

impl Violations {
    /// Adds one; beyond [`limit::VIOLATIONS_SHOWN_MAX`] it is only counted.
    pub fn push(&mut self, violation: Violation) {
        if self.shown.len() < limit::VIOLATIONS_SHOWN_MAX {
            self.shown.push(violation);
        }
        self.total += 1;
    }

    /// Returns the first ones, in order.
    pub fn shown(&self) -> &[Violation] {
        &self.shown
    }

    /// Returns the first one.
    ///
    /// # Panics
    /// When there is none; violations that were returned as an error have at least one.
    pub fn first(&self) -> Violation {
        match self.shown.first() {
            Some(violation) => *violation,
            None => panic!("violations returned as an error are never empty"),
        }
    }

    /// Returns how many there are, shown or not.
    pub const fn total(&self) -> usize {
        self.total
    }

    /// Tells whether nothing was broken.
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken rules", self.total)?;
        for v in self.shown.iter().take(3) {
            write!(
                f,
                "; signal {}: {}: {}",
                v.index,
                v.rule.field(),
                v.rule.message()
            )?;
        }
        Ok(())
    }
}

fn or_note<T>(checked: Option<T>, rule: Rule, broken: &mut impl FnMut(Rule)) -> Option<T> {
    if checked.is_none() {
        broken(rule);
    }
    checked
}

fn time_rule(observed_at: Timestamp, now: Timestamp) -> Option<Rule> {
    let age = now.since(observed_at).micros();
    if age < -Span::from_secs(limit::SIGNAL_FUTURE_S_MAX).micros() {
        return Some(Rule::ObservedFuture);
    }
    (age > Span::from_secs(limit::SIGNAL_RETENTION_S).micros()).then_some(Rule::ObservedPast)
}

fn value_of(text: &str) -> Result<CanonicalText, Rule> {
    let value = CanonicalText::parse(text.as_bytes()).map_err(|refused| {
        if refused.code == JsonCode::Depth {
            Rule::ValueDepth
        } else {
            Rule::Value
        }
    })?;
    let canonical = value.as_canonical();
    if canonical.has_nul() || !has_member_value(canonical) {
        return Err(Rule::Value);
    }
    if depth(value.as_str()) > limit::SIGNAL_VALUE_DEPTH_MAX {
        return Err(Rule::ValueDepth);
    }
    if value.as_str().len() > limit::SIGNAL_VALUE_BYTES_MAX {
        return Err(Rule::ValueSize);
    }
    Ok(value)
}

fn has_member_value(canonical: Canonical<'_>) -> bool {
    let mut cursor = Cursor::new(canonical);
    if !cursor.enter_object() {
        return false;
    }
    while let Some(name) = cursor.next_name() {
        if name == "value" {
            return true;
        }
        cursor.skip();
    }
    false
}

/// Deepest nesting of a text that is known to be JSON.
fn depth(json: &str) -> usize {
    let (mut deepest, mut level, mut in_text, mut is_escaped) = (0_usize, 0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => level += 1,
            b'}' | b']' if !in_text => level = level.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

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
