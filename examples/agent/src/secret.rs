//! Secrets that people hand over: in a file or on standard input, never as an argument.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::AgentError;

/// Reads a secret from a file.
///
/// # Errors
/// [`AgentError::System`].
pub(crate) fn read_file(path: &Path) -> Result<String, AgentError> {
    let read = File::open(path).and_then(read);
    read.map_err(|source| AgentError::System {
        what: "the file of the secret cannot be read",
        source,
    })
}

/// Reads a secret from standard input.
///
/// # Errors
/// [`AgentError::System`].
pub(crate) fn read_stdin() -> Result<String, AgentError> {
    read(io::stdin().lock()).map_err(|source| AgentError::System {
        what: "the secret cannot be read from standard input",
        source,
    })
}

/// Reads the text without the line break at its end.
fn read(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// A key is 64 bytes, a token 46; whatever is longer than this is neither.
const SECRET_BYTES_MAX: u64 = 4_096;
