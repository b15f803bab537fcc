//! Signals as the readers see them: borrowed, without the value.
//!
//! What: [`SignalView`], made from a [`Signal`] or from the columns of a stored row, so that no
//! reader needs the value or an allocation. What not: checking; a row that no validator let pass is
//! read as documented at each field. Cost: about a hundred bytes, copied.

use core::cmp::Ordering;

use monsys_core::signal::Signal;
use monsys_core::{Severity, Timestamp, limit};

/// What a signal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject<'a> {
    /// What kind of thing.
    pub subject_type: &'a str,
    /// Which one.
    pub subject_id: &'a str,
}

/// The severity of a row as it was stored, ordered by what it weighs. Closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// None: the signal is no finding.
    Ungraded,
    /// A word that is no severity. Validators refuse it, old rows may hold it. It weighs nothing,
    /// because a guess would move a score for no reason, and every reader says that it is there.
    Unknown,
    /// One of the five severities.
    Graded(Severity),
}

impl Grade {
    /// Reads the column of a row.
    ///
    /// ```
    /// use monsys_core::Severity;
    /// use monsys_signals::Grade;
    /// assert_eq!(Grade::parse(None), Grade::Ungraded);
    /// assert_eq!(Grade::parse(Some("high")), Grade::Graded(Severity::High));
    /// assert_eq!(Grade::parse(Some("HIGH")), Grade::Unknown);
    /// ```
    pub fn parse(text: Option<&str>) -> Self {
        match text.map(Severity::parse) {
            None => Self::Ungraded,
            Some(Ok(severity)) => Self::Graded(severity),
            Some(Err(_)) => Self::Unknown,
        }
    }

    /// Returns the severity, if it is one.
    pub const fn severity(self) -> Option<Severity> {
        match self {
            Self::Graded(severity) => Some(severity),
            Self::Ungraded | Self::Unknown => None,
        }
    }

    /// Tells whether it is a finding, something that somebody should fix: low or worse.
    pub const fn is_finding(self) -> bool {
        match self {
            Self::Ungraded | Self::Unknown | Self::Graded(Severity::Info) => false,
            Self::Graded(
                Severity::Low | Severity::Medium | Severity::High | Severity::Critical,
            ) => true,
        }
    }
}

impl From<Option<Severity>> for Grade {
    fn from(severity: Option<Severity>) -> Self {
        severity.map_or(Self::Ungraded, Self::Graded)
    }
}

/// A signal without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignalView<'a> {
    /// What it is about.
    pub subject: Subject<'a>,
    /// Who found it.
    pub source: &'a str,
    /// What was looked at.
    pub key: &'a str,
    /// How bad it is.
    pub grade: Grade,
    /// When it was seen.
    pub observed_at: Timestamp,
    /// How long it holds, in seconds; `None` is until superseded. Rows outside 1 to
    /// [`limit::SIGNAL_TTL_S_MAX`] are read as if at the nearer end.
    pub ttl_seconds: Option<i64>,
    /// Its place among the signals that were observed at the same time: of two for one slot the
    /// higher counts, as in a store. 0 where only one is kept, as in `signal_current`.
    pub arrival: u64,
}

impl<'a> SignalView<'a> {
    /// Returns how old it is, in microseconds; 0 when it comes from the future.
    pub(crate) fn age_micros(&self, now: Timestamp) -> u64 {
        u64::try_from(now.since(self.observed_at).micros()).unwrap_or(0)
    }

    /// Returns how long it holds, in microseconds: at most 3.2 × 10^14.
    pub(crate) fn ttl_micros(&self) -> Option<u64> {
        let ttl_s = self.ttl_seconds?.clamp(1, limit::SIGNAL_TTL_S_MAX);
        Some(u64::try_from(ttl_s).unwrap_or(1) * 1_000_000)
    }

    /// Tells whether it still holds: `now < observed_at + ttl`, sticky ones always (row S7).
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ttl_micros()
            .is_none_or(|ttl| self.age_micros(now) < ttl)
    }

    /// Compares the places that signals take from each other: subject, source, key.
    pub fn cmp_slot(&self, other: &SignalView<'_>) -> Ordering {
        let slot = |view: &SignalView<'a>| (view.subject, view.source, view.key);
        slot(self).cmp(&(other.subject, other.source, other.key))
    }

    /// Tells whether it counts where both are of one slot: the newer one, then the later arrival.
    /// Of two with both the same, which no store holds, the worse, then the longer one counts, so
    /// that the order in which rows are handed in never matters.
    pub(crate) fn supersedes(&self, other: &SignalView<'_>) -> bool {
        let rank = |view: &SignalView<'_>| {
            let ttl = view.ttl_micros().unwrap_or(u64::MAX);
            (view.observed_at, view.arrival, view.grade, ttl)
        };
        rank(self) > rank(other)
    }
}

impl<'a> From<&'a Signal> for SignalView<'a> {
    fn from(signal: &'a Signal) -> Self {
        Self {
            subject: Subject {
                subject_type: signal.subject_type().as_str(),
                subject_id: signal.subject_id().as_str(),
            },
            source: signal.source().as_str(),
            key: signal.key().as_str(),
            grade: Grade::from(signal.severity()),
            observed_at: signal.observed_at(),
            ttl_seconds: signal.ttl_seconds(),
            arrival: 0,
        }
    }
}

/// Leaves out what was observed after a past moment: what a hub could know then. One row a slot of
/// what is current and any rows of the history may be handed in together.
pub fn known_at<'r, 'a: 'r>(
    rows: impl IntoIterator<Item = SignalView<'a>> + 'r,
    at: Timestamp,
) -> impl Iterator<Item = SignalView<'a>> + 'r {
    rows.into_iter().filter(move |row| row.observed_at <= at)
}
