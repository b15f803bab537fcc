//! The checks themselves, on borrowed text: one pass over each field, nothing allocated on the way.

use super::{Rule, SignalDraft};
use crate::json::{self, Canonical, JsonCode, JsonError, Profile, Scratch};
use crate::limit;
use crate::name::{is_dotted_key, is_line, is_snake_case};
use crate::severity::Severity;
use crate::time::{Span, Timestamp};

/// An unvalidated signal that borrows its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalRef<'a> {
    /// Who found it.
    pub source: &'a str,
    /// What kind of thing it is about.
    pub subject_type: &'a str,
    /// Which one.
    pub subject_id: &'a str,
    /// What was looked at.
    pub key: &'a str,
    /// A JSON object with a member `value`.
    pub value: &'a str,
    /// How bad it is, or nothing.
    pub severity: Option<&'a str>,
    /// When it was seen.
    pub observed_at: Timestamp,
    /// How long it holds, in seconds; `None` is until superseded.
    pub ttl_seconds: Option<i64>,
}

/// What of a draft is broken: at most one rule of each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BrokenRules {
    by_field: [Option<Rule>; 8],
}

impl BrokenRules {
    /// Tells whether the draft is valid.
    pub fn is_empty(&self) -> bool {
        self.by_field.iter().all(Option::is_none)
    }

    /// Returns the broken rules in the order of the fields.
    pub fn iter(&self) -> impl Iterator<Item = Rule> + '_ {
        self.by_field.iter().flatten().copied()
    }
}

/// What the checks found, and the texts they made on the way.
pub(super) struct Checked<'s> {
    pub(super) broken: BrokenRules,
    /// Present when the value breaks no rule.
    pub(super) value: Option<Canonical<'s>>,
    pub(super) severity: Option<Severity>,
}

impl<'a> SignalRef<'a> {
    /// Checks every rule of contract §6.
    ///
    /// A value in canonical form, which is what this project sends, is checked where it stands and
    /// nothing is allocated. Another spelling is brought into that form in the scratch, which
    /// allocates until its buffers have grown to the largest value.
    ///
    /// ```
    /// use monsys_core::json::Scratch;
    /// use monsys_core::signal::{Rule, SignalRef};
    /// use monsys_core::time::Timestamp;
    ///
    /// let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
    /// let draft = SignalRef {
    ///     source: "cert_scan", subject_type: "domain", subject_id: "shop.example",
    ///     key: "cert", value: r#"{"value":12}"#, severity: None, observed_at: now, ttl_seconds: None,
    /// };
    /// let broken = draft.check(&mut Scratch::new(), now);
    /// assert!(broken.iter().eq([Rule::Key]));
    /// # Ok::<(), monsys_core::time::TimeError>(())
    /// ```
    pub fn check(&self, scratch: &mut Scratch, now: Timestamp) -> BrokenRules {
        self.check_into(scratch, now).broken
    }

    pub(super) fn check_into<'s>(&self, scratch: &'s mut Scratch, now: Timestamp) -> Checked<'s>
    where
        'a: 's,
    {
        let unless = |holds: bool, rule| (!holds).then_some(rule);
        let (value, value_rule) = match value_of(self.value, scratch) {
            Ok(value) => (Some(value), None),
            Err(rule) => (None, Some(rule)),
        };
        let severity = self.severity.and_then(|word| Severity::parse(word).ok());
        let is_word = self.severity.is_none() || severity.is_some();
        let is_line = is_line(self.subject_id, limit::SUBJECT_ID_BYTES_MAX);
        let by_field = [
            unless(is_snake_case(self.source), Rule::Source),
            unless(is_snake_case(self.subject_type), Rule::SubjectType),
            unless(is_line, Rule::SubjectId),
            unless(is_dotted_key(self.key), Rule::Key),
            value_rule,
            unless(is_word, Rule::Severity),
            time_rule(self.observed_at, now),
            unless(is_ttl(self.ttl_seconds), Rule::Ttl),
        ];
        let broken = BrokenRules { by_field };
        Checked {
            broken,
            value,
            severity,
        }
    }
}

impl<'a> From<&'a SignalDraft> for SignalRef<'a> {
    fn from(draft: &'a SignalDraft) -> Self {
        Self {
            source: &draft.source,
            subject_type: &draft.subject_type,
            subject_id: &draft.subject_id,
            key: &draft.key,
            value: &draft.value,
            severity: draft.severity.as_deref(),
            observed_at: draft.observed_at,
            ttl_seconds: draft.ttl_seconds,
        }
    }
}

fn is_ttl(ttl_seconds: Option<i64>) -> bool {
    ttl_seconds.is_none_or(|ttl| (1..=limit::SIGNAL_TTL_S_MAX).contains(&ttl))
}

fn time_rule(observed_at: Timestamp, now: Timestamp) -> Option<Rule> {
    let age = now.since(observed_at).micros();
    if age < -Span::from_secs(limit::SIGNAL_FUTURE_S_MAX).micros() {
        return Some(Rule::ObservedFuture);
    }
    (age > Span::from_secs(limit::SIGNAL_RETENTION_S).micros()).then_some(Rule::ObservedPast)
}

fn value_of<'s>(text: &'s str, scratch: &'s mut Scratch) -> Result<Canonical<'s>, Rule> {
    let profile = Profile::i_json().with_depth_max(limit::SIGNAL_VALUE_DEPTH_MAX);
    let canonical = match json::check_with(text.as_bytes(), profile) {
        Err(refused) if refused.code == JsonCode::NotCanonical => {
            json::canonicalize_with(text.as_bytes(), scratch, profile)
        }
        checked => checked,
    };
    let canonical = canonical.map_err(json_rule)?;
    if !has_member_value(canonical) || canonical.has_nul() {
        return Err(Rule::Value);
    }
    if canonical.as_str().len() > limit::SIGNAL_VALUE_BYTES_MAX {
        return Err(Rule::ValueSize);
    }
    Ok(canonical)
}

fn json_rule(refused: JsonError) -> Rule {
    match refused.code {
        JsonCode::Depth => Rule::ValueDepth,
        JsonCode::DuplicateName | JsonCode::NumberRange => Rule::ValueForm,
        JsonCode::NotUtf8 | JsonCode::Syntax | JsonCode::LoneSurrogate | JsonCode::NotCanonical => {
            Rule::Value
        }
    }
}

/// Looks for the member without decoding other names, which would allocate for those with escapes.
/// Only at level 1 of an object does a colon stand behind a string there.
fn has_member_value(canonical: Canonical<'_>) -> bool {
    let text = canonical.as_str();
    let (mut at, mut level) = (0_usize, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => {
                let rest = text.get(at..).unwrap_or_default();
                if level == 1 && rest.starts_with("\"value\":") {
                    return true;
                }
                at += string_length(rest);
                continue;
            }
            b'{' | b'[' => level += 1,
            b'}' | b']' => level = level.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

/// Length of the string that a canonical text begins with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut at = 1;
    while let Some(quote) = text.get(at..).and_then(|rest| rest.find('"')) {
        let inside = text.get(at..at + quote).unwrap_or_default();
        let n_backslashes = inside.bytes().rev().take_while(|b| *b == b'\\').count();
        at += quote + 1;
        if n_backslashes.is_multiple_of(2) {
            break;
        }
    }
    at.max(1)
}
