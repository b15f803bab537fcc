//! Directories for tests, removed when they go out of scope.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use monsys_core::time::{Span, Timestamp};

use crate::collect::root::Root;

pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        let name = format!("monsys-agent-{:032x}", getrandom::u64().unwrap());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A synthetic machine: files below a root of their own.
pub(crate) struct Tree(TempDir);

impl Tree {
    pub(crate) fn new() -> Self {
        Self(TempDir::new())
    }

    pub(crate) fn root(&self) -> Root {
        Root::at(self.0.path())
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn dir(&self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
    }

    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a file that was written last so many seconds before a time.
    pub(crate) fn aged(&self, path: &str, age_s: i64, now: Timestamp) {
        self.file(path, "");
        self.age(path, age_s, now);
    }

    /// Sets when a file or directory was written last.
    pub(crate) fn age(&self, path: &str, age_s: i64, now: Timestamp) {
        let micros = now.saturating_sub(Span::from_secs(age_s)).unix_micros();
        let at = UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap());
        File::open(self.path(path))
            .unwrap()
            .set_modified(at)
            .unwrap();
    }

    #[cfg(unix)]
    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }
}
