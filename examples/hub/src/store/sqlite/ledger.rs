//! The ledger in SQLite: entries written in the transaction of what they tell, and read again.
//!
//! The one writer thread serialises the writers of a chain; triggers refuse an entry that does not
//! follow the head, and move the head with each entry.

use monsys_core::id::{AnomalyId, TenantId, UserId};
use monsys_core::ledger::{Digest32, EventDraft, EventKind, LedgerEntry, LedgerHead};
use monsys_core::store::StoreError;
use rusqlite::{Connection, Row, params};

use super::column::{OrStoreError, TextColumn, bytes32, first, rows, text};

impl TextColumn for EventKind {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// Writes down what happened, behind the head of the tenant's chain.
pub(super) fn append(
    connection: &Connection,
    tenant: TenantId,
    event: EventDraft,
) -> Result<(), StoreError> {
    let entry = LedgerEntry::after(head(connection, tenant)?, tenant, event);
    let sql = "INSERT INTO integrity_events (tenant_id, seq, anomaly_id, kind, actor, at, data, \
               prev_hash, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let inserted = statement.execute(params![
        tenant.to_string(),
        number(entry.seq),
        entry.event.anomaly.to_string(),
        entry.event.kind.as_str(),
        entry.event.actor.to_string(),
        entry.event.at.to_rfc3339(),
        entry.event.data,
        entry.prev.to_bytes().as_slice(),
        entry.hash.to_bytes().as_slice(),
    ]);
    inserted.or_store_error().map(drop)
}

/// Reads where the chain of a tenant ends.
pub(super) fn head(connection: &Connection, tenant: TenantId) -> Result<LedgerHead, StoreError> {
    let sql = "SELECT seq, hash FROM ledger_heads WHERE tenant_id = ?1";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let found = first(&mut statement, [tenant.to_string()], |row| {
        let seq: i64 = row.get(0).or_store_error()?;
        Ok(LedgerHead {
            seq: seq.unsigned_abs(),
            hash: digest(row, 1)?,
        })
    })?;
    Ok(found.unwrap_or(LedgerHead::EMPTY))
}

/// Reads entries after a number, of one anomaly or of all.
pub(super) fn entries(
    connection: &Connection,
    tenant: TenantId,
    anomaly: Option<AnomalyId>,
    after: u64,
    n_rows: u32,
) -> Result<Vec<LedgerEntry>, StoreError> {
    let sql = match anomaly {
        None => {
            "SELECT seq, anomaly_id, kind, actor, at, data, prev_hash, hash FROM integrity_events \
             WHERE tenant_id = ?1 AND ?2 IS NULL AND seq > ?3 ORDER BY seq LIMIT ?4"
        }
        Some(_) => {
            "SELECT seq, anomaly_id, kind, actor, at, data, prev_hash, hash FROM integrity_events \
             WHERE tenant_id = ?1 AND anomaly_id = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4"
        }
    };
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let anomaly = anomaly.map(|anomaly| anomaly.to_string());
    let parameters = params![tenant.to_string(), anomaly, number(after), n_rows];
    rows(&mut statement, parameters, |row| entry(row, tenant))
}

fn entry(row: &Row<'_>, tenant: TenantId) -> Result<LedgerEntry, StoreError> {
    let seq: i64 = row.get(0).or_store_error()?;
    Ok(LedgerEntry {
        tenant,
        seq: seq.unsigned_abs(),
        event: EventDraft {
            anomaly: text(row, 1)?,
            kind: text(row, 2)?,
            actor: text(row, 3)?,
            at: text(row, 4)?,
            data: text(row, 5)?,
        },
        prev: digest(row, 6)?,
        hash: digest(row, 7)?,
    })
}

/// Finds the user that does what the hub does by itself.
pub(super) fn service_user(
    connection: &Connection,
    tenant: TenantId,
) -> Result<UserId, StoreError> {
    let sql = "SELECT id FROM users WHERE tenant_id = ?1 AND role = 'service' LIMIT 1";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let found = first(&mut statement, [tenant.to_string()], |row| text(row, 0))?;
    found.ok_or(StoreError::NotFound)
}

fn digest(row: &Row<'_>, index: usize) -> Result<Digest32, StoreError> {
    let bytes = bytes32(row, index)?.ok_or(StoreError::Damaged)?;
    Ok(Digest32::from_bytes(bytes))
}

/// What no column can hold is behind every entry.
fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
