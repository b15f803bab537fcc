//! Tables as CSV (RFC 4180), for people who open them in a spreadsheet.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// Reads the parameter `format`: whether a table is asked for in place of JSON.
pub(crate) fn is_csv(format: &str) -> Result<bool, &'static str> {
    match format {
        "json" => Ok(false),
        "csv" => Ok(true),
        _ => Err("expected format to be json or csv"),
    }
}

/// A table that grows row by row.
#[derive(Debug, Default)]
pub(crate) struct Csv {
    text: String,
}

impl Csv {
    /// Starts a table with the names of its columns.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut csv = Self::default();
        csv.row(columns);
        csv
    }

    /// Adds a row. What a spreadsheet would take for a formula gets an apostrophe before it.
    pub(crate) fn row(&mut self, cells: &[&str]) {
        for (n, cell) in cells.iter().enumerate() {
            if n > 0 {
                self.text.push(',');
            }
            self.cell(cell);
        }
        self.text.push_str("\r\n");
    }

    /// A spreadsheet of a language with decimal commas splits at semicolons instead, whatever the
    /// quotes say, so that a formula may begin in the middle of a cell too.
    fn cell(&mut self, cell: &str) {
        let mut guarded = String::with_capacity(cell.len());
        let mut is_start = true;
        for char in cell.chars() {
            if is_start && matches!(char, '=' | '+' | '-' | '@' | '\t' | '\r') {
                guarded.push('\'');
            }
            is_start = matches!(char, ';' | '\t') || (is_start && matches!(char, ' ' | '"'));
            guarded.push(char);
        }
        if guarded == cell && !cell.contains([',', '"', '\r', '\n']) {
            self.text.push_str(cell);
            return;
        }
        self.text.push('"');
        self.text.push_str(&guarded.replace('"', "\"\""));
        self.text.push('"');
    }

    /// Answers with the table as a file.
    pub(crate) fn answer(self, file: &str) -> Response {
        let disposition = format!("attachment; filename=\"{file}\"");
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
            (header::CONTENT_DISPOSITION, disposition),
        ];
        (headers, self.text).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_never_formulas() {
        let mut csv = Csv::new(&["a", "b"]);
        csv.row(&["1", "x,y"]);
        csv.row(&["=1+1", "say \"no\"\n"]);
        let expected = "a,b\r\n1,\"x,y\"\r\n\"'=1+1\",\"say \"\"no\"\"\n\"\r\n";
        assert_eq!(csv.text, expected);
    }

    #[test]
    fn no_formula_begins_behind_another_separator_either() {
        let row = |cell| {
            let mut csv = Csv::new(&["a"]);
            csv.row(&[cell]);
            csv.text
        };
        assert_eq!(row("x;=1+1"), "a\r\n\"x;'=1+1\"\r\n");
        assert_eq!(row("x; \"@a\""), "a\r\n\"x; \"\"'@a\"\"\"\r\n");
        assert_eq!(row(" =1"), "a\r\n\" '=1\"\r\n");
        assert_eq!(row("x;y-1=2"), "a\r\nx;y-1=2\r\n");
    }
}
