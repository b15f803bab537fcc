//! How a command ends badly: the message and the exit code of contract §1.

use std::fmt;
use std::process::ExitCode;

use monsys_core::store::StoreError;

use crate::store::{postgres, sqlite};

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    message: String,
}

/// The exit codes of contract §1 that are not success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The command line is wrong.
    Usage,
    /// Something needed is unavailable or inconclusive.
    Unavailable,
    /// Reading or writing went wrong.
    Io,
    /// The configuration is wrong.
    Configuration,
}

impl Failure {
    /// Makes a failure with a message that says what was expected.
    pub(crate) fn new(kind: FailureKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
        }
    }

    /// Says what the failure is about.
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        Self {
            message: format!("{what}: {}", self.message),
            ..self
        }
    }

    /// Returns the exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            FailureKind::Usage => 2,
            FailureKind::Unavailable => 69,
            FailureKind::Io => 74,
            FailureKind::Configuration => 78,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let kind = if [StoreError::NotFound, StoreError::AlreadyExists].contains(&error) {
            FailureKind::Usage
        } else if error == StoreError::Unavailable {
            FailureKind::Unavailable
        } else {
            FailureKind::Io
        };
        Self::new(kind, error)
    }
}

impl From<sqlite::OpenError> for Failure {
    fn from(error: sqlite::OpenError) -> Self {
        use sqlite::OpenError;
        let kind = match error {
            OpenError::Older { .. } | OpenError::Newer { .. } => FailureKind::Configuration,
            OpenError::Database(_) | OpenError::File(_) | OpenError::Thread(_) => FailureKind::Io,
        };
        Self::new(kind, error)
    }
}

impl From<postgres::OpenError> for Failure {
    fn from(error: postgres::OpenError) -> Self {
        use postgres::OpenError;
        let kind = match error {
            OpenError::Away(_) => FailureKind::Unavailable,
            OpenError::Refused(_)
            | OpenError::Unfit(_)
            | OpenError::Older { .. }
            | OpenError::Newer { .. } => FailureKind::Configuration,
        };
        Self::new(kind, error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(FailureKind::Io, error)
    }
}
