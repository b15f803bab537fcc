//! What the machine gives: a private directory, free space, open files.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::process::{Resource, geteuid, getrlimit};

use super::check::Check;
use crate::location::{STORE_FILE, StoreLocation};

/// Files beside connections: store, logs, scans, and some to spare.
const OTHER_FILES: u64 = 256;
/// Free space below which a person should look.
const LITTLE_BYTES: u64 = 1 << 30;
/// Free space below which the store may fail any moment.
const NO_BYTES: u64 = 64 << 20;

/// Makes the checks of the machine.
pub(super) fn examine(location: &StoreLocation, connections: u32) -> Vec<Check> {
    let mut checks = match location {
        StoreLocation::Directory(data) => {
            vec![
                directory(data),
                store_file(&data.join(STORE_FILE)),
                disk(data),
            ]
        }
        StoreLocation::Server { .. } => vec![Check::skip(
            "data_directory",
            "the store is in PostgreSQL, and the hub keeps nothing else",
        )],
    };
    checks.push(open_files(connections));
    checks
}

/// Nobody else looks into the directory, and the hub can write there: tried by writing.
fn directory(data: &Path) -> Check {
    let name = "data_directory";
    let shown = data.display();
    let metadata = match std::fs::metadata(data) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Check::skip(name, format!("{shown} is not there yet: run makes it"));
        }
        Err(error) => {
            let todo = "let the hub's user own the directory";
            return Check::fail(name, format!("{shown}: {error}"), todo);
        }
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let found = format!("{shown} has mode {mode:04o}: others of this machine look into it");
        return Check::fail(name, found, format!("chmod 700 {shown}"));
    }
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    // Root writes anywhere, and would hide that the hub's user does not.
    if owner != own && own == 0 {
        let found =
            format!("{shown} belongs to user {owner}; asked by root, writing proves nothing");
        return Check::warn(name, found, "run doctor as the hub's user");
    }
    match write_probe(data) {
        Ok(()) => Check::ok(name, format!("{shown} is private and writable")),
        Err(error) => {
            let todo = "let the hub's user own the directory";
            Check::fail(name, format!("{shown} is not writable: {error}"), todo)
        }
    }
}

fn write_probe(data: &Path) -> std::io::Result<()> {
    let probe = data.join(format!(".doctor-{}", std::process::id()));
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&probe);
    let written = made.and_then(|mut file| {
        file.write_all(b"probe\n")?;
        file.sync_all()
    });
    // Removed whether or not it was written; one that was not made is not there.
    let _ = std::fs::remove_file(&probe);
    written
}

/// The store holds digests of secrets and keys of devices.
fn store_file(file: &Path) -> Check {
    let name = "store_file";
    let Ok(metadata) = std::fs::metadata(file) else {
        return Check::skip(name, "there is none yet");
    };
    let mode = metadata.permissions().mode() & 0o777;
    let shown = file.display();
    if mode & 0o077 == 0 {
        return Check::ok(name, format!("{shown} is private"));
    }
    let found = format!("{shown} has mode {mode:04o}: it holds keys of devices");
    Check::fail(name, found, format!("chmod 600 {shown}"))
}

fn disk(data: &Path) -> Check {
    let name = "disk";
    let Ok(space) = rustix::fs::statvfs(data) else {
        return Check::skip(name, "the file system does not tell");
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let found = format!("{} MiB free", free >> 20);
    if free < NO_BYTES {
        Check::fail(
            name,
            found,
            "make room: nothing can be stored on a full disk",
        )
    } else if free < LITTLE_BYTES {
        Check::warn(name, found, "make room: expected 1 GiB or more")
    } else {
        Check::ok(name, found)
    }
}

/// A connection is an open file; a hub raises its limit as far as it may.
fn open_files(connections: u32) -> Check {
    let name = "open_files";
    let limit = getrlimit(Resource::Nofile).maximum;
    let wanted = u64::from(connections) + OTHER_FILES;
    match limit {
        Some(limit) if limit < wanted => Check::warn(
            name,
            format!("{limit} at most; {connections} connections are configured"),
            format!("LimitNOFILE={wanted} in the unit, or ulimit -n {wanted}"),
        ),
        Some(limit) => Check::ok(name, format!("{limit} at most")),
        None => Check::ok(name, "no limit"),
    }
}
