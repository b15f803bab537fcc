//! Rows written by `VALUES` of a few fixed sizes.
//!
//! One statement per row costs a round trip each; one statement of every length costs a plan each.
//! Four lengths need four plans, are as fast as arrays from a hundred rows up, and pass where
//! `COPY` and `INSERT … SELECT` are refused under row-level security.

use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::transaction::Tx;

/// Rows to be written by one statement or a few.
pub(super) struct RowValues<'a> {
    /// The statement up to and without `VALUES`.
    pub(super) head: &'static str,
    /// The type of each column.
    pub(super) columns: &'static [&'static str],
    /// The statement after the rows.
    pub(super) tail: &'static str,
    /// The rows, one after another, a value per column.
    pub(super) values: Vec<Value<'a>>,
}

/// One value of a row.
pub(super) type Value<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// Boxes a value.
pub(super) fn value<'a>(value: impl ToSql + Sync + Send + 'a) -> Value<'a> {
    Box::new(value)
}

impl RowValues<'_> {
    /// Writes the rows, at most 512 a statement.
    pub(super) async fn write(&self, tx: &Tx) -> Result<(), Fault> {
        let width = self.columns.len().max(1);
        let mut rest = self.values.as_slice();
        while !rest.is_empty() {
            let n_rows = size_for(rest.len() / width);
            let (now, later) = rest.split_at(rest.len().min(n_rows * width));
            let parameters: Vec<&(dyn ToSql + Sync)> = now.iter().map(plain).collect();
            tx.execute(&self.statement(n_rows), &parameters).await?;
            rest = later;
        }
        Ok(())
    }

    fn statement(&self, n_rows: usize) -> String {
        let mut sql = self.head.to_owned() + " VALUES ";
        let mut number = 0;
        for row in 0..n_rows {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            for (index, column) in self.columns.iter().enumerate() {
                number += 1;
                let comma = if index == 0 { "" } else { ", " };
                sql.push_str(&format!("{comma}${number}::{column}"));
            }
            sql.push(')');
        }
        sql.push_str(self.tail);
        sql
    }
}

fn plain<'v>(value: &'v Value<'_>) -> &'v (dyn ToSql + Sync) {
    &**value
}

/// The largest size that is not more than what is left.
fn size_for(n_rows: usize) -> usize {
    SIZES.into_iter().find(|size| *size <= n_rows).unwrap_or(1)
}

/// How many rows a statement has. More than 512 are slower per row.
const SIZES: [usize; 4] = [512, 64, 8, 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_have_one_of_four_sizes() {
        for (n_rows, size) in [
            (1, 1),
            (7, 1),
            (8, 8),
            (63, 8),
            (64, 64),
            (511, 64),
            (9_999, 512),
        ] {
            assert_eq!(size_for(n_rows), size, "{n_rows}");
        }
        let rows = RowValues {
            head: "INSERT INTO x (tenant_id, y)",
            columns: &["uuid", "json"],
            tail: " ON CONFLICT DO NOTHING",
            values: Vec::new(),
        };
        assert_eq!(
            rows.statement(2),
            "INSERT INTO x (tenant_id, y) VALUES ($1::uuid, $2::json), ($3::uuid, $4::json) \
             ON CONFLICT DO NOTHING"
        );
    }
}
