//! Copies of a whole store: backup and restore, export and import.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{existing_file_of, location_of, say};
use crate::cli::{ArchiveArgs, StoreArgs};
use crate::clock::wall_now;
use crate::error::{Failure, FailureKind};
use crate::location::StoreLocation;
use crate::output;
use crate::store::PostgresStore;
use crate::store::archive::{ArchiveError, Counts};
use crate::store::sqlite::archive;

/// `backup`.
pub(super) fn backup(args: &ArchiveArgs) -> Result<(), Failure> {
    let store = existing_file_of(&args.store)?;
    let copied = archive::backup(&store, &args.file);
    copied.map_err(|error| failure(error, args.file.display()))?;
    said(&args.store, "backup", &args.file);
    Ok(())
}

/// `restore`.
pub(super) fn restore(args: &ArchiveArgs) -> Result<(), Failure> {
    let store = location_of(&args.store)?.new_file()?;
    let copied = archive::restore(&args.file, &store);
    copied.map_err(|error| failure(error, store.display()))?;
    said(&args.store, "restored", &store);
    Ok(())
}

/// `export`: to a new file, or to standard output.
pub(super) async fn export(args: &ArchiveArgs) -> Result<(), Failure> {
    let location = location_of(&args.store)?;
    let source = Store::existing(&location)?;
    if is_standard(&args.file) {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let exported = source.export(&mut out).await;
        exported.map_err(|error| about(error, args, &location))?;
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let new = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.file);
    let new = new.map_err(|error| about(error.into(), args, &location))?;
    let mut out = BufWriter::new(new);
    let exported = source.export(&mut out).await.and_then(|counts| {
        out.get_ref().sync_all()?;
        Ok(counts)
    });
    let counts = exported.map_err(|error| {
        // Half an export is none; it is this program's own new file.
        let _ = std::fs::remove_file(&args.file);
        about(error, args, &location)
    })?;
    show(&args.store, "exported", &counts);
    Ok(())
}

/// `import`: into an empty store, all or nothing.
pub(super) async fn import(args: &ArchiveArgs) -> Result<(), Failure> {
    let location = location_of(&args.store)?;
    let imported = if is_standard(&args.file) {
        let target = Store::new(&location)?;
        target.import(std::io::stdin().lock()).await
    } else {
        // A mistyped name must not leave an empty store.
        let file = std::fs::File::open(&args.file);
        let file = file.map_err(|error| about(error.into(), args, &location))?;
        Store::new(&location)?.import(BufReader::new(file)).await
    };
    let counts = imported.map_err(|error| about(error, args, &location))?;
    show(&args.store, "imported", &counts);
    Ok(())
}

/// A store as its export and import need it.
enum Store<'l> {
    File(PathBuf),
    Server(&'l crate::store::postgres::PostgresPlace),
}

impl<'l> Store<'l> {
    fn existing(location: &'l StoreLocation) -> Result<Self, Failure> {
        match location.owner() {
            Some(owner) => Ok(Self::Server(owner)),
            None => location.existing_file().map(Self::File),
        }
    }

    fn new(location: &'l StoreLocation) -> Result<Self, Failure> {
        match location.owner() {
            Some(owner) => Ok(Self::Server(owner)),
            None => location.new_file().map(Self::File),
        }
    }

    async fn export(&self, out: &mut impl Write) -> Result<Counts, ArchiveError> {
        match self {
            Self::File(file) => archive::export(file, out),
            Self::Server(owner) => PostgresStore::export(owner, out).await,
        }
    }

    async fn import(&self, lines: impl BufRead) -> Result<Counts, ArchiveError> {
        match self {
            Self::File(file) => archive::import(file, lines),
            Self::Server(owner) => PostgresStore::import(owner, lines, wall_now()).await,
        }
    }
}

fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
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

/// Says which of the two is wrong: the text or the store.
fn about(error: ArchiveError, args: &ArchiveArgs, location: &StoreLocation) -> Failure {
    match error {
        ArchiveError::File(_)
        | ArchiveError::Line { .. }
        | ArchiveError::Row { .. }
        | ArchiveError::Scattered { .. }
        | ArchiveError::Count { .. }
        | ArchiveError::Exists => failure(error, args.file.display()),
        ArchiveError::Database(_)
        | ArchiveError::Open(_)
        | ArchiveError::OpenServer(_)
        | ArchiveError::Away(_)
        | ArchiveError::Refused(_)
        | ArchiveError::NotEmpty
        | ArchiveError::DamagedRow(_)
        | ArchiveError::Damaged => failure(error, location),
    }
}

fn failure(error: ArchiveError, what: impl std::fmt::Display) -> Failure {
    let kind = match error {
        ArchiveError::Open(error) => return Failure::from(error).about(what),
        ArchiveError::OpenServer(error) => return Failure::from(error).about(what),
        ArchiveError::Exists | ArchiveError::NotEmpty => FailureKind::Usage,
        ArchiveError::Away(_) => FailureKind::Unavailable,
        ArchiveError::Database(_)
        | ArchiveError::File(_)
        | ArchiveError::Refused(_)
        | ArchiveError::Line { .. }
        | ArchiveError::Row { .. }
        | ArchiveError::Scattered { .. }
        | ArchiveError::Count { .. }
        | ArchiveError::DamagedRow(_)
        | ArchiveError::Damaged => FailureKind::Io,
    };
    Failure::new(kind, error).about(what)
}
