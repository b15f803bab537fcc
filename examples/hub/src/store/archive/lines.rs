//! The lines of an export, written and read.

use std::io::{BufRead, Read, Write};

use monsys_core::json::{self, Cursor, ObjectText, Scratch};

use super::cell::Cell;
use super::layout::{TABLES, Table};
use super::{ArchiveError, Counts};

/// Writes the first line.
pub(in crate::store) fn write_head(out: &mut impl Write) -> std::io::Result<()> {
    write_line(out, ObjectText::new().integer(HEAD, FORMAT))
}

/// Writes the line of a row.
pub(in crate::store) fn write_row(
    out: &mut impl Write,
    table: &Table,
    row: ObjectText,
) -> std::io::Result<()> {
    let line = ObjectText::new().text("table", table.name);
    write_line(out, line.object("row", row))
}

/// Writes the last line.
pub(in crate::store) fn write_counts(out: &mut impl Write, counts: &Counts) -> std::io::Result<()> {
    let counted =
        |object: ObjectText, (table, n_rows): (&&str, &u64)| object.integer(table, *n_rows);
    let counted = counts.iter().fold(ObjectText::new(), counted);
    write_line(out, ObjectText::new().object(COUNTS, counted))?;
    out.flush()
}

fn write_line(out: &mut impl Write, line: ObjectText) -> std::io::Result<()> {
    writeln!(out, "{}", line.finish())
}

/// Reads an export line by line.
pub(in crate::store) struct Lines<R> {
    input: R,
    text: Vec<u8>,
    scratch: Scratch,
    cell_scratch: Scratch,
    /// How many lines were read.
    n_read: u64,
    /// The table that the last row belongs to, as its place in the order.
    place: usize,
}

/// What a line of an export says.
pub(in crate::store) enum Line {
    /// A row: a value for each column of its table.
    Row(&'static Table, Vec<Cell>),
    /// The counts, behind which nothing comes.
    Counts(Counts),
}

impl<R: BufRead> Lines<R> {
    /// Reads the head.
    pub(in crate::store) fn start(input: R) -> Result<Self, ArchiveError> {
        let mut lines = Self {
            input,
            text: Vec::new(),
            scratch: Scratch::new(),
            cell_scratch: Scratch::new(),
            n_read: 0,
            place: 0,
        };
        lines.read()?;
        let canonical = json::canonicalize(&lines.text, &mut lines.scratch).ok();
        let is_head = canonical.is_some_and(|canonical| {
            let mut cursor = Cursor::new(canonical);
            cursor.enter_object() && cursor.next_is(HEAD) && cursor.integer() == Some(FORMAT)
        });
        if is_head {
            Ok(lines)
        } else {
            Err(lines.wrong("the head of an export of this format"))
        }
    }

    /// The number of the line that was read last, from 1.
    pub(in crate::store) const fn number(&self) -> u64 {
        self.n_read
    }

    /// Reads the next line, which is there: the counts are the last.
    pub(in crate::store) fn next(&mut self) -> Result<Line, ArchiveError> {
        self.read()?;
        let counts = match self.parse() {
            Ok(Line::Counts(counts)) => counts,
            Ok(Line::Row(table, cells)) => {
                let place = TABLES.iter().position(|known| known.name == table.name);
                if place < Some(self.place) {
                    return Err(self.wrong(format!("{} before the tables behind it", table.name)));
                }
                self.place = place.unwrap_or_default();
                return Ok(Line::Row(table, cells));
            }
            Err(expected) => return Err(self.wrong(expected)),
        };
        self.read()?;
        if self.text.is_empty() {
            // The line of the counts is the one that a message about them names.
            self.n_read -= 1;
            Ok(Line::Counts(counts))
        } else {
            Err(self.wrong("nothing behind the counts"))
        }
    }

    fn read(&mut self) -> std::io::Result<()> {
        self.text.clear();
        self.n_read += 1;
        let mut line = self.input.by_ref().take(LINE_BYTES_MAX);
        line.read_until(b'\n', &mut self.text).map(drop)
    }

    fn wrong(&self, expected: impl Into<String>) -> ArchiveError {
        ArchiveError::Line {
            line: self.n_read,
            expected: expected.into(),
        }
    }

    /// Reads the line that is there; what was expected where something else stands.
    fn parse(&mut self) -> Result<Line, String> {
        let canonical = json::canonicalize(&self.text, &mut self.scratch)
            .map_err(|_| "a row of an export, or the counts at its end".to_owned())?;
        let mut cursor = Cursor::new(canonical);
        let is_object = cursor.enter_object();
        if is_object && cursor.next_is(COUNTS) {
            let counts = counts(&mut cursor);
            return counts.map(Line::Counts).ok_or_else(|| "the counts".into());
        }
        // In canonical form "row" stands before "table", which says what the row should be.
        let is_row = is_object && cursor.next_is("row");
        let mut row = cursor.clone();
        let table = is_row.then(|| cursor.skip()).and_then(|_| {
            let name = cursor.next_is("table").then(|| cursor.text()).flatten()?;
            let is_all = cursor.next_name().is_none();
            is_all.then_some(name)
        });
        let table = table.ok_or("a row with its table")?;
        let table = TABLES.iter().find(|known| known.name == table);
        let table = table.ok_or("a table of this format")?;
        let cells = cells(table, &mut row, &mut self.cell_scratch)?;
        Ok(Line::Row(table, cells))
    }
}

fn cells(
    table: &'static Table,
    row: &mut Cursor<'_>,
    scratch: &mut Scratch,
) -> Result<Vec<Cell>, String> {
    if !row.enter_object() {
        return Err("a row with its columns".into());
    }
    let mut cells = vec![Cell::Null; table.columns.len()];
    while let Some(name) = row.next_name() {
        let mut columns = table.columns.iter().zip(&mut cells);
        let column = columns.find(|((known, _), _)| *known == name);
        let Some(((name, kind), cell)) = column else {
            return Err(format!("columns of {} in this format", table.name));
        };
        let read = Cell::read(*kind, row, scratch);
        *cell = read.ok_or_else(|| format!("{} in {}.{name}", kind.expected(), table.name))?;
    }
    Ok(cells)
}

fn counts(cursor: &mut Cursor<'_>) -> Option<Counts> {
    let mut counts = Counts::new();
    if !cursor.enter_object() {
        return None;
    }
    while let Some(name) = cursor.next_name() {
        let table = TABLES.iter().find(|table| table.name == name)?;
        counts.insert(table.name, u64::try_from(cursor.integer()?).ok()?);
    }
    cursor.next_name().is_none().then_some(counts)
}

const HEAD: &str = "monsys_export";
const FORMAT: i64 = 1;
const COUNTS: &str = "counts";
/// Longest line: a snapshot of half a megabyte with every character escaped.
const LINE_BYTES_MAX: u64 = 8 << 20;
