//! Copies of a whole store: backup and restore, export and import.

use std::fs::OpenOptions;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{existing_file_of, location_of, say};
use crate::cli::{ArchiveArgs, StoreArgs};
use crate::error::{Failure, FailureKind};
use crate::output;
use crate::store::sqlite::archive::{self, ArchiveError, Counts};

/// `backup`.
pub(super) fn backup(args: &ArchiveArgs) -> Result<(), Failure> {
    let store = existing_file_of(&args.store)?;
    archive::backup(&store, &args.file).map_err(|error| failure(&error, &args.file))?;
    said(&args.store, "backup", &args.file);
    Ok(())
}

/// `restore`.
pub(super) fn restore(args: &ArchiveArgs) -> Result<(), Failure> {
    let store = new_file_of(&args.store)?;
    archive::restore(&args.file, &store).map_err(|error| failure(&error, &store))?;
    said(&args.store, "restored", &store);
    Ok(())
}

/// `export`: to a new file, or to standard output.
pub(super) fn export(args: &ArchiveArgs) -> Result<(), Failure> {
    let store = existing_file_of(&args.store)?;
    let about = |error: ArchiveError| failure(&error, &args.file);
    if is_standard(&args.file) {
        let mut out = BufWriter::new(std::io::stdout().lock());
        archive::export(&store, &mut out).map_err(about)?;
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let new = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.file);
    let new = new.map_err(|error| about(error.into()))?;
    let mut out = BufWriter::new(new);
    let counts = archive::export(&store, &mut out).map_err(about)?;
    let written = out.flush().and_then(|()| out.get_ref().sync_all());
    written.map_err(|error| about(error.into()))?;
    show(&args.store, "exported", &counts);
    Ok(())
}

/// `import`: into an empty store, all or nothing.
pub(super) fn import(args: &ArchiveArgs) -> Result<(), Failure> {
    let store = new_or_empty_file_of(&args.store)?;
    let about = |error: ArchiveError| failure(&error, &args.file);
    let counts = if is_standard(&args.file) {
        archive::import(&store, &mut std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(&args.file).map_err(|error| about(error.into()))?;
        archive::import(&store, &mut BufReader::new(file))
    };
    show(&args.store, "imported", &counts.map_err(about)?);
    Ok(())
}

fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn new_file_of(args: &StoreArgs) -> Result<PathBuf, Failure> {
    let file = new_or_empty_file_of(args)?;
    if file.try_exists()? {
        return Err(failure(&ArchiveError::Exists, &file));
    }
    Ok(file)
}

fn new_or_empty_file_of(args: &StoreArgs) -> Result<PathBuf, Failure> {
    location_of(args)?.new_file()
}

fn said(args: &StoreArgs, what: &str, file: &Path) {
    let shown = json!({"status": "ok", "file": file.display().to_string()});
    say(
        args.json,
        &shown,
        format_args!("{what}: {}", file.display()),
    );
}

fn show(args: &StoreArgs, did: &str, counts: &Counts) {
    if args.json {
        output::line(json!({"status": "ok", "counts": counts}));
        return;
    }
    for (table, n_rows) in counts {
        output::line(format_args!("{did} {n_rows} {table}"));
    }
}

fn failure(error: &ArchiveError, file: &Path) -> Failure {
    let kind = match error {
        ArchiveError::Exists | ArchiveError::NotEmpty => FailureKind::Usage,
        ArchiveError::Database(_)
        | ArchiveError::Open(_)
        | ArchiveError::File(_)
        | ArchiveError::Line { .. }
        | ArchiveError::Count { .. }
        | ArchiveError::Damaged => FailureKind::Io,
    };
    Failure::new(kind, format!("{}: {error}", file.display()))
}
