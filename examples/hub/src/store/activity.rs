//! What happened lately in an organisation, from all that is kept of it, as one list.
//!
//! What: a contract that each back end of the hub keeps natively: what happened to anomalies, logins
//! that endpoints counted, collectors that fare otherwise than before, and the audit log; and the
//! merging of the four into one order. What not: samples and signals, of which there are too many to
//! be news. Cost: a page reads so many rows of each, by an index; collectors are compared snapshot
//! by snapshot, [`SNAPSHOTS_MAX`] at most for a page, which then may be shorter than it could be.

use std::cmp::Reverse;
use std::fmt;

use monsys_core::anomaly::AnomalyKind;
use monsys_core::endpoint::{AuthOutcome, CollectorState};
use monsys_core::id::{AgentId, AnomalyId, TenantId};
use monsys_core::ledger::EventKind;
use monsys_core::severity::Severity;
use monsys_core::store::{CursorError, StoreError, StoreFuture};
use monsys_core::time::Timestamp;
use serde::Deserialize;

use super::Actor;

/// What kind of thing happened; of those of one moment, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActivityKind {
    /// Something happened to an anomaly, other than that it was seen again.
    Anomaly,
    /// Services of an endpoint let people in or refused them.
    Login,
    /// Collectors of an agent fare otherwise than in the snapshot before.
    Collector,
    /// A person or the hub changed something.
    Audit,
}

impl ActivityKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Anomaly, Self::Login, Self::Collector, Self::Audit];

    /// Returns the word used in JSON and addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anomaly => "anomaly",
            Self::Login => "login",
            Self::Collector => "collector",
            Self::Audit => "audit",
        }
    }

    /// Finds the one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// Where something stands in the list: the newest first, then by kind, then by falling number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityPlace {
    /// When it happened.
    pub at: Timestamp,
    /// Of which kind it is.
    pub kind: ActivityKind,
    /// Its number in the ledger or the audit log, or the identifier of the agent as a number.
    pub number: u128,
}

impl ActivityPlace {
    /// Reads the text form: microseconds since 1970, kind, and the number in hexadecimal digits.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(CursorError);
        let (micros, kind, number) = (part()?, part()?, part()?);
        let micros = micros.parse().map_err(|_| CursorError)?;
        let place = Self {
            at: Timestamp::from_unix_micros(micros).map_err(|_| CursorError)?,
            kind: ActivityKind::parse(kind).ok_or(CursorError)?,
            number: u128::from_str_radix(number, 16).map_err(|_| CursorError)?,
        };
        // One spelling for one place.
        if place.to_string() == text {
            Ok(place)
        } else {
            Err(CursorError)
        }
    }

    fn order(&self) -> (Reverse<Timestamp>, ActivityKind, Reverse<u128>) {
        (Reverse(self.at), self.kind, Reverse(self.number))
    }
}

impl fmt::Display for ActivityPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.at.unix_micros();
        write!(f, "{micros}.{}.{:x}", self.kind.as_str(), self.number)
    }
}

/// What part of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityFilter {
    /// Of one kind; `None` is of all.
    pub kind: Option<ActivityKind>,
    /// From this moment on.
    pub from: Timestamp,
    /// Up to this moment and with it.
    pub to: Timestamp,
    /// Behind this place.
    pub after: Option<ActivityPlace>,
}

impl ActivityFilter {
    /// Where the rows of one kind begin: behind this moment and number. `None` when none is wanted.
    pub(super) fn start_of(&self, kind: ActivityKind) -> Option<(Timestamp, u128)> {
        if self.kind.is_some_and(|wanted| wanted != kind) {
            return None;
        }
        let first = (self.to, u128::MAX);
        let after = self.after.map_or(first, |after| {
            // What else happened at that moment stands behind it, or before, by its kind.
            let number = match kind.cmp(&after.kind) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => after.number,
                std::cmp::Ordering::Greater => u128::MAX,
            };
            (after.at, number)
        });
        Some(after.min(first))
    }
}

/// How often a service let people in, or refused them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginCount {
    /// Which service.
    pub service: String,
    /// What it decided.
    pub outcome: AuthOutcome,
    /// How often since the snapshot before.
    pub count: u64,
}

/// A collector that fares otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorChange {
    /// Which one.
    pub collector: String,
    /// How it fares.
    pub state: CollectorState,
    /// Why.
    pub reason: Option<String>,
    /// How it fared in the snapshot before, in which it counts as well where it was not named.
    pub was: CollectorState,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Where it stands.
    pub place: ActivityPlace,
    /// What it was.
    pub what: Happened,
}

/// What happened. Closed, as the kinds are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// Something happened to an anomaly.
    Anomaly {
        /// What.
        event: EventKind,
        /// To which.
        anomaly: AnomalyId,
        /// Of which kind it is.
        kind: AnomalyKind,
        /// How bad it is by now.
        severity: Severity,
        /// Whose it is.
        agent: AgentId,
        /// What people call that agent.
        agent_name: String,
        /// Who did it.
        actor: Actor,
    },
    /// Services decided about logins.
    Login {
        /// On which machine.
        agent: AgentId,
        /// What people call it.
        agent_name: String,
        /// What was counted.
        counts: Vec<LoginCount>,
    },
    /// Collectors fare otherwise.
    Collector {
        /// Of which agent.
        agent: AgentId,
        /// What people call it.
        agent_name: String,
        /// Which, and how.
        changes: Vec<CollectorChange>,
    },
    /// An entry of the audit log.
    Audit {
        /// Who did it.
        actor: String,
        /// What was done.
        action: String,
        /// With what.
        subject: String,
    },
}

/// A page of what happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivityPage {
    /// The newest first.
    pub rows: Vec<Activity>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<ActivityPlace>,
}

/// Reading what happened in one organisation.
pub trait ActivityStore: Send + Sync {
    /// Reads a page of at most `n_rows`. One with fewer rows may have a next one.
    fn activity(
        &self,
        tenant: TenantId,
        filter: ActivityFilter,
        n_rows: u32,
    ) -> StoreFuture<'_, ActivityPage>;
}

/// What one source gave for a page.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: Vec<Activity>,
    /// Behind which place it was not looked any further, though there may be more.
    pub(super) seen_to: Option<ActivityPlace>,
}

/// Merges what the sources gave, each up to one row more than a page holds.
pub(super) fn merge(found: Vec<Found>, n_rows: u32) -> ActivityPage {
    let places = found.iter().filter_map(|found| found.seen_to);
    let seen_to = places.min_by_key(ActivityPlace::order);
    let mut rows: Vec<_> = found.into_iter().flat_map(|found| found.rows).collect();
    rows.sort_by_key(|row| row.place.order());
    if let Some(seen_to) = seen_to {
        rows.retain(|row| row.place.order() <= seen_to.order());
    }
    let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
    let has_more = rows.len() > n_rows;
    rows.truncate(n_rows);
    let last = rows.last().map(|row| row.place);
    ActivityPage {
        next: if has_more { last } else { seen_to },
        rows,
    }
}

/// Keeps the snapshots that tell something.
pub(super) fn news(mut compared: Vec<Activity>) -> Found {
    let n_most = usize::try_from(SNAPSHOTS_MAX).unwrap_or(usize::MAX);
    let is_cut = compared.len() >= n_most;
    let seen_to = compared.last().filter(|_| is_cut).map(|last| last.place);
    compared.retain(
        |row| !matches!(&row.what, Happened::Collector { changes, .. } if changes.is_empty()),
    );
    Found {
        rows: compared,
        seen_to,
    }
}

/// The identifier of an agent as a number, in the order of its text.
pub(super) const fn number_of(agent: AgentId) -> u128 {
    u128::from_be_bytes(agent.to_bytes())
}

/// The agent of such a number.
pub(super) const fn agent_of(number: u128) -> AgentId {
    AgentId::from_bytes(number.to_be_bytes())
}

/// A number as the databases have it; what no column can hold is behind all rows.
pub(super) fn stored(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[derive(Deserialize)]
struct AuthRow {
    service: String,
    outcome: String,
    count: u64,
}

/// Reads the column of logins.
pub(super) fn logins(text: &str) -> Result<Vec<LoginCount>, StoreError> {
    let rows: Vec<AuthRow> = serde_json::from_str(text).map_err(|_| StoreError::Damaged)?;
    let count = |row: AuthRow| {
        Ok(LoginCount {
            service: row.service,
            outcome: AuthOutcome::from_word(&row.outcome).ok_or(StoreError::Damaged)?,
            count: row.count,
        })
    };
    rows.into_iter().map(count).collect()
}

#[derive(Deserialize)]
struct HealthRow {
    collector: String,
    state: String,
    reason: Option<String>,
}

impl HealthRow {
    fn state(&self) -> Result<CollectorState, StoreError> {
        CollectorState::from_word(&self.state).ok_or(StoreError::Damaged)
    }
}

/// Finds the collectors that fare otherwise than before. One that was not named before fared well.
pub(super) fn changes(
    health: &str,
    before: Option<&str>,
) -> Result<Vec<CollectorChange>, StoreError> {
    let read = |text: &str| serde_json::from_str(text).map_err(|_| StoreError::Damaged);
    let rows: Vec<HealthRow> = read(health)?;
    let before: Vec<HealthRow> = before.map_or(Ok(Vec::new()), read)?;
    let mut changes = Vec::new();
    for row in rows {
        let earlier = before.iter().find(|was| was.collector == row.collector);
        let was = earlier.map_or(Ok(CollectorState::Ok), HealthRow::state)?;
        let state = row.state()?;
        if state != was {
            changes.push(CollectorChange {
                collector: row.collector,
                state,
                reason: row.reason,
                was,
            });
        }
    }
    Ok(changes)
}

/// Snapshots that are compared for one page at most.
pub(super) const SNAPSHOTS_MAX: u32 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(micros: i64, kind: ActivityKind, number: u128) -> ActivityPlace {
        let at = Timestamp::from_unix_micros(micros).unwrap();
        ActivityPlace { at, kind, number }
    }

    fn row(place: ActivityPlace) -> Activity {
        let text = String::new;
        let what = Happened::Audit {
            actor: text(),
            action: text(),
            subject: text(),
        };
        Activity { place, what }
    }

    #[test]
    fn a_place_has_one_spelling() {
        let known = place(-5, ActivityKind::Collector, u128::MAX);
        let text = known.to_string();
        assert_eq!(ActivityPlace::parse(&text), Ok(known));
        for other in [
            "",
            "1",
            "1.audit",
            "1.audit.",
            "1.audit.01",
            "1.audit.A",
            "1.audit.+1",
            "+1.audit.1",
            "1.seen.1",
            "1.audit.1.1",
        ] {
            assert_eq!(ActivityPlace::parse(other), Err(CursorError), "{other}");
        }
    }

    #[test]
    fn pages_of_merged_sources_are_all_rows_in_order() {
        let kinds = ActivityKind::ALL;
        let all: Vec<_> = (0..40_i64)
            .map(|n| {
                place(
                    n / 7,
                    kinds[usize::try_from(n % 4).unwrap()],
                    n.unsigned_abs().into(),
                )
            })
            .collect();
        for n_rows in [1, 3, 40] {
            let (mut after, mut listed) = (None, Vec::new());
            loop {
                let at = Timestamp::from_unix_micros;
                let filter = ActivityFilter {
                    kind: None,
                    from: at(0).unwrap(),
                    to: at(99).unwrap(),
                    after,
                };
                let sources = kinds.map(|kind| {
                    let start = filter.start_of(kind).unwrap();
                    let mut of_kind: Vec<_> =
                        all.iter().filter(|known| known.kind == kind).collect();
                    of_kind.retain(|known| (known.at, known.number) < start);
                    of_kind.sort_by_key(|known| known.order());
                    // One of the sources gives up after two rows.
                    let n_most = if kind == ActivityKind::Collector {
                        2
                    } else {
                        n_rows + 1
                    };
                    let is_cut = of_kind.len() > n_most && kind == ActivityKind::Collector;
                    of_kind.truncate(n_most);
                    let seen_to = of_kind.last().filter(|_| is_cut).map(|last| **last);
                    let rows = of_kind.into_iter().map(|known| row(*known)).collect();
                    Found { rows, seen_to }
                });
                let page = merge(sources.into(), u32::try_from(n_rows).unwrap());
                listed.extend(page.rows.iter().map(|row| row.place));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let mut expected = all.clone();
            expected.sort_by_key(ActivityPlace::order);
            assert_eq!(listed, expected, "{n_rows}");
        }
    }

    #[test]
    fn a_collector_is_news_when_its_state_changes_and_not_when_its_reason_does() {
        let denied = r#"[{"collector":"auth","state":"degraded","reason":"denied"}]"#;
        let other = r#"[{"collector":"auth","state":"degraded","reason":"other"}]"#;
        let well = r#"[{"collector":"auth","state":"ok","reason":null}]"#;
        assert_eq!(changes(denied, Some(other)), Ok(Vec::new()));
        assert_eq!(changes(well, None), Ok(Vec::new()));
        let [worse, better] = [(denied, None), (well, Some(denied))].map(|(now, before)| {
            let found = changes(now, before).unwrap();
            (found[0].was, found[0].state)
        });
        assert_eq!(worse, (CollectorState::Ok, CollectorState::Degraded));
        assert_eq!(better, (CollectorState::Degraded, CollectorState::Ok));
        assert_eq!(changes("{}", None), Err(StoreError::Damaged));
    }
}
