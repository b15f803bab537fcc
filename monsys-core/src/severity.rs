//! How bad a finding is.
//!
//! What: the five words of the integrity document's auditor query, ordered. What not: points or
//! colours; those belong to their readers. "No severity" is `Option::None`, never a sixth word.

use core::fmt;

use thiserror::Error;

/// The severity of a signal or anomaly, from harmless to worst. Closed: adding one is breaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A small weakness.
    Low,
    /// A weakness or an unexplained deviation.
    Medium,
    /// Trust is broken unless explained.
    High,
    /// Trust is broken.
    Critical,
}

impl Severity {
    /// All severities, lowest first.
    pub const ALL: [Self; 5] = [
        Self::Info,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// Returns the word used in JSON, SQL and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Reads one of the five words.
    ///
    /// # Errors
    /// [`UnknownSeverity`] for any other text, upper case included.
    pub fn parse(text: &str) -> Result<Self, UnknownSeverity> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or(UnknownSeverity)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says that a word is no severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown severity: expected info, low, medium, high or critical")]
pub struct UnknownSeverity;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_the_auditor_query() {
        assert!(Severity::ALL.is_sorted());
        assert!(Severity::Critical > Severity::High);
    }

    #[test]
    fn only_lower_case_words_are_read() {
        for s in Severity::ALL {
            assert_eq!(Severity::parse(s.as_str()), Ok(s));
        }
        assert_eq!(Severity::parse("High"), Err(UnknownSeverity));
        assert_eq!(Severity::parse(""), Err(UnknownSeverity));
    }
}
