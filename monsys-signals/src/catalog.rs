//! Which source counts in which category of the trust score.
//!
//! What: a table; adding a source is one entry (signals document), at compile time in [`CATALOG`]
//! or at run time in a [`Catalog`]. A source without an entry counts zero points, so that an
//! unknown writer never moves a score, and is listed by name. What not: the points of one signal.
//! Cost: a binary search over a handful of entries.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

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

/// How the points of a signal change while it lives. Closed: scores are integers of these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decay {
    /// All points until the signal expires or is superseded.
    Step,
    /// In proportion to what is left of the time to live; all points without one.
    Linear,
}

/// Where a source counts, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Where it counts.
    pub category: Category,
    /// Whether its findings fade.
    pub decay: Decay,
}

/// One line of the built-in catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The source.
    pub source: &'static str,
    /// Where it counts.
    pub category: Category,
    /// Whether its findings fade; none of the built-in ones do.
    pub decay: Decay,
}

/// The built-in catalogue: every source that counts, sorted by name.
pub const CATALOG: &[Entry] = &[
    Entry {
        source: "backup_check",
        category: Category::Backup,
        decay: Decay::Step,
    },
    Entry {
        source: "cert_scan",
        category: Category::Certificates,
        decay: Decay::Step,
    },
    Entry {
        source: "clock_check",
        category: Category::Clock,
        decay: Decay::Step,
    },
    Entry {
        source: "dns_check",
        category: Category::Posture,
        decay: Decay::Step,
    },
    Entry {
        source: "endpoint_posture",
        category: Category::Posture,
        decay: Decay::Step,
    },
    Entry {
        source: "integrity_check",
        category: Category::Integrity,
        decay: Decay::Step,
    },
];

/// The sources that count: the built-in ones and those of an embedder.
///
/// ```
/// use monsys_core::name::Source;
/// use monsys_signals::{Catalog, Category, Decay, Place};
/// let mut catalog = Catalog::standard();
/// let place = Place { category: Category::Vulnerability, decay: Decay::Linear };
/// catalog.insert(Source::parse("image_scan")?, place);
/// assert_eq!(catalog.place_of("image_scan"), Some(place));
/// assert_eq!(catalog.place_of("my_check"), None);
/// # Ok::<(), monsys_core::name::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    lines: Vec<(Source, Place)>,
}

impl Catalog {
    /// Makes one that holds [`CATALOG`].
    pub fn standard() -> Self {
        let mut catalog = Self::empty();
        for entry in CATALOG {
            // The names of the built-in entries are valid, a test of this file says.
            if let Ok(source) = Source::parse(entry.source) {
                let (category, decay) = (entry.category, entry.decay);
                catalog.insert(source, Place { category, decay });
            }
        }
        catalog
    }

    /// Makes one in which nothing counts.
    pub const fn empty() -> Self {
        Self { lines: Vec::new() }
    }

    /// Says where a source counts, and returns where it counted before.
    pub fn insert(&mut self, source: Source, place: Place) -> Option<Place> {
        let at = self.search(source.as_str());
        match at.map(|at| self.lines.get_mut(at)) {
            Ok(Some((_, old))) => Some(core::mem::replace(old, place)),
            Ok(None) => None,
            Err(at) => {
                self.lines.insert(at, (source, place));
                None
            }
        }
    }

    /// Returns where a source counts; `None` counts zero points.
    pub fn place_of(&self, source: &str) -> Option<Place> {
        let at = self.search(source).ok()?;
        self.lines.get(at).map(|(_, place)| *place)
    }

    /// Returns every source and its place, by name.
    pub fn lines(&self) -> impl Iterator<Item = (&Source, Place)> {
        self.lines.iter().map(|(source, place)| (source, *place))
    }

    /// Returns the sources that count nowhere, each once, by name: what a hub logs when it starts
    /// and a page lists.
    pub fn unmapped<'a>(&self, sources: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let is_unmapped = |source: &&str| self.place_of(source).is_none();
        sources.into_iter().filter(is_unmapped).collect()
    }

    fn search(&self, source: &str) -> Result<usize, usize> {
        self.lines
            .binary_search_by(|(line, _)| line.as_str().cmp(source))
    }
}

/// Returns the category of a source in the built-in catalogue; `None` counts zero points.
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
    fn the_standard_catalogue_holds_every_built_in_entry_and_one_line_adds_a_source() {
        let mut catalog = Catalog::standard();
        assert_eq!(catalog.lines().count(), CATALOG.len());
        for entry in CATALOG {
            let place = catalog.place_of(entry.source).unwrap();
            assert_eq!((place.category, place.decay), (entry.category, entry.decay));
        }
        let place = Place {
            category: Category::Identity,
            decay: Decay::Linear,
        };
        let source = Source::parse("a_check").unwrap();
        assert_eq!(catalog.insert(source.clone(), place), None);
        assert_eq!(catalog.insert(source, place), Some(place));
        assert_eq!(catalog.place_of("a_check"), Some(place));
        assert_eq!(catalog.lines().count(), CATALOG.len() + 1);
        assert!(catalog.lines().map(|(source, _)| source).is_sorted());
    }

    #[test]
    fn s13_unmapped_sources_are_named_once_and_in_order() {
        let seen = ["z_check", "cert_scan", "b_check", "z_check"];
        let unmapped = Catalog::standard().unmapped(seen);
        assert!(unmapped.into_iter().eq(["b_check", "z_check"]));
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
