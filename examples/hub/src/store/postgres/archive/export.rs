//! Writing a store as lines, as it is at one moment.

use std::io::Write;

use monsys_core::json::{ObjectText, Scratch};
use monsys_core::time::Timestamp;
use tokio_postgres::{Client, Row};

use super::super::place::PostgresPlace;
use super::super::{OpenError, PostgresStore, horizon, owner, partition};
use super::cell;
use crate::store::archive::{
    ArchiveError, Cell, Counts, Kind, TABLES, Table, canonical, write_counts, write_head, write_row,
};

impl PostgresStore {
    /// Writes all rows as they are at one moment, while hubs go on.
    ///
    /// Cost: a batch of [`BATCH_ROWS`] rows in memory, and one old snapshot in the database for as
    /// long as it takes.
    pub(crate) async fn export(
        place: &PostgresPlace,
        out: &mut impl Write,
    ) -> Result<Counts, ArchiveError> {
        Self::require_newest(place).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let client = owner::begin(place, begin).await?;
        require_sight(&client).await?;
        write_head(out)?;
        let mut counts = Counts::new();
        for table in TABLES {
            counts.insert(table.name, rows(&client, table, out).await?);
        }
        write_counts(out, &counts)?;
        client.batch_execute("COMMIT").await?;
        Ok(counts)
    }
}

/// Refuses tables that do not let their owner read: the fence would not say so, but show no rows,
/// and the export of a full store would be an empty one.
async fn require_sight(client: &Client) -> Result<(), OpenError> {
    let fenced: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let row = client.query_one(UNSEEN, &[&fenced]).await?;
    if row.try_get::<_, i64>(0)? == 0 {
        return Ok(());
    }
    Err(OpenError::Unfit(
        "tables with the policy of_owner, by which their owner reads all rows: this schema was \
         made by an older program",
    ))
}

/// Counts the tables that hide rows from their owner.
const UNSEEN: &str = "SELECT count(*) FROM pg_class c WHERE c.relname = ANY ($1::text[]) \
    AND c.relnamespace = 'public'::regnamespace AND c.relforcerowsecurity \
    AND NOT EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = 'public' \
    AND p.tablename = c.relname AND 'monsys_owner' = ANY (p.roles) \
    AND p.cmd IN ('SELECT', 'ALL') AND p.qual = 'true')";

/// Writes the rows of a table and tells how many.
async fn rows(client: &Client, table: &Table, out: &mut impl Write) -> Result<u64, ArchiveError> {
    let selection = selection(client, table).await?;
    let declare = format!("DECLARE exported NO SCROLL CURSOR FOR {selection}");
    client.batch_execute(&declare).await?;
    let fetch = format!("FETCH {BATCH_ROWS} FROM exported");
    let fetch = client.prepare(&fetch).await?;
    let mut scratch = Scratch::new();
    let mut n_rows = 0;
    loop {
        let batch = client.query(&fetch, &[]).await?;
        for row in &batch {
            let line = line_of(table, row, &mut scratch);
            write_row(
                out,
                table,
                line.ok_or(ArchiveError::DamagedRow(table.name))?,
            )?;
            n_rows += 1;
        }
        if batch.is_empty() {
            break;
        }
    }
    client.batch_execute("CLOSE exported").await?;
    Ok(n_rows)
}

/// The rows of a table that are in the store for its hubs: what a sweep has forgotten, and waits
/// only for its slice to be dropped, is not.
async fn selection(client: &Client, table: &Table) -> Result<String, ArchiveError> {
    let columns = table.columns.iter();
    let columns: Vec<String> = columns
        .map(|(name, kind)| cell::selected(name, *kind))
        .collect();
    let (columns, name, order) = (columns.join(", "), table.name, table.order);
    let kept = match table.log_time {
        Some(time) => format!(
            "{time} >= '{}'",
            kept_since(client, name).await?.to_rfc3339()
        ),
        None => "true".to_owned(),
    };
    Ok(match name {
        "meta" => format!(
            "SELECT {columns} FROM {name} WHERE {} ORDER BY {order}",
            horizon::IS_OTHER
        ),
        // A nonce that was used again after its time stands here twice; the last use counts.
        "ingest_nonces" => {
            let last = "tenant_id, agent_id, nonce, max(used_at) AS used_at";
            format!(
                "SELECT {last} FROM {name} WHERE {kept} \
                 GROUP BY tenant_id, agent_id, nonce ORDER BY {order}"
            )
        }
        "signal_streams" => {
            format!("SELECT {columns} FROM {name} WHERE {kept} ORDER BY {order}, arrival")
        }
        _ => format!("SELECT {columns} FROM {name} WHERE {kept} ORDER BY {order}"),
    })
}

async fn kept_since(client: &Client, table: &str) -> Result<Timestamp, ArchiveError> {
    let log = partition::Table::named(table);
    let log = log.ok_or(ArchiveError::DamagedRow("meta"))?;
    let noted = client
        .query_opt(horizon::OF, &[&horizon::name(log)])
        .await?;
    let Some(row) = noted else {
        return Ok(Timestamp::MIN);
    };
    let parsed = Timestamp::parse_rfc3339(row.get(0));
    parsed.map_err(|_| ArchiveError::DamagedRow("meta"))
}

/// The line of a row; `None` when it is not what a hub writes.
fn line_of(table: &Table, row: &Row, scratch: &mut Scratch) -> Option<ObjectText> {
    let mut line = ObjectText::new();
    for (index, (column, kind)) in table.columns.iter().enumerate() {
        let mut cell: Cell = row.try_get(index).ok()?;
        if let (Kind::Value, Cell::Text(text)) = (kind, &mut cell) {
            // jsonb sorts members in a way of its own.
            *text = canonical(text, scratch)?;
        }
        line = cell.write(column, line);
    }
    Some(line)
}

/// Rows of one batch: a snapshot may have half a megabyte.
const BATCH_ROWS: u32 = 128;
