//! Reading lines into an empty store, all or nothing.

use std::io::BufRead;

use monsys_core::time::Timestamp;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use super::super::place::PostgresPlace;
use super::super::{PostgresStore, owner, partition};
use super::cell;
use crate::store::archive::{
    ArchiveError, Cell, Counts, Line, Lines, Place, TABLES, Table, compare,
};

impl PostgresStore {
    /// Reads an export into an empty database, or one that was only migrated, in one transaction,
    /// and compares the counts. Time slices are made as rows need them, at most [`SLICES_MAX`].
    ///
    /// Cost: a line and a few kilobytes in memory.
    pub(crate) async fn import(
        place: &PostgresPlace,
        lines: impl BufRead,
        now: Timestamp,
    ) -> Result<Counts, ArchiveError> {
        if Self::is_empty(place).await? {
            Self::migrate(place, now).await?;
        }
        Self::require_newest(place).await?;
        let client = owner::begin(place, "BEGIN").await?;
        // An anomaly may stand before the one it follows.
        client.batch_execute("SET CONSTRAINTS ALL DEFERRED").await?;
        set_fence(&client, "NO FORCE").await?;
        if counts(&client).await?.values().any(|n_rows| *n_rows > 0) {
            return Err(ArchiveError::NotEmpty);
        }
        let mut import = Import {
            client: &client,
            lines: Lines::start(lines)?,
            slices: Vec::new(),
            n_slices_made: 0,
            arrival: 0,
            audit_id: 0,
        };
        let counted = import.copy_all().await?;
        import.set_sequences().await?;
        let found = compare(counts(&client).await?, &counted, import.lines.number())?;
        // What waits for the end is looked at now: no table is altered while it waits.
        client
            .batch_execute("SET CONSTRAINTS ALL IMMEDIATE")
            .await?;
        set_fence(&client, "FORCE").await?;
        client.batch_execute("COMMIT").await?;
        Ok(found)
    }
}

/// Says of all tables of an export whether their owner is under their policies. Locks them; a hub
/// that works on the database is told to wait, or the import is.
async fn set_fence(client: &Client, force: &str) -> Result<(), ArchiveError> {
    for table in TABLES.iter().filter(|table| table.name != "meta") {
        let sql = format!("ALTER TABLE {} {force} ROW LEVEL SECURITY", table.name);
        client.batch_execute(&sql).await?;
    }
    Ok(())
}

async fn counts(client: &Client) -> Result<Counts, ArchiveError> {
    let mut counts = Counts::new();
    for table in TABLES {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let count: i64 = client.query_one(&sql, &[]).await?.get(0);
        counts.insert(table.name, count.unsigned_abs());
    }
    Ok(counts)
}

struct Import<'c, R> {
    client: &'c Client,
    lines: Lines<R>,
    /// The slices that are known to be there: table, first moment, first moment behind it.
    slices: Vec<(&'static str, Timestamp, Timestamp)>,
    n_slices_made: u64,
    /// The number of the last signal; they are numbered in the order in which they are read, which
    /// for history is the order in which they came.
    arrival: i64,
    /// The highest number of an audit entry.
    audit_id: i64,
}

impl<R: BufRead> Import<'_, R> {
    /// Copies all rows and returns the counts of the export.
    async fn copy_all(&mut self) -> Result<Counts, ArchiveError> {
        let mut line = self.lines.next()?;
        loop {
            line = match line {
                Line::Row(table, cells) => self.copy(table, cells).await?,
                Line::Counts(counts) => return Ok(counts),
            };
        }
    }

    /// Copies a row and those of the same table behind it, as many as one `COPY` takes; returns the
    /// line that it does not.
    async fn copy(
        &mut self,
        table: &'static Table,
        mut cells: Vec<Cell>,
    ) -> Result<Line, ArchiveError> {
        self.make_slice(table, &cells).await?;
        let first = self.lines.number();
        let (sql, types) = copy_of(table);
        let sink = self.client.copy_in(&sql).await?;
        let mut copy = Box::pin(BinaryCopyInWriter::new(sink, &types));
        let mut last = first;
        let next = loop {
            self.number(table, &mut cells);
            let values: Vec<&(dyn ToSql + Sync)> = cells.iter().map(plain).collect();
            if let Err(error) = copy.as_mut().write(&values).await {
                // Why it takes no more is said at its end.
                let told = copy.as_mut().finish().await.err().unwrap_or(error);
                return Err(refused(table, &told, first, last));
            }
            match self.lines.next()? {
                Line::Row(next, row) if next.name == table.name && self.takes(next, &row) => {
                    cells = row;
                }
                other @ (Line::Row(..) | Line::Counts(_)) => break other,
            }
            if self.lines.number() - first >= COPY_ROWS {
                break Line::Row(table, cells);
            }
            last = self.lines.number();
        };
        let finished = copy.as_mut().finish().await;
        finished.map_err(|error| refused(table, &error, first, last))?;
        Ok(next)
    }

    /// Adds what the format does not hold, and notes how far the numbers are.
    fn number(&mut self, table: &Table, cells: &mut Vec<Cell>) {
        match table.name {
            "signal_streams" | "signal_current" => {
                self.arrival += 1;
                cells.push(Cell::Integer(self.arrival));
            }
            "audit_log" => {
                if let Some(Cell::Integer(id)) = cells.first() {
                    self.audit_id = self.audit_id.max(*id);
                }
            }
            _ => {}
        }
    }

    /// Whether the slice of a row is known to be there.
    fn takes(&self, table: &Table, cells: &[Cell]) -> bool {
        time_of(table, cells).is_none_or(|time| {
            let mut slices = self.slices.iter();
            slices.any(|(name, from, to)| *name == table.name && (*from..*to).contains(&time))
        })
    }

    /// Makes the slice of a row, unless it is there.
    async fn make_slice(
        &mut self,
        table: &'static Table,
        cells: &[Cell],
    ) -> Result<(), ArchiveError> {
        let Some(time) = time_of(table, cells).filter(|_| !self.takes(table, cells)) else {
            return Ok(());
        };
        let line = self.lines.number();
        let asked: &[&(dyn ToSql + Sync)] = &[&table.name, &time, &time];
        let made = self.client.query_one(partition::MAKE, asked).await?;
        let made: i32 = made.try_get(0)?;
        self.n_slices_made += u64::from(made.unsigned_abs());
        if self.n_slices_made > SLICES_MAX {
            return Err(ArchiveError::Scattered {
                line,
                table: table.name,
                slices_max: SLICES_MAX,
            });
        }
        let bounds = self
            .client
            .query_one(partition::BOUNDS, &[&table.name, &time])
            .await?;
        let bound = |index| bounds.try_get(index);
        self.slices.push((table.name, bound(0)?, bound(1)?));
        Ok(())
    }

    /// Lets the database number on where the export ended.
    async fn set_sequences(&self) -> Result<(), ArchiveError> {
        let sql = "SELECT setval('signal_arrivals', greatest($1::bigint, 1), $1 > 0)";
        self.client.query(sql, &[&self.arrival]).await?;
        let sql = "SELECT setval(pg_get_serial_sequence('audit_log', 'id'), \
                   greatest($1::bigint, 1), $1 > 0)";
        self.client.query(sql, &[&self.audit_id]).await?;
        Ok(())
    }
}

fn copy_of(table: &Table) -> (String, Vec<Type>) {
    let mut columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let kinds = table.columns.iter();
    let mut types: Vec<Type> = kinds.map(|(_, kind)| cell::type_of(*kind)).collect();
    if ["signal_streams", "signal_current"].contains(&table.name) {
        columns.push("arrival");
        types.push(Type::INT8);
    }
    let (name, columns) = (table.name, columns.join(", "));
    (
        format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)"),
        types,
    )
}

fn plain(cell: &Cell) -> &(dyn ToSql + Sync) {
    cell
}

/// The time by which a row of a log goes into its slice. Without one there is no slice, and the
/// database says that the column must not be empty.
fn time_of(table: &Table, cells: &[Cell]) -> Option<Timestamp> {
    let column = table.log_time?;
    let mut values = table.columns.iter().zip(cells);
    let (_, value) = values.find(|((name, _), _)| *name == column)?;
    match value {
        Cell::Time(time) => Some(*time),
        Cell::Null
        | Cell::Id(_)
        | Cell::Text(_)
        | Cell::Bytes(_)
        | Cell::Integer(_)
        | Cell::Real(_)
        | Cell::Flag(_) => None,
    }
}

/// Says which line a `COPY` was refused for: the database counts its rows, and each is a line.
fn refused(table: &Table, error: &Error, first: u64, last: u64) -> ArchiveError {
    let Some(refused) = error.as_db_error() else {
        return ArchiveError::Away(error.to_string());
    };
    let row = refused.where_().and_then(row_of_context);
    let place = row
        .and_then(|row| first.checked_add(row.checked_sub(1)?))
        .map_or(Place::Between(first, last), Place::At);
    ArchiveError::Row {
        place,
        table: table.name,
        reason: refused.message().to_owned(),
    }
}

/// The number in `COPY metrics, line 17`, in whatever language.
fn row_of_context(context: &str) -> Option<u64> {
    let (_, rest) = context.strip_prefix("COPY ")?.split_once(", ")?;
    let digits = rest.trim_start_matches(|mark: char| !mark.is_ascii_digit());
    let end = digits.find(|mark: char| !mark.is_ascii_digit());
    digits.get(..end.unwrap_or(digits.len()))?.parse().ok()
}

/// Rows of one `COPY`: the database says only at its end what it refuses.
const COPY_ROWS: u64 = 20_000;
/// Slices that one import makes beyond those that the hub makes ahead: more than a year of
/// metrics, or seven of signals. Each is a table, and locked until the end.
const SLICES_MAX: u64 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_a_refusal_is_read_in_any_language() {
        assert_eq!(row_of_context("COPY metrics, line 17"), Some(17));
        assert_eq!(row_of_context("COPY a, Zeile 3, Spalte b: »4«"), Some(3));
        assert_eq!(row_of_context("SQL statement \"SELECT 1, 2\""), None);
        assert_eq!(
            row_of_context("COPY metrics, line 99999999999999999999"),
            None
        );
    }
}
