//! What the store did not do.

use axum::response::Response;
use monsys_core::store::StoreError;

use super::counter::Label;

/// An error of the store that is a fault, and not an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// Away, full or too busy.
    Unavailable,
    /// The database refused a row that the validator let pass.
    Refused,
    /// A stored row is not what was written.
    Damaged,
    /// Another one.
    Other,
}

impl StoreFault {
    /// The fault of an error; what only says that something is not there, or there already, or has
    /// just changed, is none.
    pub(crate) fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::NotFound | StoreError::AlreadyExists | StoreError::Outdated => None,
            StoreError::Unavailable => Some(Self::Unavailable),
            StoreError::Refused { .. } => Some(Self::Refused),
            StoreError::Damaged => Some(Self::Damaged),
            _ => Some(Self::Other),
        }
    }
}

impl Label for StoreFault {
    const ALL: &'static [Self] = &[Self::Unavailable, Self::Refused, Self::Damaged, Self::Other];

    fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::Other => "other",
        }
    }
}

/// Goes with an answer that is there because of a fault, to whoever counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeenFault(pub(super) StoreFault);

impl SeenFault {
    /// Goes with this answer, where the error is a fault.
    pub(crate) fn mark(response: &mut Response, error: &StoreError) {
        if let Some(fault) = StoreFault::of(error) {
            response.extensions_mut().insert(Self(fault));
        }
    }
}
