//! The ledger in PostgreSQL: its end is locked first, its entries are written last.
//!
//! The row of the head is what writers of one tenant wait for, before they lock anomalies and after
//! they lock agents: in that order no two of them wait for each other.

use monsys_core::id::{AnomalyId, TenantId, UserId};
use monsys_core::ledger::{Digest32, EventDraft, LedgerEntry, LedgerHead};
use monsys_core::store::StoreError;
use tokio_postgres::Row;

use super::column::{DAMAGED, bytes32, word};
use super::fault::Fault;
use super::row_values::{Form, RowValues, value};
use super::transaction::Tx;

/// The end of the ledger of one tenant, held until the transaction ends, and what follows it.
pub(super) struct Ledger {
    tenant: TenantId,
    head: LedgerHead,
    /// Who did what the hub does by itself.
    pub(super) service: UserId,
    entries: Vec<LedgerEntry>,
}

impl Ledger {
    /// Waits for whoever else writes, and then has the end to itself.
    pub(super) async fn lock(tx: &Tx, tenant: TenantId) -> Result<Self, Fault> {
        let sql = "SELECT h.seq, h.hash, u.id FROM ledger_heads h \
                   JOIN users u ON u.tenant_id = h.tenant_id AND u.role = 'service' \
                   WHERE h.tenant_id = $1 FOR NO KEY UPDATE OF h";
        let found = tx.first(sql, &[&tenant]).await?;
        let row = found.ok_or(StoreError::NotFound)?;
        Ok(Self {
            tenant,
            head: head_of(&row)?,
            service: row.try_get(2)?,
            entries: Vec::new(),
        })
    }

    /// Takes an entry; it is stored by [`Ledger::write`].
    pub(super) fn add(&mut self, event: EventDraft) {
        let entry = LedgerEntry::after(self.head, self.tenant, event);
        self.head = entry.head();
        self.entries.push(entry);
    }

    /// Stores what was taken; the database moves the head, and refuses what does not follow it.
    pub(super) async fn write(self, tx: &Tx) -> Result<(), Fault> {
        let mut values = Vec::with_capacity(self.entries.len() * ENTRY_TYPES.len());
        for entry in self.entries {
            let event = entry.event;
            values.extend([
                value(entry.tenant),
                value(i64::try_from(entry.seq).map_err(|_| DAMAGED)?),
                value(event.anomaly),
                value(event.kind.as_str()),
                value(event.actor),
                value(event.at),
                value(event.data),
                value(entry.prev.to_bytes().to_vec()),
                value(entry.hash.to_bytes().to_vec()),
            ]);
        }
        let form = &ENTRIES;
        tx.write(&[RowValues { form, values }]).await
    }
}

/// Reads entries in order.
pub(super) async fn entries(
    tx: &Tx,
    tenant: TenantId,
    anomaly: Option<AnomalyId>,
    after: u64,
    n_rows: u32,
) -> Result<Vec<LedgerEntry>, Fault> {
    // After the last number that can be, there is nothing.
    let Ok(after) = i64::try_from(after) else {
        return Ok(Vec::new());
    };
    let n_rows = i64::from(n_rows);
    // One statement each: with a parameter that may be NULL no index of both would be used.
    let rows = match anomaly {
        None => {
            let sql = "SELECT seq, anomaly_id, kind, actor, at, data::text, prev_hash, hash \
                       FROM integrity_events WHERE tenant_id = $1 AND seq > $2 \
                       ORDER BY seq LIMIT $3";
            tx.rows(sql, &[&tenant, &after, &n_rows]).await?
        }
        Some(anomaly) => {
            let sql = "SELECT seq, anomaly_id, kind, actor, at, data::text, prev_hash, hash \
                       FROM integrity_events WHERE tenant_id = $1 AND anomaly_id = $4 \
                       AND seq > $2 ORDER BY seq LIMIT $3";
            tx.rows(sql, &[&tenant, &after, &n_rows, &anomaly]).await?
        }
    };
    rows.iter().map(|row| entry_of(row, tenant)).collect()
}

/// Reads where the ledger ends.
pub(super) async fn head(tx: &Tx, tenant: TenantId) -> Result<LedgerHead, Fault> {
    let sql = "SELECT seq, hash FROM ledger_heads WHERE tenant_id = $1";
    let found = tx.first(sql, &[&tenant]).await?;
    found.as_ref().map_or(Ok(LedgerHead::EMPTY), head_of)
}

fn head_of(row: &Row) -> Result<LedgerHead, Fault> {
    let seq: i64 = row.try_get(0)?;
    Ok(LedgerHead {
        seq: u64::try_from(seq).map_err(|_| DAMAGED)?,
        hash: digest(row, 1)?,
    })
}

fn entry_of(row: &Row, tenant: TenantId) -> Result<LedgerEntry, Fault> {
    let seq: i64 = row.try_get(0)?;
    Ok(LedgerEntry {
        tenant,
        seq: u64::try_from(seq).map_err(|_| DAMAGED)?,
        event: EventDraft {
            anomaly: row.try_get(1)?,
            kind: word(row, 2)?,
            actor: row.try_get(3)?,
            at: row.try_get(4)?,
            data: row.try_get(5)?,
        },
        prev: digest(row, 6)?,
        hash: digest(row, 7)?,
    })
}

fn digest(row: &Row, index: usize) -> Result<Digest32, Fault> {
    let bytes = bytes32(row, index)?.ok_or(DAMAGED)?;
    Ok(Digest32::from_bytes(bytes))
}

const ENTRY_TYPES: &[&str] = &[
    "uuid",
    "bigint",
    "uuid",
    "text",
    "uuid",
    "timestamptz",
    "text::json",
    "bytea",
    "bytea",
];

static ENTRIES: Form = Form::new(
    "INSERT INTO integrity_events (tenant_id, seq, anomaly_id, kind, actor, at, data, prev_hash, \
     hash)",
    ENTRY_TYPES,
    "",
);
