//! The only way to standard output and, but for logs, to standard error.
//!
//! Results go to standard output, one JSON object on one line with `--json`; complaints go to
//! standard error. A reader that went away is no error of ours, so failures of writing are dropped.

use std::io::{self, Write};

use serde::Serialize;

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object on one line.
    Json,
}

/// Shows a result: its JSON form, or the lines for people.
pub fn show(form: Form, result: &impl Serialize, lines: &[String]) {
    match form {
        Form::Json => {
            // Cannot fail: results are plain structs with text keys.
            let mut text = serde_json::to_vec(result).unwrap_or_default();
            text.push(b'\n');
            bytes(&text);
        }
        Form::Text => bytes((lines.join("\n") + "\n").as_bytes()),
    }
}

/// Writes bytes as they are.
pub fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Writes a complaint.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "monsys-agent: {text}");
}
