//! How a collector says that it fares well, sees a part, or sees nothing (row E5).
//!
//! Every snapshot holds one entry for each collector, so that an empty list is never mistaken for
//! a machine on which nothing runs. A reason says what was expected. Cost: one short text.

use std::io;

use monsys_core::endpoint::{CollectorHealth, CollectorState, EndpointText};

/// What a collector found, and how it fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// What it found.
    pub items: Vec<T>,
    /// How it fared.
    pub health: CollectorHealth,
}

/// It sees everything it should.
pub fn ok(collector: &str) -> CollectorHealth {
    CollectorHealth {
        collector: EndpointText::name(collector),
        state: CollectorState::Ok,
        reason: None,
    }
}

/// It sees a part.
pub fn degraded(collector: &str, reason: &str) -> CollectorHealth {
    CollectorHealth {
        collector: EndpointText::name(collector),
        state: CollectorState::Degraded,
        reason: Some(EndpointText::name(reason)),
    }
}

/// It sees nothing; its list means nothing.
pub fn unavailable(collector: &str, reason: &str) -> CollectorHealth {
    CollectorHealth {
        collector: EndpointText::name(collector),
        state: CollectorState::Unavailable,
        reason: Some(EndpointText::name(reason)),
    }
}

/// Returns why a file could not be read, in two words that never hold its content.
pub fn fault(error: &io::Error) -> &'static str {
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        "not there"
    } else if kind == io::ErrorKind::PermissionDenied {
        "permission denied"
    } else {
        "not readable"
    }
}
