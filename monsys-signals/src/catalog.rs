//! Which source counts in which category of the trust score.
//!
//! What: a table; adding a source is one entry (signals document). A source without an entry counts
//! zero points, so that an unknown writer never moves a score. What not: the points of one signal.
//! Cost: a walk over a handful of entries.

use monsys_core::name::Source;

/// A part of the trust score. Closed: the caps of all of them sum to 100 points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Whether the agent is still honest.
    Integrity,
    /// How the machine is set up.
    Posture,
    /// Known weaknesses of what runs on it.
    Vulnerability,
    /// Who may do what.
    Identity,
    /// Whether its data would survive it.
    Backup,
    /// Whether its certificates are in order.
    Certificates,
    /// Whether it is there and on time.
    Clock,
}

impl Category {
    /// All categories, by weight.
    pub const ALL: [Self; 7] = [
        Self::Integrity,
        Self::Posture,
        Self::Vulnerability,
        Self::Identity,
        Self::Backup,
        Self::Certificates,
        Self::Clock,
    ];

    /// Returns the word used in JSON and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::Posture => "posture",
            Self::Vulnerability => "vulnerability",
            Self::Identity => "identity",
            Self::Backup => "backup",
            Self::Certificates => "certificates",
            Self::Clock => "clock",
        }
    }

    /// Returns the most points that findings of the category can take from a trust score of 100.
    pub const fn cap_points(self) -> u32 {
        match self {
            Self::Integrity => 30,
            Self::Posture => 20,
            Self::Vulnerability => 15,
            Self::Identity | Self::Backup | Self::Certificates => 10,
            Self::Clock => 5,
        }
    }
}

/// One line of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The source.
    pub source: &'static str,
    /// Where it counts.
    pub category: Category,
}

/// The catalogue: every source that counts, sorted by name.
pub const CATALOG: &[Entry] = &[
    Entry {
        source: "backup_check",
        category: Category::Backup,
    },
    Entry {
        source: "cert_scan",
        category: Category::Certificates,
    },
    Entry {
        source: "clock_check",
        category: Category::Clock,
    },
    Entry {
        source: "dns_check",
        category: Category::Posture,
    },
    Entry {
        source: "endpoint_posture",
        category: Category::Posture,
    },
    Entry {
        source: "integrity_check",
        category: Category::Integrity,
    },
];

/// Returns the category of a source; `None` counts zero points.
///
/// ```
/// use monsys_core::name::Source;
/// use monsys_signals::{Category, category_of};
/// assert_eq!(category_of(&Source::parse("cert_scan")?), Some(Category::Certificates));
/// assert_eq!(category_of(&Source::parse("my_check")?), None);
/// # Ok::<(), monsys_core::name::NameError>(())
/// ```
pub fn category_of(source: &Source) -> Option<Category> {
    CATALOG
        .iter()
        .find(|entry| entry.source == source.as_str())
        .map(|entry| entry.category)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent;

    #[test]
    fn the_caps_sum_to_a_hundred_and_fall() {
        let caps = Category::ALL.map(Category::cap_points);
        assert_eq!(caps, [30, 20, 15, 10, 10, 10, 5]);
        assert_eq!(caps.iter().sum::<u32>(), 100);
        assert!(Category::ALL.is_sorted());
    }

    #[test]
    fn every_entry_is_a_valid_source_once_and_in_order() {
        assert!(CATALOG.is_sorted_by(|a, b| a.source < b.source));
        for entry in CATALOG {
            assert_eq!(
                category_of(&Source::parse(entry.source).unwrap()),
                Some(entry.category)
            );
        }
    }

    #[test]
    fn what_agents_may_send_counts_somewhere() {
        for source in agent::SOURCES {
            assert!(
                category_of(&Source::parse(source).unwrap()).is_some(),
                "{source}"
            );
        }
    }

    #[test]
    fn s13_an_unmapped_source_counts_nowhere() {
        assert_eq!(category_of(&Source::parse("my_check").unwrap()), None);
    }
}
