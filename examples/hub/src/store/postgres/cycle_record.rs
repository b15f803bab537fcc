//! How cycles went, as PostgreSQL keeps it.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::json::ObjectText;
use monsys_core::limit;
use monsys_core::store::{CycleFault, CycleRecord};
use monsys_core::time::{Span, Timestamp};
use tokio_postgres::Row;

use super::column::{DAMAGED, Word};
use super::fault::Fault;
use super::transaction::Tx;

/// Keeps the record of a cycle in place of an earlier one of the same moment, and forgets what is
/// too old.
pub(super) async fn keep(tx: &Tx, tenant: TenantId, record: &CycleRecord) -> Result<(), Fault> {
    let sql = "DELETE FROM integrity_cycles WHERE tenant_id = $1 AND (at < $2 OR at = $3)";
    let since = record
        .at
        .saturating_sub(Span::from_secs(limit::CYCLES_KEPT_S));
    tx.execute(sql, &[&tenant, &since, &record.at]).await?;
    let sql = "INSERT INTO integrity_cycles (tenant_id, at, took_ms, n_agents, n_opened, \
               n_resolved, n_missed, n_failed_pages, faults) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::json)";
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    tx.execute(
        sql,
        &[
            &tenant,
            &record.at,
            &number(record.took_ms),
            &number(record.n_agents),
            &number(record.n_opened),
            &number(record.n_resolved),
            &number(record.n_missed),
            &number(record.n_failed_pages),
            &faults_text(&record.faults),
        ],
    )
    .await
    .map(drop)
}

/// Reads the newest records, newest first.
pub(super) async fn newest(
    tx: &Tx,
    tenant: TenantId,
    n_rows: u32,
) -> Result<Vec<CycleRecord>, Fault> {
    let sql = "SELECT c.at, c.took_ms, c.n_agents, c.n_opened, c.n_resolved, c.n_missed, \
               c.n_failed_pages, f.agents, f.kinds, f.messages FROM integrity_cycles c \
               CROSS JOIN LATERAL (SELECT \
               array_agg((e.fault->>'agent')::uuid ORDER BY e.place) AS agents, \
               array_agg(e.fault->>'kind' ORDER BY e.place) AS kinds, \
               array_agg(e.fault->>'message' ORDER BY e.place) AS messages \
               FROM json_array_elements(c.faults) WITH ORDINALITY AS e (fault, place)) f \
               WHERE c.tenant_id = $1 ORDER BY c.at DESC LIMIT $2";
    let rows = tx.rows(sql, &[&tenant, &i64::from(n_rows)]).await?;
    rows.iter().map(record_of).collect()
}

fn record_of(row: &Row) -> Result<CycleRecord, Fault> {
    let at: Timestamp = row.try_get(0)?;
    let number = |index| {
        let number: i64 = row.try_get(index)?;
        u64::try_from(number).map_err(|_| DAMAGED)
    };
    Ok(CycleRecord {
        at,
        took_ms: number(1)?,
        n_agents: number(2)?,
        n_opened: number(3)?,
        n_resolved: number(4)?,
        n_missed: number(5)?,
        n_failed_pages: number(6)?,
        faults: faults_of(row)?,
    })
}

fn faults_of(row: &Row) -> Result<Vec<CycleFault>, Fault> {
    // The aggregate of no rows is NULL.
    let agents: Option<Vec<AgentId>> = row.try_get(7)?;
    let kinds: Option<Vec<Option<&str>>> = row.try_get(8)?;
    let messages: Option<Vec<String>> = row.try_get(9)?;
    let columns = agents.into_iter().flatten();
    let columns = columns.zip(kinds.into_iter().flatten());
    let fault = |((agent, kind), message): ((AgentId, Option<&str>), String)| {
        let kind = kind.map(|word| Word::from_word(word).ok_or(DAMAGED));
        Ok(CycleFault {
            agent,
            kind: kind.transpose()?,
            message,
        })
    };
    columns
        .zip(messages.into_iter().flatten())
        .map(fault)
        .collect()
}

/// Writes the faults as a JSON array of objects.
fn faults_text(faults: &[CycleFault]) -> String {
    let objects = faults.iter().map(|fault| {
        let object = ObjectText::new().text("agent", &fault.agent.to_string());
        let object = match fault.kind {
            Some(kind) => object.text("kind", kind.as_str()),
            None => object.null("kind"),
        };
        object.text("message", &fault.message).finish()
    });
    let objects: Vec<String> = objects.collect();
    format!("[{}]", objects.join(","))
}
