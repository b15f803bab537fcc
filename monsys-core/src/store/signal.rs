//! Signals as they are written, read back, and kept current.
//!
//! # What a back end must do
//! Keep two things in step, in one transaction for each call: the history, one row for each
//! signal in the order of arrival, and for each [`SignalSlot`] of a tenant the latest signal, by
//! `observed_at` and then by arrival. Every writer goes through the same two steps: [`emit`], the
//! payloads and findings of [`IngestStore`], and the transitions of [`CycleStore`]. A signal that
//! arrives late joins the history and changes nothing current; of several for one slot in one call
//! the last of the latest stays. What is current outlives the history it came from: retention
//! drops the history by age, but a current signal only when it is both that old and expired, so
//! that no sweep ever moves a score. A signal that was superseded never comes back, also when the
//! newer one expires first. Listings are cut by the values in a cursor, not by counting, so that
//! rows that come or go between two pages shift nothing.
//!
//! [`emit`]: SignalStore::emit
//! [`IngestStore`]: super::IngestStore
//! [`CycleStore`]: super::CycleStore

use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use super::StoreFuture;
use crate::id::TenantId;
use crate::name::{SignalKey, Source, SubjectId, SubjectType};
use crate::signal::Signal;
use crate::time::Timestamp;

/// The place that the next signal of the same subject, source and key takes over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignalSlot {
    /// What kind of thing it is about.
    pub subject_type: SubjectType,
    /// Which one.
    pub subject_id: SubjectId,
    /// Who found it.
    pub source: Source,
    /// What was looked at.
    pub key: SignalKey,
}

impl SignalSlot {
    /// Returns the place of a signal.
    pub fn of(signal: &Signal) -> Self {
        Self {
            subject_type: signal.subject_type().clone(),
            subject_id: signal.subject_id().clone(),
            source: signal.source().clone(),
            key: signal.key().clone(),
        }
    }
}

/// Who signals are about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// What kind of thing it is.
    pub subject_type: SubjectType,
    /// Which one.
    pub subject_id: SubjectId,
}

/// Which signals to list; `None` is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignalFilter {
    /// About one kind of thing.
    pub subject_type: Option<SubjectType>,
    /// About one thing.
    pub subject_id: Option<SubjectId>,
    /// From one source.
    pub source: Option<Source>,
    /// Of one key.
    pub key: Option<SignalKey>,
    /// Observed at this time or later.
    pub since: Option<Timestamp>,
}

impl SignalFilter {
    /// Tells whether it names one subject, for which back ends have an index.
    pub const fn is_of_one_subject(&self) -> bool {
        self.subject_type.is_some() && self.subject_id.is_some()
    }

    /// Tells whether a signal is one of those.
    pub fn admits(&self, signal: &Signal) -> bool {
        let is = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
        let subject_type = self.subject_type.as_ref().map(SubjectType::as_str);
        let subject_id = self.subject_id.as_ref().map(SubjectId::as_str);
        is(subject_type, signal.subject_type().as_str())
            && is(subject_id, signal.subject_id().as_str())
            && is(
                self.source.as_ref().map(Source::as_str),
                signal.source().as_str(),
            )
            && is(
                self.key.as_ref().map(SignalKey::as_str),
                signal.key().as_str(),
            )
            && self.since.is_none_or(|since| signal.observed_at() >= since)
    }
}

/// A place in the history: behind the signal that was observed then and arrived as this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignalCursor {
    /// When the signal was observed.
    pub observed_at: Timestamp,
    /// Its number in the order of arrival, at most 2^63 − 1. A store chooses how it counts.
    pub arrival: u64,
}

impl SignalCursor {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let (micros, arrival) = text.split_once('.').ok_or(CursorError)?;
        let micros: i64 = micros.parse().map_err(|_| CursorError)?;
        let arrival: i64 = arrival.parse().map_err(|_| CursorError)?;
        let cursor = Self {
            observed_at: Timestamp::from_unix_micros(micros).map_err(|_| CursorError)?,
            arrival: u64::try_from(arrival).map_err(|_| CursorError)?,
        };
        // One spelling for one place, so that a cursor can be compared as text.
        if alloc::format!("{cursor}") == text {
            Ok(cursor)
        } else {
            Err(CursorError)
        }
    }
}

impl fmt::Display for SignalCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.observed_at.unix_micros(), self.arrival)
    }
}

/// Says that a text is no place in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a cursor: expected the next_cursor of a listing")]
pub struct CursorError;

/// One page of the history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignalPage {
    /// The newest first: by `observed_at`, then by arrival, both falling.
    pub signals: Vec<Signal>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<SignalCursor>,
}

/// One page of what is current.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CurrentPage {
    /// In the order of their slots, byte by byte.
    pub signals: Vec<Signal>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<SignalSlot>,
}

/// Writing and reading the one table of signals. The module says what a back end must do.
pub trait SignalStore: Send + Sync {
    /// Stores signals, all or nothing, in one transaction; none is fine and stores nothing.
    ///
    /// # Errors
    /// `NotFound` without such a tenant, `Refused` when the database found a rule broken that the
    /// validator did not, `Unavailable` when trying again is right; nothing was stored then.
    fn emit(&self, tenant: TenantId, signals: Vec<Signal>) -> StoreFuture<'_, ()>;

    /// Lists at most `n_rows` signals of the history behind `after`, the newest first.
    fn signals<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<SignalCursor>,
        n_rows: u32,
    ) -> StoreFuture<'a, SignalPage>;

    /// Lists at most `n_rows` of the signals that are the latest of their slot and live at `now`,
    /// in the order of their slots behind `after`.
    fn current<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<&'a SignalSlot>,
        n_rows: u32,
        now: Timestamp,
    ) -> StoreFuture<'a, CurrentPage>;

    /// Lists what was the latest of its slot at a past moment, going by what was observed until
    /// then, and live then: what [`current`](Self::current) would have listed of one subject.
    ///
    /// A page is of `n_slots` slots behind `after`, in their order; those that had nothing yet are
    /// left out of it. Exact as far back as the history is kept.
    fn as_of<'a>(
        &'a self,
        tenant: TenantId,
        subject: &'a Subject,
        after: Option<&'a SignalSlot>,
        n_slots: u32,
        at: Timestamp,
    ) -> StoreFuture<'a, CurrentPage>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_one_spelling() {
        let cursor = SignalCursor {
            observed_at: Timestamp::MIN,
            arrival: 7,
        };
        let text = alloc::format!("{cursor}");
        assert_eq!(SignalCursor::parse(&text), Ok(cursor));
        for other in [
            "",
            ".",
            "1",
            "1.",
            ".1",
            "+1.1",
            "1.+1",
            "01.1",
            "1.01",
            "1.1 ",
            "1.-1",
            "1.1.1",
            "99999999999999999999.1",
            "1.18446744073709551615",
            "-0.1",
            "1.1\n",
        ] {
            assert_eq!(SignalCursor::parse(other), Err(CursorError), "{other}");
        }
    }
}
