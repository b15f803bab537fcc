//! Trust Score: how far a subject can be trusted, from 0 to 100, with every point explained.
//!
//! What: a pure function of signals, a catalogue and `now`. [`score`] is the number, [`explain`]
//! says which signal takes how much, [`what_if`] and [`smallest_fix`] say what repairs would bring,
//! [`scores`] goes through a whole tenant. The number of categories with a live signal is
//! [`Coverage`], a second number that is never blended into the first: a silent agent has 100
//! points and no coverage. What not: reading signals, and what a value means; the writer's severity
//! is taken as it is. The [manual](crate::manual::trust) has the formulas and their reasons.
//!
//! Everything is integers, so that every platform computes the same bits; the vectors
//! `vectors/trust.json` of this crate pin them for implementations in any language.
//!
//! Cost: linear in the rows when they come in the order of a store (by subject type, subject,
//! source, key), else one sort; findings that fade are sorted too. Nothing is allocated once
//! [`Scratch`] has grown.

mod explain;
mod fix;
mod fleet;
mod rank;
mod tally;

use alloc::vec::Vec;
use core::fmt;
use core::ops::Sub;

use monsys_core::Timestamp;

use self::explain::Sorted;
pub use self::explain::{Contribution, Explanation, explain};
pub use self::fix::{Fix, FixError, smallest_fix};
pub use self::fleet::FleetTrust;
use self::tally::{PerCategory, Weighed};
use crate::catalog::{Catalog, Category};
use crate::current::{Current, Differs, Winner};
use crate::view::{SignalView, Subject};

/// Thousandths of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MilliPoints(u32);

impl MilliPoints {
    /// The best score, and the sum of all caps: 100 points.
    pub const FULL: Self = Self(100_000);

    /// Takes thousandths of a point.
    pub const fn new(milli_points: u32) -> Self {
        Self(milli_points)
    }

    /// Returns thousandths of a point.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Sub for MilliPoints {
    type Output = Self;

    /// Subtracts, down to zero.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for MilliPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

/// Of how many categories anything is known: a live signal of any severity, none included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Coverage {
    covered: PerCategory<bool>,
}

impl Coverage {
    /// Tells whether the category has a live signal.
    pub fn is_covered(self, category: Category) -> bool {
        *self.covered.at(category)
    }

    /// Returns the number of categories with a live signal, of 7.
    pub fn n_covered(self) -> usize {
        let is_covered = |category: &Category| self.is_covered(*category);
        Category::ALL.into_iter().filter(is_covered).count()
    }
}

/// The score of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrustScore {
    deductions: PerCategory<u32>,
    coverage: Coverage,
}

impl TrustScore {
    /// What a subject without any signal has: 100 points, and nothing is known.
    pub fn unobserved() -> Self {
        Self {
            deductions: PerCategory::default(),
            coverage: Coverage::default(),
        }
    }

    /// Returns 100 points minus all deductions.
    pub fn score(&self) -> MilliPoints {
        let left = |left: MilliPoints, category| left - self.deduction(category);
        Category::ALL.into_iter().fold(MilliPoints::FULL, left)
    }

    /// Returns what the findings of one category take, at most its cap.
    pub fn deduction(&self, category: Category) -> MilliPoints {
        MilliPoints(*self.deductions.at(category))
    }

    /// Returns of how many categories anything is known.
    pub const fn coverage(&self) -> Coverage {
        self.coverage
    }
}

/// Memory that scores share; it grows to the largest input and stays.
#[derive(Debug, Default)]
pub struct Scratch {
    current: Current<Standing>,
    tally: Tally,
    sorted: Sorted,
}

impl Scratch {
    /// Makes one that holds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Returns the score of one subject at a moment.
///
/// Rows of one slot (subject, source, key) count once: the newest `observed_at`, then the latest
/// arrival, also when it has expired. Rows observed after `now` count as if observed at `now`; for
/// a past moment leave them out with [`known_at`](crate::view::known_at). Rows of several subjects
/// count side by side, as findings of one thing.
///
/// ```
/// use monsys_core::{Severity, Timestamp};
/// use monsys_signals::{Catalog, Grade, SignalView, Subject, trust};
/// let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
/// let row = SignalView {
///     subject: Subject { subject_type: "agent", subject_id: "web-1" },
///     source: "cert_scan",
///     key: "cert.expiry_days",
///     grade: Grade::Graded(Severity::Medium),
///     observed_at: now,
///     ttl_seconds: None,
///     arrival: 0,
/// };
/// let trust = trust::score(&[row], &Catalog::standard(), &mut trust::Scratch::new(), now);
/// assert_eq!(trust.score().to_string(), "95.000");
/// assert_eq!(trust.coverage().n_covered(), 1);
/// # Ok::<(), monsys_core::time::TimeError>(())
/// ```
pub fn score(
    rows: &[SignalView<'_>],
    catalog: &Catalog,
    scratch: &mut Scratch,
    now: Timestamp,
) -> TrustScore {
    what_if(rows, |_| false, catalog, scratch, now)
}

/// Returns the score that the subject would have if some of its findings were repaired.
///
/// A repaired finding weighs nothing and still covers its category: the check that found it would
/// report that all is well.
pub fn what_if(
    rows: &[SignalView<'_>],
    is_fixed: impl Fn(&SignalView<'_>) -> bool,
    catalog: &Catalog,
    scratch: &mut Scratch,
    now: Timestamp,
) -> TrustScore {
    select(rows, catalog, &mut scratch.current, now);
    let tally = &mut scratch.tally;
    tally.clear();
    for winner in &scratch.current.winners {
        if let Some((category, points)) = winner.standing.counted() {
            let is_fixed = points > 0 && rows.get(winner.row).is_some_and(&is_fixed);
            tally.push(category, if is_fixed { 0 } else { points });
        }
    }
    tally.trust()
}

/// Returns the score of every subject that has a row, in the order of the subjects.
///
/// ```
/// # use monsys_core::Timestamp;
/// # use monsys_signals::{Catalog, SignalView, trust};
/// # let (rows, now): (Vec<SignalView<'_>>, _) = (Vec::new(), Timestamp::MIN);
/// let (catalog, mut scratch) = (Catalog::standard(), trust::Scratch::new());
/// for (subject, trust) in trust::scores(&rows, &catalog, &mut scratch, now) {
///     println!("{} {}", subject.subject_id, trust.score());
/// }
/// ```
pub fn scores<'r, 'a>(
    rows: &'r [SignalView<'a>],
    catalog: &Catalog,
    scratch: &'r mut Scratch,
    now: Timestamp,
) -> impl Iterator<Item = (Subject<'a>, TrustScore)> + use<'r, 'a> {
    select(rows, catalog, &mut scratch.current, now);
    let tally = &mut scratch.tally;
    let subjects = by_subject(&scratch.current.winners);
    subjects.filter_map(move |winners| {
        tally.clear();
        for winner in winners {
            if let Some((category, points)) = winner.standing.counted() {
                tally.push(category, points);
            }
        }
        let first = rows.get(winners.first()?.row)?;
        Some((first.subject, tally.trust()))
    })
}

/// Visits every subject that has a row, with its findings and with what repairs would bring it.
pub(crate) fn each_subject<'a>(
    rows: &[SignalView<'a>],
    catalog: &Catalog,
    scratch: &mut Scratch,
    now: Timestamp,
    mut visit: impl FnMut(&[(&SignalView<'a>, Category, u32)], &Repairs<'_>),
) {
    select(rows, catalog, &mut scratch.current, now);
    let mut findings = Vec::new();
    for winners in by_subject(&scratch.current.winners) {
        let tally = &mut scratch.tally;
        tally.clear();
        findings.clear();
        for winner in winners {
            let counted = winner.standing.counted();
            let Some((category, points)) = counted.filter(|(_, points)| *points > 0) else {
                continue;
            };
            tally.push(category, points);
            findings.extend(rows.get(winner.row).map(|row| (row, category, points)));
        }
        let before = tally.trust();
        let weighed = &tally.weighed;
        visit(&findings, &Repairs { before, weighed });
    }
}

/// What repairs would bring one subject.
#[derive(Debug)]
pub(crate) struct Repairs<'s> {
    before: TrustScore,
    weighed: &'s PerCategory<Weighed>,
}

impl Repairs<'_> {
    /// Returns the milli-points that come back if some of the findings are repaired.
    pub(crate) fn gain(&self, repaired: &mut Repaired) -> u64 {
        let mut gain = 0;
        for category in Category::ALL {
            let repaired = repaired.weighed.at_mut(category);
            if !repaired.is_empty() {
                let before = *self.before.deductions.at(category);
                let after = self
                    .weighed
                    .at(category)
                    .deduction_without(category, repaired);
                gain += u64::from(before.saturating_sub(after));
            }
        }
        gain
    }
}

/// Findings of one subject that might be repaired.
#[derive(Debug, Default)]
pub(crate) struct Repaired {
    weighed: PerCategory<Weighed>,
    pub(crate) n_findings: u64,
}

impl Repaired {
    pub(crate) fn clear(&mut self) {
        for category in Category::ALL {
            self.weighed.at_mut(category).clear();
        }
        self.n_findings = 0;
    }

    pub(crate) fn push(&mut self, category: Category, points: u32) {
        self.weighed.at_mut(category).push(points);
        self.n_findings += 1;
    }
}

/// The winners, cut where the subject changes.
fn by_subject(winners: &[Winner<Standing>]) -> impl Iterator<Item = &[Winner<Standing>]> {
    winners.chunk_by(|_, next| next.differs != Differs::Subject)
}

/// What a row that counts is worth at a moment. Closed.
#[derive(Debug, Clone, Copy)]
enum Standing {
    /// It holds no longer.
    Expired,
    /// Its source is in no category.
    Unmapped,
    /// It takes up to so many milli-points in a category.
    Counted(Category, u32),
}

impl Standing {
    const fn counted(self) -> Option<(Category, u32)> {
        match self {
            Self::Counted(category, points) => Some((category, points)),
            Self::Expired | Self::Unmapped => None,
        }
    }
}

/// Chooses the rows that count and weighs them.
fn select(
    rows: &[SignalView<'_>],
    catalog: &Catalog,
    current: &mut Current<Standing>,
    now: Timestamp,
) {
    let mut place = None;
    current.select(rows, |view, differs| {
        if differs != Differs::Key {
            place = catalog.place_of(view.source);
        }
        match place {
            _ if !view.is_live(now) => Standing::Expired,
            None => Standing::Unmapped,
            Some(place) => Standing::Counted(place.category, tally::points(view, place, now)),
        }
    });
}

/// What is known of one subject.
#[derive(Debug, Default)]
struct Tally {
    weighed: PerCategory<Weighed>,
    coverage: Coverage,
}

impl Tally {
    fn clear(&mut self) {
        for category in Category::ALL {
            self.weighed.at_mut(category).clear();
        }
        self.coverage = Coverage::default();
    }

    fn push(&mut self, category: Category, points: u32) {
        *self.coverage.covered.at_mut(category) = true;
        self.weighed.at_mut(category).push(points);
    }

    fn trust(&mut self) -> TrustScore {
        let mut trust = TrustScore::unobserved();
        trust.coverage = self.coverage;
        for category in Category::ALL {
            if trust.coverage.is_covered(category) {
                let weighed = self.weighed.at_mut(category);
                *trust.deductions.at_mut(category) = weighed.deduction(category);
            }
        }
        trust
    }
}
