//! Keys on disk: 64 hexadecimal digits in a file that only its owner can read.
//!
//! What: creating one once, complete or not at all, and refusing one that others can read. It is
//! never overwritten and never printed; the wire crate's key types have no way to show one but that
//! which writes this file. A signing key is made here; the key of a device is made by its hub and
//! only kept here. What not: going from one key to the next, which is [`crate::rotation`]. Cost: one
//! small file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use monsys_wire::{DeviceKey, SigningKey};
use thiserror::Error;

use crate::durable::{self, PrivateFileError};

/// Says why there is no usable key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is none.
    #[error("no key at {}: expected one made by keygen or init", path.display())]
    Absent {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("a key exists at {}: expected none, it is never overwritten", path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// Others than its owner may read or write it.
    #[error("key at {} has mode {mode:04o}: expected 0600", path.display())]
    Exposed {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error("key at {} is damaged: expected 64 lower-case hexadecimal digits", path.display())]
    Malformed {
        /// Where it is.
        path: PathBuf,
    },
    /// The file system or the random source refused.
    #[error("key at {} cannot be used", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What was said.
        #[source]
        source: io::Error,
    },
}

/// Reads the signing key.
///
/// # Errors
/// [`KeyFileError`]; [`KeyFileError::Absent`] and [`KeyFileError::Exposed`] may be relied on.
pub fn load(path: &Path) -> Result<SigningKey, KeyFileError> {
    let digits = read_digits(path)?;
    SigningKey::parse_secret_hex(digits.trim_end()).map_err(|_| malformed(path))
}

/// Reads the key that a device shares with its hub.
///
/// # Errors
/// As for [`load`].
pub fn load_device(path: &Path) -> Result<DeviceKey, KeyFileError> {
    let digits = read_digits(path)?;
    DeviceKey::parse_secret_hex(digits.trim_end()).map_err(|_| malformed(path))
}

/// Keeps the key that a hub gave a device; the same key again changes nothing.
///
/// # Errors
/// [`KeyFileError::Exists`] when another one is there; a crash leaves the whole key or none.
pub fn keep_device(path: &Path, key: &DeviceKey) -> Result<(), KeyFileError> {
    match write_new(path, key.to_secret_hex().as_slice()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if is_same(&load_device(path)?, key) {
                Ok(())
            } else {
                Err(KeyFileError::Exists {
                    path: path.to_owned(),
                })
            }
        }
        Err(source) => Err(KeyFileError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether two keys of devices are the same. Both are secrets of this machine, so how long it takes
/// tells nobody anything.
pub fn is_same(a: &DeviceKey, b: &DeviceKey) -> bool {
    a.expose_bytes().as_slice() == b.expose_bytes().as_slice()
}

/// Makes a key from the system's random source and writes it where there is none.
///
/// # Errors
/// [`KeyFileError::Exists`] may be relied on; a crash leaves the whole key or none.
pub fn create(path: &Path) -> Result<SigningKey, KeyFileError> {
    let io = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| io(io::Error::other(error)))?;
    let key = SigningKey::from_secret_bytes(secret);
    match write_new(path, key.to_secret_hex().as_slice()) {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeyFileError::Exists {
            path: path.to_owned(),
        }),
        Err(error) => Err(io(error)),
    }
}

/// Reads the key, or makes one where there is none.
///
/// # Errors
/// [`KeyFileError`], never [`KeyFileError::Absent`].
pub fn load_or_create(path: &Path) -> Result<SigningKey, KeyFileError> {
    match load(path) {
        Err(KeyFileError::Absent { .. }) => {}
        loaded => return loaded,
    }
    match create(path) {
        // Another process was faster.
        Err(KeyFileError::Exists { .. }) => load(path),
        created => created,
    }
}

fn read_digits(path: &Path) -> Result<String, KeyFileError> {
    durable::read_private(path, FILE_BYTES_MAX).map_err(|error| {
        let path = path.to_owned();
        match error {
            PrivateFileError::Absent => KeyFileError::Absent { path },
            PrivateFileError::Exposed { mode } => KeyFileError::Exposed { path, mode },
            PrivateFileError::Io(source) => KeyFileError::Io { path, source },
        }
    })
}

fn malformed(path: &Path) -> KeyFileError {
    KeyFileError::Malformed {
        path: path.to_owned(),
    }
}

/// Writes a temporary file and gives it its name by a link, which fails when the name is taken.
fn write_new(path: &Path, digits: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    let linked = file
        .write_all(digits)
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    linked?;
    durable::sync_parent(path)
}

/// A key is 65 bytes; whatever is longer than this is none.
const FILE_BYTES_MAX: u64 = 4_096;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_key_is_made_private_and_reads_back() {
        let dir = TempDir::new();
        let path = dir.path().join("signing.key");
        let made = create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(load(&path).unwrap().verifying_key(), made.verifying_key());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let dir = TempDir::new();
        let path = dir.path().join("signing.key");
        let made = create(&path).unwrap().verifying_key();
        assert!(matches!(create(&path), Err(KeyFileError::Exists { .. })));
        assert_eq!(load_or_create(&path).unwrap().verifying_key(), made);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = TempDir::new();
        let path = dir.path().join("signing.key");
        create(&path).unwrap();
        for mode in [0o604, 0o640, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = load(&path).unwrap_err();
            assert!(matches!(refused, KeyFileError::Exposed { mode: found, .. } if found == mode));
        }
        assert!(load_or_create(&path).is_err(), "it is not replaced either");
    }

    #[test]
    fn the_key_of_a_device_is_kept_once() {
        let dir = TempDir::new();
        let path = dir.path().join("device.key");
        let key = DeviceKey::from_secret_bytes([7; 32]);
        keep_device(&path, &key).unwrap();
        keep_device(&path, &key).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let other = DeviceKey::from_secret_bytes([8; 32]);
        let refused = keep_device(&path, &other);
        assert!(matches!(refused, Err(KeyFileError::Exists { .. })));
        assert!(is_same(&load_device(&path).unwrap(), &key));
    }

    #[test]
    fn absent_and_damaged_keys_are_told_apart() {
        let dir = TempDir::new();
        let path = dir.path().join("signing.key");
        assert!(matches!(load(&path), Err(KeyFileError::Absent { .. })));
        durable::replace(&path, b"not hexadecimal").unwrap();
        assert!(matches!(load(&path), Err(KeyFileError::Malformed { .. })));
    }
}
