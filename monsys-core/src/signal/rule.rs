//! The rules of a signal by name, and what is said about the broken ones.

use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use crate::limit;

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
    /// `signal_value` is a JSON object with a member `value`, without half surrogate pairs and
    /// U+0000.
    Value,
    /// `signal_value` names no member twice and holds no number beyond ±(2^53 − 1); databases
    /// read such JSON, each in its own way.
    ValueForm,
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
            Self::ValueForm => "signal_value_form",
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

    /// Tells whether a database sees the rule broken too: its CHECK constraint of this name then
    /// refuses the row. The other rules stand or fall with the validator, because SQL knows no
    /// canonical form and no `now` (contract §5).
    pub const fn is_checked_by_databases(self) -> bool {
        match self {
            Self::Source
            | Self::SubjectType
            | Self::SubjectId
            | Self::Key
            | Self::Value
            | Self::Severity
            | Self::Ttl => true,
            Self::ValueForm
            | Self::ValueSize
            | Self::ValueDepth
            | Self::ObservedFuture
            | Self::ObservedPast
            | Self::AgentSource
            | Self::AgentSubjectType
            | Self::LiveKeys => false,
        }
    }

    /// Returns the field the rule is about, as it is called on the wire.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Source | Self::AgentSource => "source",
            Self::SubjectType | Self::AgentSubjectType => "subject_type",
            Self::SubjectId => "subject_id",
            Self::Key | Self::LiveKeys => "key",
            Self::Value | Self::ValueForm | Self::ValueSize | Self::ValueDepth => "value",
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
            Self::Value => {
                "expected a JSON object with a member value and no U+0000 or half surrogate"
            }
            Self::ValueForm => "expected no name twice and numbers within 2^53 - 1",
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
