//! How the cycles went.

use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::json::{Cursor, ObjectText, Scratch, canonicalize};
use monsys_core::limit;
use monsys_core::store::{CycleFault, CycleRecord, StoreError};
use monsys_core::time::Span;
use rusqlite::{Connection, Row, params};

use super::column::{OrStoreError, rows, text};

/// Keeps how a cycle went, and forgets what is older than 14 days.
pub(super) fn put_record(
    connection: &Connection,
    tenant: TenantId,
    record: &CycleRecord,
) -> Result<(), StoreError> {
    let kept_since = record
        .at
        .saturating_sub(Span::from_secs(limit::CYCLES_KEPT_S));
    let sql = "DELETE FROM integrity_cycles WHERE tenant_id = ?1 AND (at < ?2 OR at = ?3)";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let (tenant, at) = (tenant.to_string(), record.at.to_rfc3339());
    let forgotten = statement.execute(params![tenant, kept_since.to_rfc3339(), at]);
    forgotten.or_store_error()?;
    let sql = "INSERT INTO integrity_cycles (tenant_id, at, took_ms, n_agents, n_opened, \
               n_resolved, n_missed, n_failed_pages, faults) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let inserted = statement.execute(params![
        tenant,
        at,
        figure(record.took_ms),
        figure(record.n_agents),
        figure(record.n_opened),
        figure(record.n_resolved),
        figure(record.n_missed),
        figure(record.n_failed_pages),
        faults_text(&record.faults),
    ]);
    inserted.or_store_error().map(drop)
}

/// Reads how the newest cycles went, newest first.
pub(super) fn records(
    connection: &Connection,
    tenant: TenantId,
    n_rows: u32,
) -> Result<Vec<CycleRecord>, StoreError> {
    let sql = "SELECT at, took_ms, n_agents, n_opened, n_resolved, n_missed, n_failed_pages, \
               faults FROM integrity_cycles WHERE tenant_id = ?1 ORDER BY at DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    rows(&mut statement, params![tenant.to_string(), n_rows], |row| {
        let faults: String = text(row, 7)?;
        Ok(CycleRecord {
            at: text(row, 0)?,
            took_ms: stored_figure(row, 1)?,
            n_agents: stored_figure(row, 2)?,
            n_opened: stored_figure(row, 3)?,
            n_resolved: stored_figure(row, 4)?,
            n_missed: stored_figure(row, 5)?,
            n_failed_pages: stored_figure(row, 6)?,
            faults: faults_of(&faults).ok_or(StoreError::Damaged)?,
        })
    })
}

fn figure(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn stored_figure(row: &Row<'_>, index: usize) -> Result<u64, StoreError> {
    let n: i64 = row.get(index).or_store_error()?;
    Ok(n.unsigned_abs())
}

fn faults_text(faults: &[CycleFault]) -> String {
    let object = |fault: &CycleFault| {
        let object = ObjectText::new().text("agent", &fault.agent.to_string());
        let object = match fault.kind {
            Some(kind) => object.text("kind", kind.as_str()),
            None => object.null("kind"),
        };
        object.text("message", &fault.message).finish()
    };
    let objects: Vec<_> = faults.iter().map(object).collect();
    format!("[{}]", objects.join(", "))
}

fn faults_of(text: &str) -> Option<Vec<CycleFault>> {
    let mut scratch = Scratch::new();
    let canonical = canonicalize(text.as_bytes(), &mut scratch).ok()?;
    let mut cursor = Cursor::new(canonical);
    let mut faults = Vec::new();
    if !cursor.enter_array() {
        return None;
    }
    while cursor.next_element() {
        faults.push(fault_of(&mut cursor)?);
    }
    Some(faults)
}

fn fault_of(cursor: &mut Cursor<'_>) -> Option<CycleFault> {
    let agent = (cursor.enter_object() && cursor.next_is("agent")).then(|| cursor.text())??;
    let kind = match cursor.next_is("kind").then(|| cursor.text())? {
        Some(word) => Some(AnomalyKind::parse(&word).ok()?),
        None if cursor.null() => None,
        None => return None,
    };
    let message = cursor.next_is("message").then(|| cursor.text())??;
    let fault = CycleFault {
        agent: AgentId::parse(&agent).ok()?,
        kind,
        message: message.into_owned(),
    };
    cursor.next_name().is_none().then_some(fault)
}
