//! Signals as they are listed in PostgreSQL: the history, and what of it is current.

use std::collections::BTreeSet;
use std::sync::Arc;

use monsys_core::id::TenantId;
use monsys_core::name::{SignalKey, Source, SubjectId, SubjectType};
use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::store::{
    CurrentPage, SignalCursor, SignalFilter, SignalPage, SignalSlot, SignalStore, StoreFuture,
    Subject,
};
use monsys_core::time::Timestamp;
use tokio_postgres::Row;

use super::PostgresStore;
use super::column::DAMAGED;
use super::fault::Fault;
use super::horizon;
use super::partition::Table;
use super::signal::{slice_of, store_signals_and_commit};
use super::transaction::{Plan, Tx};

impl SignalStore for PostgresStore {
    fn emit(&self, tenant: TenantId, signals: Vec<Signal>) -> StoreFuture<'_, ()> {
        let signals: Arc<[Signal]> = signals.into();
        let written = Arc::clone(&signals);
        let slices = move || signals.iter().map(slice_of).collect();
        self.run_in_slices(Plan::write("emit", tenant), slices, move |tx| {
            let signals = Arc::clone(&written);
            Box::pin(async move {
                let signals: Vec<&Signal> = signals.iter().collect();
                store_signals_and_commit(tx, tenant, &signals).await
            })
        })
    }

    fn signals<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<SignalCursor>,
        n_rows: u32,
    ) -> StoreFuture<'a, SignalPage> {
        let filter = Arc::new(filter.clone());
        self.run(Plan::read("signals", tenant), move |tx| {
            let filter = Arc::clone(&filter);
            Box::pin(async move { history(tx, tenant, &filter, after, n_rows).await })
        })
    }

    fn current<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<&'a SignalSlot>,
        n_rows: u32,
        now: Timestamp,
    ) -> StoreFuture<'a, CurrentPage> {
        let asked = Arc::new((filter.clone(), after.cloned()));
        self.run(Plan::read("current", tenant), move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (filter, after) = (&asked.0, asked.1.as_ref());
                current(tx, tenant, filter, after, (n_rows, now)).await
            })
        })
    }

    fn as_of<'a>(
        &'a self,
        tenant: TenantId,
        subject: &'a Subject,
        after: Option<&'a SignalSlot>,
        n_slots: u32,
        at: Timestamp,
    ) -> StoreFuture<'a, CurrentPage> {
        let asked = Arc::new((subject.clone(), after.cloned()));
        self.run(Plan::read("as_of", tenant), move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (subject, after) = (&asked.0, asked.1.as_ref());
                let mut page = slots_of(tx, tenant, subject, after, (n_slots, at)).await?;
                stand_at(tx, tenant, subject, &mut page.signals, at).await?;
                Ok(page)
            })
        })
    }
}

async fn history(
    tx: &Tx,
    tenant: TenantId,
    filter: &SignalFilter,
    after: Option<SignalCursor>,
    n_rows: u32,
) -> Result<SignalPage, Fault> {
    // Two statements: one that leaves the subject open could not be planned for its index.
    let sql = if filter.is_of_one_subject() {
        HISTORY_OF_SUBJECT
    } else {
        HISTORY
    };
    let (before_at, before_arrival) = after.map_or((Timestamp::MAX, i64::MAX), |after| {
        let arrival = i64::try_from(after.arrival).unwrap_or(i64::MAX);
        (after.observed_at, arrival)
    });
    let kept_since = horizon::of(tx, Table::Signals).await?;
    let since = filter.since.unwrap_or(Timestamp::MIN).max(kept_since);
    let rows = tx
        .rows(
            sql,
            &[
                &tenant,
                &filter.subject_type.as_ref().map(SubjectType::as_str),
                &filter.subject_id.as_ref().map(SubjectId::as_str),
                &filter.source.as_ref().map(Source::as_str),
                &filter.key.as_ref().map(SignalKey::as_str),
                &since,
                &before_at,
                &before_arrival,
                &(i64::from(n_rows) + 1),
            ],
        )
        .await?;
    let (page, has_more) = cut(&rows, n_rows);
    let signals = page.iter().map(signal_of).collect::<Result<Vec<_>, _>>()?;
    let place = |row: &Row| {
        let arrival: i64 = row.try_get(8)?;
        Ok::<_, Fault>(SignalCursor {
            observed_at: row.try_get(6)?,
            arrival: arrival.unsigned_abs(),
        })
    };
    let next = page.last().filter(|_| has_more).map(place).transpose()?;
    Ok(SignalPage { signals, next })
}

async fn current(
    tx: &Tx,
    tenant: TenantId,
    filter: &SignalFilter,
    after: Option<&SignalSlot>,
    (n_rows, now): (u32, Timestamp),
) -> Result<CurrentPage, Fault> {
    let sql = if filter.is_of_one_subject() {
        CURRENT_OF_SUBJECT
    } else {
        CURRENT
    };
    let rows = tx
        .rows(
            sql,
            &[
                &tenant,
                &filter.subject_type.as_ref().map(SubjectType::as_str),
                &filter.subject_id.as_ref().map(SubjectId::as_str),
                &filter.source.as_ref().map(Source::as_str),
                &filter.key.as_ref().map(SignalKey::as_str),
                &filter.since.unwrap_or(Timestamp::MIN),
                &now,
                // No name is empty, so that this lies before all slots.
                &after.map_or("", |slot| slot.subject_type.as_str()),
                &after.map_or("", |slot| slot.subject_id.as_str()),
                &after.map_or("", |slot| slot.source.as_str()),
                &after.map_or("", |slot| slot.key.as_str()),
                &(i64::from(n_rows) + 1),
            ],
        )
        .await?;
    page_of_slots(&rows, n_rows)
}

/// The newest signal of each slot that one subject has, but for what had ended by then: of those
/// there may be any number.
async fn slots_of(
    tx: &Tx,
    tenant: TenantId,
    subject: &Subject,
    after: Option<&SignalSlot>,
    (n_slots, at): (u32, Timestamp),
) -> Result<CurrentPage, Fault> {
    let rows = tx
        .rows(
            SLOTS_OF_SUBJECT,
            &[
                &tenant,
                &subject.subject_type.as_str(),
                &subject.subject_id.as_str(),
                &after.map_or("", |slot| slot.source.as_str()),
                &after.map_or("", |slot| slot.key.as_str()),
                &(i64::from(n_slots) + 1),
                &at,
            ],
        )
        .await?;
    page_of_slots(&rows, n_slots)
}

/// Puts in the place of each signal what stood in its slot at a moment, if anything did.
async fn stand_at(
    tx: &Tx,
    tenant: TenantId,
    subject: &Subject,
    signals: &mut Vec<Signal>,
    at: Timestamp,
) -> Result<(), Fault> {
    let newer = signals.iter().filter(|latest| latest.observed_at() > at);
    let open: BTreeSet<_> = newer.map(SignalSlot::of).collect();
    signals.retain(|latest| latest.observed_at() <= at);
    if !open.is_empty() {
        let sources: BTreeSet<_> = open.iter().map(|slot| slot.source.as_str()).collect();
        let keys: BTreeSet<_> = open.iter().map(|slot| slot.key.as_str()).collect();
        let rows = tx
            .rows(
                STOOD_AT,
                &[
                    &tenant,
                    &subject.subject_type.as_str(),
                    &subject.subject_id.as_str(),
                    &horizon::of(tx, Table::Signals).await?,
                    &at,
                    &sources.into_iter().collect::<Vec<_>>(),
                    &keys.into_iter().collect::<Vec<_>>(),
                ],
            )
            .await?;
        let stood = rows.iter().map(signal_of).collect::<Result<Vec<_>, _>>()?;
        let is_open = |signal: &Signal| open.contains(&SignalSlot::of(signal));
        signals.extend(stood.into_iter().filter(is_open));
    }
    signals.retain(|signal| signal.is_live(at));
    signals.sort_by_cached_key(SignalSlot::of);
    Ok(())
}

/// Makes a page of signals in the order of their slots, of which one more than it holds was read.
fn page_of_slots(rows: &[Row], n_rows: u32) -> Result<CurrentPage, Fault> {
    let (page, has_more) = cut(rows, n_rows);
    let signals = page.iter().map(signal_of).collect::<Result<Vec<_>, _>>()?;
    let next = signals.last().filter(|_| has_more).map(SignalSlot::of);
    Ok(CurrentPage { signals, next })
}

/// Cuts what was read to a page, and tells whether there is more.
fn cut(rows: &[Row], n_rows: u32) -> (&[Row], bool) {
    let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
    let page = rows.get(..n_rows).unwrap_or(rows);
    (page, rows.len() > page.len())
}

/// Reads a signal from columns in the order of [`HISTORY`]; what breaks a rule is damaged.
fn signal_of(row: &Row) -> Result<Signal, Fault> {
    let draft = SignalDraft {
        source: row.try_get(0)?,
        subject_type: row.try_get(1)?,
        subject_id: row.try_get(2)?,
        key: row.try_get(3)?,
        value: row.try_get(4)?,
        severity: row.try_get(5)?,
        observed_at: row.try_get(6)?,
        ttl_seconds: row.try_get(7)?,
    };
    Signal::from_stored(&draft).map_err(|_| DAMAGED)
}

// A comparison of places leaves out no slice, a bound on the time alone does: hence both.

const HISTORY: &str = "SELECT source, subject_type, subject_id, signal_key, signal_value::text, \
    severity, observed_at, ttl_seconds, arrival FROM signal_streams WHERE tenant_id = $1 \
    AND ($2::text IS NULL OR subject_type = $2) AND ($3::text IS NULL OR subject_id = $3) \
    AND ($4::text IS NULL OR source = $4) AND ($5::text IS NULL OR signal_key = $5) \
    AND observed_at >= $6 AND observed_at <= $7 AND (observed_at, arrival) < ($7, $8) \
    ORDER BY observed_at DESC, arrival DESC LIMIT $9";

const HISTORY_OF_SUBJECT: &str = "SELECT source, subject_type, subject_id, signal_key, \
    signal_value::text, severity, observed_at, ttl_seconds, arrival FROM signal_streams \
    WHERE tenant_id = $1 AND subject_type = $2 AND subject_id = $3 \
    AND ($4::text IS NULL OR source = $4) AND ($5::text IS NULL OR signal_key = $5) \
    AND observed_at >= $6 AND observed_at <= $7 AND (observed_at, arrival) < ($7, $8) \
    ORDER BY observed_at DESC, arrival DESC LIMIT $9";

const CURRENT: &str = "SELECT source, subject_type, subject_id, signal_key, signal_value::text, \
    severity, observed_at, ttl_seconds FROM signal_current WHERE tenant_id = $1 \
    AND ($2::text IS NULL OR subject_type = $2) AND ($3::text IS NULL OR subject_id = $3) \
    AND ($4::text IS NULL OR source = $4) AND ($5::text IS NULL OR signal_key = $5) \
    AND observed_at >= $6 AND (expires_at IS NULL OR expires_at > $7) \
    AND (subject_type, subject_id, source, signal_key) > ($8, $9, $10, $11) \
    ORDER BY subject_type, subject_id, source, signal_key LIMIT $12";

const CURRENT_OF_SUBJECT: &str = "SELECT source, subject_type, subject_id, signal_key, \
    signal_value::text, severity, observed_at, ttl_seconds FROM signal_current \
    WHERE tenant_id = $1 AND subject_type = $2 AND subject_id = $3 \
    AND ($4::text IS NULL OR source = $4) AND ($5::text IS NULL OR signal_key = $5) \
    AND observed_at >= $6 AND (expires_at IS NULL OR expires_at > $7) \
    AND (subject_type, subject_id, source, signal_key) > ($8, $9, $10, $11) \
    ORDER BY subject_type, subject_id, source, signal_key LIMIT $12";

const SLOTS_OF_SUBJECT: &str = "SELECT source, subject_type, subject_id, signal_key, \
    signal_value::text, severity, observed_at, ttl_seconds FROM signal_current \
    WHERE tenant_id = $1 AND subject_type = $2 AND subject_id = $3 \
    AND (source, signal_key) > ($4, $5) \
    AND (observed_at > $7 OR expires_at IS NULL OR expires_at > $7) \
    ORDER BY source, signal_key LIMIT $6";

const STOOD_AT: &str = "SELECT DISTINCT ON (source, signal_key) source, subject_type, subject_id, \
    signal_key, signal_value::text, severity, observed_at, ttl_seconds FROM signal_streams \
    WHERE tenant_id = $1 AND subject_type = $2 AND subject_id = $3 \
    AND observed_at >= $4 AND observed_at <= $5 \
    AND source = ANY($6::text[]) AND signal_key = ANY($7::text[]) \
    ORDER BY source, signal_key, observed_at DESC, arrival DESC";
