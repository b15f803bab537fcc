//! Anomalies as people read and close them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{CursorError, StoreFuture};
use crate::anomaly::{Action, Anomaly, AnomalyKind};
use crate::id::{AgentId, AnomalyId, TenantId, UserId};
use crate::ledger::{LedgerEntry, LedgerHead};
use crate::limit;
use crate::severity::Severity;
use crate::time::Timestamp;

/// Open or resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnomalyState {
    /// Nobody and nothing closed it.
    Open,
    /// A person or a passing check closed it.
    Resolved,
}

impl AnomalyState {
    /// Returns the word used in URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }
}

/// Whether an open anomaly waits for a person at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// It is neither snoozed nor acknowledged.
    Needed,
    /// A person has seen it; it is not snoozed.
    Acknowledged,
    /// A person does not want to hear of it yet.
    Snoozed,
}

impl Attention {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Needed, Self::Acknowledged, Self::Snoozed];

    /// Returns the word used in URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Needed => "needed",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
        }
    }

    /// Reads one of the words.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == text)
    }

    /// Tells which one an anomaly has at `now`; one that is closed waits for nobody.
    pub fn of(anomaly: &Anomaly, now: Timestamp) -> Option<Self> {
        let holds = |until: Option<Timestamp>| until.is_none_or(|until| now < until);
        if !anomaly.is_open() {
            None
        } else if anomaly.snoozed.as_ref().is_some_and(|s| now < s.until) {
            Some(Self::Snoozed)
        } else if (anomaly.acknowledged.as_ref()).is_some_and(|a| holds(a.until)) {
            Some(Self::Acknowledged)
        } else {
            Some(Self::Needed)
        }
    }
}

/// A place in a listing: behind an anomaly, as it was when it was listed.
///
/// The state is part of it, so that whoever closes an anomaly and turns the page misses none of
/// those that are still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnomalyCursor {
    /// Among which it was listed.
    pub state: AnomalyState,
    /// Which one.
    pub id: AnomalyId,
}

impl AnomalyCursor {
    /// The place behind an anomaly.
    pub const fn behind(anomaly: &Anomaly) -> Self {
        let state = if anomaly.is_open() {
            AnomalyState::Open
        } else {
            AnomalyState::Resolved
        };
        Self {
            state,
            id: anomaly.id,
        }
    }

    /// Reads the text form, `open.` or `resolved.` and an identifier.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let (word, id) = text.split_once('.').ok_or(CursorError)?;
        let mut states = [AnomalyState::Open, AnomalyState::Resolved].into_iter();
        let state = states.find(|state| state.as_str() == word);
        Ok(Self {
            state: state.ok_or(CursorError)?,
            id: AnomalyId::parse(id).map_err(|_| CursorError)?,
        })
    }
}

impl fmt::Display for AnomalyCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.state.as_str(), self.id)
    }
}

/// Which anomalies to list; `None` is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnomalyFilter {
    /// Open or resolved.
    pub state: Option<AnomalyState>,
    /// Of one kind.
    pub kind: Option<AnomalyKind>,
    /// Of one severity.
    pub severity: Option<Severity>,
    /// Of one agent.
    pub agent: Option<AgentId>,
    /// Of those that are open, the ones that wait for a person, or do not.
    pub attention: Option<Attention>,
    /// Behind this place of the listing.
    pub after: Option<AnomalyCursor>,
}

impl AnomalyFilter {
    /// Lists the parts of the listing in their order, each with the anomaly behind which it begins:
    /// those that are open, then those that are resolved, as far as they are wanted.
    pub fn parts(&self) -> impl Iterator<Item = (AnomalyState, Option<AnomalyId>)> + use<> {
        let Self { state, after, .. } = *self;
        // What waits for a person, or does not, is open.
        let is_open_only = self.attention.is_some();
        let is_wanted = move |part: &AnomalyState| {
            state.is_none_or(|state| state == *part)
                && after.is_none_or(|after| after.state <= *part)
                && !(is_open_only && *part == AnomalyState::Resolved)
        };
        let parts = [AnomalyState::Open, AnomalyState::Resolved].into_iter();
        parts.filter(is_wanted).map(move |part| {
            let behind = after.filter(|after| after.state == part);
            (part, behind.map(|after| after.id))
        })
    }
}

/// An anomaly with the names people know.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyRow {
    /// The anomaly.
    pub anomaly: Anomaly,
    /// What people call its agent.
    pub agent_name: String,
    /// The e-mail address of who closed it.
    pub closed_by: Option<String>,
    /// How often an anomaly of this agent and kind opened or closed in the 24 h before the reading.
    pub n_changes: u32,
}

/// What an anomaly is called at a moment; derived, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Closed.
    Resolved,
    /// Open, and a person does not want to hear of it yet.
    Snoozed,
    /// Open, and a person has seen it.
    Acknowledged,
    /// Open, and the same was opened and closed several times lately.
    Flapping,
    /// Open again after it had been closed.
    Regressed,
    /// Open, and nothing more is known.
    Open,
}

impl Label {
    /// Returns the word used in JSON and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Snoozed => "snoozed",
            Self::Acknowledged => "acknowledged",
            Self::Flapping => "flapping",
            Self::Regressed => "regressed",
            Self::Open => "open",
        }
    }
}

impl AnomalyRow {
    /// Tells what the anomaly is called at `now`: what a person did goes before what it did itself.
    pub fn label(&self, now: Timestamp) -> Label {
        let anomaly = &self.anomaly;
        let Some(attention) = Attention::of(anomaly, now) else {
            return Label::Resolved;
        };
        if attention == Attention::Snoozed {
            Label::Snoozed
        } else if attention == Attention::Acknowledged {
            Label::Acknowledged
        } else if self.n_changes >= limit::FLAPPING_CHANGES_MIN {
            Label::Flapping
        } else if anomaly.previous.is_some() {
            Label::Regressed
        } else {
            Label::Open
        }
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyPage {
    /// First those that are open, ordered as the auditor's first query: worst first, newest first.
    /// Then those that are resolved, as in the third one: what was closed last comes first.
    pub rows: Vec<AnomalyRow>,
    /// The place of the last row when there are more behind it.
    pub next: Option<AnomalyCursor>,
}

impl AnomalyPage {
    /// Makes a page of `n_rows` from what was found in order, of which one row more tells that the
    /// page is not the last.
    pub fn cut(mut found: Vec<AnomalyRow>, n_rows: u32) -> Self {
        let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
        let has_more = found.len() > n_rows;
        found.truncate(n_rows);
        let last = found.last().filter(|_| has_more);
        Self {
            next: last.map(|row| AnomalyCursor::behind(&row.anomaly)),
            rows: found,
        }
    }
}

/// How many anomalies of one kind are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindCount {
    /// The kind.
    pub kind: AnomalyKind,
    /// How many are open.
    pub n_open: u64,
    /// The worst severity among them.
    pub worst: Option<Severity>,
}

/// Reading anomalies and their ledger, and what people do with them.
pub trait AnomalyStore: Send + Sync {
    /// Counts open anomalies per kind: the documented kinds in their order, zeros included, then
    /// each other kind of which one is open.
    fn open_counts(&self, tenant: TenantId) -> StoreFuture<'_, Vec<KindCount>>;

    /// Lists anomalies, at most `n_rows`, in the parts of [`AnomalyFilter::parts`]; `now` is the
    /// end of the 24 h of [`AnomalyRow::n_changes`], and the moment of [`Attention`]. Behind an
    /// anomaly that is not there is nothing.
    fn anomalies(
        &self,
        tenant: TenantId,
        filter: AnomalyFilter,
        n_rows: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyPage>;

    /// Reads one anomaly.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such anomaly.
    fn anomaly(
        &self,
        tenant: TenantId,
        id: AnomalyId,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyRow>;

    /// Does what a person wants with at most [`limit::ACTION_ANOMALIES_MAX`] anomalies, in one
    /// transaction, and answers the rows in the order of `ids` as they are then. One that is closed
    /// already stays as it is. What changes leaves its entries in the ledger; what closes is
    /// superseded as a signal.
    ///
    /// # Errors
    /// `NotFound` when the tenant has not all of them; nothing was changed then.
    fn act<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [AnomalyId],
        by: UserId,
        action: &'a Action,
        now: Timestamp,
    ) -> StoreFuture<'a, Vec<AnomalyRow>>;

    /// Reads entries of the ledger in order: those after `after`, of one anomaly or of all, at most
    /// `n_rows`.
    fn ledger(
        &self,
        tenant: TenantId,
        anomaly: Option<AnomalyId>,
        after: u64,
        n_rows: u32,
    ) -> StoreFuture<'_, Vec<LedgerEntry>>;

    /// Reads where the ledger ends; `LedgerHead::EMPTY` before its first entry. Cheap: pages ask
    /// every second whether anything happened.
    fn ledger_head(&self, tenant: TenantId) -> StoreFuture<'_, LedgerHead>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_one_spelling() {
        let id = AnomalyId::from_random_bytes([4; 16]);
        for state in [AnomalyState::Open, AnomalyState::Resolved] {
            let cursor = AnomalyCursor { state, id };
            let text = alloc::format!("{cursor}");
            assert_eq!(AnomalyCursor::parse(&text), Ok(cursor));
        }
        let bare = alloc::format!("{id}");
        for text in ["", "open.", "open", &bare, &alloc::format!("all.{bare}")] {
            assert_eq!(AnomalyCursor::parse(text), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn a_listing_has_its_parts_from_the_place_on() {
        use AnomalyState::{Open, Resolved};
        let id = AnomalyId::from_random_bytes([4; 16]);
        let parts = |state, after: Option<AnomalyState>, attention| {
            let after = after.map(|state| AnomalyCursor { state, id });
            let filter = AnomalyFilter {
                state,
                after,
                attention,
                ..AnomalyFilter::default()
            };
            filter.parts().collect::<Vec<_>>()
        };
        let (all, needed) = (None, Some(Attention::Needed));
        assert_eq!(parts(all, None, None), [(Open, None), (Resolved, None)]);
        let behind_open = [(Open, Some(id)), (Resolved, None)];
        assert_eq!(parts(all, Some(Open), None), behind_open);
        assert_eq!(parts(all, Some(Resolved), None), [(Resolved, Some(id))]);
        assert_eq!(parts(Some(Open), Some(Open), None), [(Open, Some(id))]);
        assert_eq!(parts(Some(Open), Some(Resolved), None), []);
        assert_eq!(parts(all, None, needed), [(Open, None)]);
        assert_eq!(parts(Some(Resolved), None, needed), []);
    }
}
