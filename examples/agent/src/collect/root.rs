//! Where the machine's files are: `/`, a mounted copy of it, or a captured one.
//!
//! What: joining. What not: reading. Every collector but the one of metrics takes its files from a
//! root, so that it can be tested on captured ones, and so that an agent in a container can measure
//! its host. Paths that are reported are those below the root. Cost: one allocation a path.

use std::path::{Path, PathBuf};

/// The directory that stands for `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The machine itself.
    pub fn system() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A mounted or captured copy.
    pub fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Returns where a file is; a leading `/` of `path` stands for the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }
}
