//! What went wrong with a transaction, and what helps against it.

use monsys_core::store::StoreError;
use tokio_postgres::error::SqlState;

/// Why a transaction did not happen.
#[derive(Debug)]
pub(super) enum Fault {
    /// The answer for the caller: nothing is wrong with the database.
    Answer(StoreError),
    /// Two transactions were in each other's way; the same one again may pass.
    Conflict,
    /// The connection broke before the transaction was asked to commit.
    Lost,
    /// The connection broke while the transaction committed: it may be stored or not.
    Unknown,
    /// A row belongs to a time slice that nobody has made yet.
    NoPartition,
    /// The database is away, full, or takes no writes.
    Away,
}

impl Fault {
    /// What a caller is told when nothing more is tried.
    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::Answer(error) => error,
            Self::Conflict | Self::Lost | Self::Unknown | Self::NoPartition | Self::Away => {
                StoreError::Unavailable
            }
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Answer(error)
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(refused) = error.as_db_error() else {
            // A row that does not fit its type is damage; all else without words of the server
            // is a connection that broke.
            let is_row = error.is_closed()
                || std::error::Error::source(&error)
                    .is_some_and(|source| source.is::<std::io::Error>());
            return if is_row {
                Self::Lost
            } else {
                tracing::error!(%error, "the database answered in another form than expected");
                Self::Answer(StoreError::Damaged)
            };
        };
        let refused_by = |constraint: &str| {
            Self::Answer(StoreError::Refused {
                constraint: constraint.to_owned(),
            })
        };
        let state = refused.code();
        let (class, constraint) = (state.code().get(..2), refused.constraint());
        if *state == SqlState::CHECK_VIOLATION {
            // Without a name it is no CHECK: PostgreSQL found no partition for the row.
            return constraint.map_or(Self::NoPartition, refused_by);
        }
        if *state == SqlState::UNIQUE_VIOLATION {
            return Self::Answer(StoreError::AlreadyExists);
        }
        if *state == SqlState::FOREIGN_KEY_VIOLATION {
            return Self::Answer(StoreError::NotFound);
        }
        let conflicts = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
        ];
        if conflicts.contains(state) {
            return Self::Conflict;
        }
        tracing::error!(
            code = state.code(),
            message = refused.message(),
            "the database refused"
        );
        match class {
            // The server ends this connection, or all of them.
            Some("08" | "57") if *state != SqlState::QUERY_CANCELED => Self::Lost,
            // Text that jsonb cannot hold, numbers out of range, missing rights, a row of another
            // tenant: the same row will not pass later either.
            Some("22" | "23" | "42") => refused_by(constraint.unwrap_or_else(|| state.code())),
            _ => Self::Away,
        }
    }
}
