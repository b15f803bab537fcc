//! Signals in SQLite: the history, and the latest of each slot beside it.

use std::collections::BTreeSet;

use monsys_core::id::TenantId;
use monsys_core::name::{SignalKey, Source, SubjectId, SubjectType};
use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::store::{
    CurrentPage, SignalCursor, SignalFilter, SignalPage, SignalSlot, SignalStore, StoreError,
    StoreFuture, Subject,
};
use monsys_core::time::Timestamp;
use rusqlite::{Connection, Row, named_params, params};

use super::SqliteStore;
use super::column::{OrStoreError, optional, rows, text};

impl SignalStore for SqliteStore {
    fn emit(&self, tenant: TenantId, signals: Vec<Signal>) -> StoreFuture<'_, ()> {
        self.write(move |connection| {
            let put = |signal| put_signal(connection, tenant, signal);
            signals.iter().try_for_each(put)
        })
    }

    fn signals<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<SignalCursor>,
        n_rows: u32,
    ) -> StoreFuture<'a, SignalPage> {
        let filter = filter.clone();
        self.read(move |connection| history(connection, tenant, &filter, after, n_rows))
    }

    fn current<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<&'a SignalSlot>,
        n_rows: u32,
        now: Timestamp,
    ) -> StoreFuture<'a, CurrentPage> {
        let (filter, after) = (filter.clone(), after.cloned());
        self.read(move |connection| {
            current(connection, tenant, &filter, after.as_ref(), (n_rows, now))
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
        let (subject, after) = (subject.clone(), after.cloned());
        self.read(move |connection| {
            let mut page = slots_of(connection, tenant, &subject, after.as_ref(), (n_slots, at))?;
            stand_at(connection, tenant, &subject, &mut page.signals, at)?;
            Ok(page)
        })
    }
}

/// Writes one signal: appends it to the history, and lets it take its slot unless a later one has
/// it. Every writer comes through here.
pub(super) fn put_signal(
    connection: &Connection,
    tenant: TenantId,
    signal: &Signal,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO signal_streams (tenant_id, source, subject_type, subject_id, \
               signal_key, signal_value, severity, observed_at, ttl_seconds) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let tenant = tenant.to_string();
    let severity = signal.severity().map(|severity| severity.as_str());
    let observed_at = signal.observed_at().to_rfc3339();
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let inserted = statement.execute(params![
        tenant,
        signal.source().as_str(),
        signal.subject_type().as_str(),
        signal.subject_id().as_str(),
        signal.key().as_str(),
        signal.value(),
        severity,
        observed_at,
        signal.ttl_seconds(),
    ]);
    inserted.or_store_error()?;
    let sql = "INSERT INTO signal_current (tenant_id, source, subject_type, subject_id, \
               signal_key, signal_value, severity, observed_at, ttl_seconds, expires_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO UPDATE SET \
               signal_value = ?6, severity = ?7, observed_at = ?8, ttl_seconds = ?9, \
               expires_at = ?10 WHERE tenant_id = ?1 AND observed_at <= ?8";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let taken = statement.execute(params![
        tenant,
        signal.source().as_str(),
        signal.subject_type().as_str(),
        signal.subject_id().as_str(),
        signal.key().as_str(),
        signal.value(),
        severity,
        observed_at,
        signal.ttl_seconds(),
        signal.expires_at().map(Timestamp::to_rfc3339),
    ]);
    taken.or_store_error().map(drop)
}

fn history(
    connection: &Connection,
    tenant: TenantId,
    filter: &SignalFilter,
    after: Option<SignalCursor>,
    n_rows: u32,
) -> Result<SignalPage, StoreError> {
    // Two statements, because a parameter that may be NULL keeps SQLite from using an index.
    let sql = if filter.is_of_one_subject() {
        HISTORY_OF_SUBJECT
    } else {
        HISTORY
    };
    let (before_at, before_id) = after.map_or((Timestamp::MAX, i64::MAX), |after| {
        let arrival = i64::try_from(after.arrival).unwrap_or(i64::MAX);
        (after.observed_at, arrival)
    });
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":subject_type": filter.subject_type.as_ref().map(SubjectType::as_str),
        ":subject_id": filter.subject_id.as_ref().map(SubjectId::as_str),
        ":source": filter.source.as_ref().map(Source::as_str),
        ":key": filter.key.as_ref().map(SignalKey::as_str),
        ":since": filter.since.unwrap_or(Timestamp::MIN).to_rfc3339(),
        ":before_at": before_at.to_rfc3339(),
        ":before_id": before_id,
        ":limit": i64::from(n_rows) + 1,
    };
    let mut found = rows(&mut statement, parameters, |row| {
        let id: i64 = row.get(8).or_store_error()?;
        Ok((signal_of(row)?, id.unsigned_abs()))
    })?;
    let has_more = cut(&mut found, n_rows);
    let last = found.last().filter(|_| has_more);
    Ok(SignalPage {
        next: last.map(|(signal, arrival)| SignalCursor {
            observed_at: signal.observed_at(),
            arrival: *arrival,
        }),
        signals: found.into_iter().map(|(signal, _)| signal).collect(),
    })
}

fn current(
    connection: &Connection,
    tenant: TenantId,
    filter: &SignalFilter,
    after: Option<&SignalSlot>,
    (n_rows, now): (u32, Timestamp),
) -> Result<CurrentPage, StoreError> {
    let sql = if filter.is_of_one_subject() {
        CURRENT_OF_SUBJECT
    } else {
        CURRENT
    };
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":subject_type": filter.subject_type.as_ref().map(SubjectType::as_str),
        ":subject_id": filter.subject_id.as_ref().map(SubjectId::as_str),
        ":source": filter.source.as_ref().map(Source::as_str),
        ":key": filter.key.as_ref().map(SignalKey::as_str),
        ":since": filter.since.unwrap_or(Timestamp::MIN).to_rfc3339(),
        ":now": now.to_rfc3339(),
        // No name is empty, so that this lies before all slots.
        ":after_type": after.map_or("", |slot| slot.subject_type.as_str()),
        ":after_id": after.map_or("", |slot| slot.subject_id.as_str()),
        ":after_source": after.map_or("", |slot| slot.source.as_str()),
        ":after_key": after.map_or("", |slot| slot.key.as_str()),
        ":limit": i64::from(n_rows) + 1,
    };
    let signals = rows(&mut statement, parameters, signal_of)?;
    Ok(page_of_slots(signals, n_rows))
}

/// The newest signal of each slot that one subject has, but for what had ended by then: of those
/// there may be any number.
fn slots_of(
    connection: &Connection,
    tenant: TenantId,
    subject: &Subject,
    after: Option<&SignalSlot>,
    (n_slots, at): (u32, Timestamp),
) -> Result<CurrentPage, StoreError> {
    let mut statement = connection
        .prepare_cached(SLOTS_OF_SUBJECT)
        .or_store_error()?;
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":subject_type": subject.subject_type.as_str(),
        ":subject_id": subject.subject_id.as_str(),
        ":after_source": after.map_or("", |slot| slot.source.as_str()),
        ":after_key": after.map_or("", |slot| slot.key.as_str()),
        ":limit": i64::from(n_slots) + 1,
        ":at": at.to_rfc3339(),
    };
    let signals = rows(&mut statement, parameters, signal_of)?;
    Ok(page_of_slots(signals, n_slots))
}

/// Puts in the place of each signal what stood in its slot at a moment, if anything did. Walks
/// back through what was said of the subject, no further than it must.
fn stand_at(
    connection: &Connection,
    tenant: TenantId,
    subject: &Subject,
    signals: &mut Vec<Signal>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let newer = signals.iter().filter(|latest| latest.observed_at() > at);
    let mut open: BTreeSet<_> = newer.map(SignalSlot::of).collect();
    signals.retain(|latest| latest.observed_at() <= at);
    let mut statement = connection.prepare_cached(SAID_UNTIL).or_store_error()?;
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":subject_type": subject.subject_type.as_str(),
        ":subject_id": subject.subject_id.as_str(),
        ":at": at.to_rfc3339(),
    };
    let mut said = statement.query(parameters).or_store_error()?;
    while !open.is_empty() {
        let Some(row) = said.next().or_store_error()? else {
            break;
        };
        let signal = signal_of(row)?;
        if open.remove(&SignalSlot::of(&signal)) {
            signals.push(signal);
        }
    }
    signals.retain(|signal| signal.is_live(at));
    signals.sort_by_cached_key(SignalSlot::of);
    Ok(())
}

/// Makes a page of signals in the order of their slots, of which one more than it holds was read.
fn page_of_slots(mut signals: Vec<Signal>, n_rows: u32) -> CurrentPage {
    let has_more = cut(&mut signals, n_rows);
    CurrentPage {
        next: signals.last().filter(|_| has_more).map(SignalSlot::of),
        signals,
    }
}

/// Cuts what was read to a page, and tells whether there is more.
fn cut<T>(found: &mut Vec<T>, n_rows: u32) -> bool {
    let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
    let has_more = found.len() > n_rows;
    found.truncate(n_rows);
    has_more
}

/// Reads a signal from columns in the order of [`HISTORY`]; what breaks a rule is damaged.
fn signal_of(row: &Row<'_>) -> Result<Signal, StoreError> {
    let draft = SignalDraft {
        source: text(row, 0)?,
        subject_type: text(row, 1)?,
        subject_id: text(row, 2)?,
        key: text(row, 3)?,
        value: text(row, 4)?,
        severity: optional(row, 5)?,
        observed_at: text(row, 6)?,
        ttl_seconds: row.get(7).or_store_error()?,
    };
    Signal::from_stored(&draft).map_err(|_| StoreError::Damaged)
}

const HISTORY: &str = "SELECT source, subject_type, subject_id, signal_key, signal_value, \
    severity, observed_at, ttl_seconds, id FROM signal_streams WHERE tenant_id = :tenant \
    AND (:subject_type IS NULL OR subject_type = :subject_type) \
    AND (:subject_id IS NULL OR subject_id = :subject_id) \
    AND (:source IS NULL OR source = :source) AND (:key IS NULL OR signal_key = :key) \
    AND observed_at >= :since AND (observed_at, id) < (:before_at, :before_id) \
    ORDER BY observed_at DESC, id DESC LIMIT :limit";

const HISTORY_OF_SUBJECT: &str = "SELECT source, subject_type, subject_id, signal_key, \
    signal_value, severity, observed_at, ttl_seconds, id FROM signal_streams \
    WHERE tenant_id = :tenant AND subject_type = :subject_type AND subject_id = :subject_id \
    AND (:source IS NULL OR source = :source) AND (:key IS NULL OR signal_key = :key) \
    AND observed_at >= :since AND (observed_at, id) < (:before_at, :before_id) \
    ORDER BY observed_at DESC, id DESC LIMIT :limit";

const CURRENT: &str = "SELECT source, subject_type, subject_id, signal_key, signal_value, \
    severity, observed_at, ttl_seconds FROM signal_current WHERE tenant_id = :tenant \
    AND (:subject_type IS NULL OR subject_type = :subject_type) \
    AND (:subject_id IS NULL OR subject_id = :subject_id) \
    AND (:source IS NULL OR source = :source) AND (:key IS NULL OR signal_key = :key) \
    AND observed_at >= :since AND (expires_at IS NULL OR expires_at > :now) \
    AND (subject_type, subject_id, source, signal_key) \
        > (:after_type, :after_id, :after_source, :after_key) \
    ORDER BY subject_type, subject_id, source, signal_key LIMIT :limit";

/// The plus keeps the comparison of places from hiding that one subject is a range of the key.
const CURRENT_OF_SUBJECT: &str = "SELECT source, subject_type, subject_id, signal_key, \
    signal_value, severity, observed_at, ttl_seconds FROM signal_current \
    WHERE tenant_id = :tenant AND subject_type = :subject_type AND subject_id = :subject_id \
    AND (:source IS NULL OR source = :source) AND (:key IS NULL OR signal_key = :key) \
    AND observed_at >= :since AND (expires_at IS NULL OR expires_at > :now) \
    AND (+subject_type, subject_id, source, signal_key) \
        > (:after_type, :after_id, :after_source, :after_key) \
    ORDER BY subject_type, subject_id, source, signal_key LIMIT :limit";

const SLOTS_OF_SUBJECT: &str = "SELECT source, subject_type, subject_id, signal_key, \
    signal_value, severity, observed_at, ttl_seconds FROM signal_current \
    WHERE tenant_id = :tenant AND subject_type = :subject_type AND subject_id = :subject_id \
    AND (source, signal_key) > (:after_source, :after_key) \
    AND (observed_at > :at OR expires_at IS NULL OR expires_at > :at) \
    ORDER BY source, signal_key LIMIT :limit";

/// Without an end: whoever reads it stops when they have seen enough.
const SAID_UNTIL: &str = "SELECT source, subject_type, subject_id, signal_key, \
    signal_value, severity, observed_at, ttl_seconds FROM signal_streams \
    WHERE tenant_id = :tenant AND subject_type = :subject_type AND subject_id = :subject_id \
    AND observed_at <= :at ORDER BY observed_at DESC, id DESC";
