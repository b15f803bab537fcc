//! Rows written by `VALUES` of a few fixed sizes.
//!
//! One statement per row costs a round trip each; one statement of every length costs a plan each.
//! Four lengths need four plans, are as fast as arrays from a hundred rows up, and pass where
//! `COPY` and `INSERT … SELECT` are refused under row-level security.

use std::fmt::Write;
use std::sync::OnceLock;

use tokio_postgres::types::ToSql;

/// How rows of one kind are written.
pub(super) struct Form {
    /// The statement up to and without `VALUES`.
    head: &'static str,
    /// The type of each column.
    columns: &'static [&'static str],
    /// The statement after the rows.
    tail: &'static str,
    /// How many rows a statement has, more than 512 being slower per row; and the statements,
    /// written when they are first needed: some are 60 kB long.
    texts: [(usize, OnceLock<String>); 4],
}

/// Rows to be written by one statement or a few.
pub(super) struct RowValues<'a> {
    /// How.
    pub(super) form: &'static Form,
    /// The rows, one after another, a value per column.
    pub(super) values: Vec<Value<'a>>,
}

/// One value of a row.
pub(super) type Value<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// Boxes a value.
pub(super) fn value<'a>(value: impl ToSql + Sync + Send + 'a) -> Value<'a> {
    Box::new(value)
}

impl Form {
    /// A statement is `head VALUES rows tail`.
    pub(super) const fn new(
        head: &'static str,
        columns: &'static [&'static str],
        tail: &'static str,
    ) -> Self {
        Self {
            head,
            columns,
            tail,
            texts: [
                (512, OnceLock::new()),
                (64, OnceLock::new()),
                (8, OnceLock::new()),
                (1, OnceLock::new()),
            ],
        }
    }

    /// The statement of the largest size that is not more than so many rows, and its size.
    fn statement(&self, n_rows: usize) -> (&str, usize) {
        let [.., single] = &self.texts;
        let fitting = self.texts.iter().find(|(size, _)| *size <= n_rows);
        let (size, text) = fitting.unwrap_or(single);
        (text.get_or_init(|| self.text(*size)), *size)
    }

    fn text(&self, n_rows: usize) -> String {
        let mut sql = self.head.to_owned() + " VALUES ";
        let mut number = 0;
        for row in 0..n_rows {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            for (index, column) in self.columns.iter().enumerate() {
                number += 1;
                let comma = if index == 0 { "" } else { ", " };
                // Cannot fail: a text takes all that is written into it.
                let _ = write!(sql, "{comma}${number}::{column}");
            }
            sql.push(')');
        }
        sql.push_str(self.tail);
        sql
    }
}

impl RowValues<'_> {
    /// The statements that write the rows, at most 512 each, with their parameters.
    pub(super) fn statements(&self) -> Vec<(&str, Vec<&(dyn ToSql + Sync)>)> {
        let width = self.form.columns.len().max(1);
        let mut statements = Vec::new();
        let mut rest = self.values.as_slice();
        while !rest.is_empty() {
            let (sql, n_rows) = self.form.statement(rest.len() / width);
            let (now, later) = rest.split_at(rest.len().min(n_rows * width));
            statements.push((sql, now.iter().map(plain).collect()));
            rest = later;
        }
        statements
    }
}

fn plain<'v>(value: &'v Value<'_>) -> &'v (dyn ToSql + Sync) {
    &**value
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROWS: Form = Form::new(
        "INSERT INTO x (tenant_id, y)",
        &["uuid", "json"],
        " ON CONFLICT DO NOTHING",
    );

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
            assert_eq!(ROWS.statement(n_rows).1, size, "{n_rows}");
        }
        assert_eq!(
            ROWS.text(2),
            "INSERT INTO x (tenant_id, y) VALUES ($1::uuid, $2::json), ($3::uuid, $4::json) \
             ON CONFLICT DO NOTHING"
        );
    }
}
