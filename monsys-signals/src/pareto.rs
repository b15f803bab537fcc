//! Compliance Pareto: which control brings the fleet the most points.
//!
//! What: for each control the points that the scores of all subjects would gain if every live
//! finding under it were repaired, sorted; which few controls bring four fifths of it; and which
//! are best for their effort. A gain is a difference of two scores, as
//! [`what_if`](crate::trust::what_if) gives it, and no sum of weights: where a category is far
//! beyond its cap, one control alone may bring nothing. So gains do not add up, neither of two
//! controls nor of one under which a finding stands twice. What not: whether an organisation
//! complies.
//!
//! Cost: linear in the rows when they come in the order of a store, else one sort; findings that
//! fade are sorted for each subject.

use alloc::vec::Vec;
use core::cmp::Reverse;

use monsys_core::Timestamp;

use crate::catalog::Catalog;
use crate::controls::{Control, Controls, Walk};
use crate::trust::{self, Repaired, Repairs, Scratch};
use crate::view::SignalView;

/// The controls of a tenant with live findings, those that bring most first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pareto<'c> {
    items: Vec<Item<'c>>,
    n_vital: usize,
    n_uncontrolled: usize,
}

/// What one control would bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item<'c> {
    /// The control.
    pub control: &'c Control,
    /// The milli-points that all subjects together would gain.
    pub gain: u64,
    /// How many live findings stand under it.
    pub n_findings: u64,
    /// On how many subjects.
    pub n_subjects: u64,
    /// What the repairs take: findings times the effort of one.
    pub effort: u64,
    /// The part of all gains that this one and those before it have, in thousandths, rounded down;
    /// 1000 at the last. If nothing brings anything, 1000 everywhere.
    pub cumulative_permille: u32,
    /// Whether no other control brings at least as much for at most this effort, and one of them
    /// strictly.
    pub is_efficient: bool,
}

impl<'c> Pareto<'c> {
    /// Returns every control with a live finding, by gain falling, then by identifier.
    pub fn items(&self) -> &[Item<'c>] {
        &self.items
    }

    /// Returns the vital few: the shortest beginning that has at least 800 thousandths of all
    /// gains. None if there is nothing to gain.
    pub fn vital(&self) -> &[Item<'c>] {
        self.items.get(..self.n_vital).unwrap_or_default()
    }

    /// Returns how many live findings stand under no control.
    pub const fn n_uncontrolled(&self) -> usize {
        self.n_uncontrolled
    }
}

/// Returns what each control would bring the subjects of a tenant. Rows are read as by
/// [`score`](crate::trust::score); findings of unmapped sources bring nothing and are not counted.
///
/// ```
/// use monsys_core::{Severity, Timestamp};
/// use monsys_signals::controls::Controls;
/// use monsys_signals::{Catalog, Grade, SignalView, Subject, pareto, trust};
/// let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
/// let row = |source, key, severity| SignalView {
///     subject: Subject { subject_type: "agent", subject_id: "web-1" },
///     source, key, grade: Grade::Graded(severity),
///     observed_at: now, ttl_seconds: None, arrival: 0,
/// };
/// let rows = [
///     row("backup_check", "backup.age_hours", Severity::Medium),
///     row("cert_scan", "cert.expiry_days", Severity::Low),
/// ];
/// let (catalog, controls) = (Catalog::standard(), Controls::nist_csf_2());
/// let pareto = pareto::pareto(&rows, &catalog, &controls, &mut trust::Scratch::new(), now);
/// let [backups, transit] = pareto.items() else { panic!("two controls") };
/// assert_eq!((&*backups.control.id, backups.gain), ("PR.DS-11", 5_000));
/// assert_eq!((&*transit.control.id, transit.cumulative_permille), ("PR.DS-02", 1_000));
/// # Ok::<(), monsys_core::time::TimeError>(())
/// ```
pub fn pareto<'c>(
    rows: &[SignalView<'_>],
    catalog: &Catalog,
    controls: &'c Controls,
    scratch: &mut Scratch,
    now: Timestamp,
) -> Pareto<'c> {
    let mut sums: Vec<Sum> = Vec::new();
    sums.resize_with(controls.controls().len(), Sum::default);
    let mut n_uncontrolled = 0;
    let mut touched: Vec<usize> = Vec::new();
    let mut walk = Walk::new(controls);
    trust::each_subject(rows, catalog, scratch, now, |findings, repairs| {
        for &(row, category, points) in findings {
            let places = walk.places_of(row.key);
            n_uncontrolled += usize::from(places.is_empty());
            for place in places {
                if let Some(sum) = sums.get_mut(*place) {
                    if sum.repaired.n_findings == 0 {
                        touched.push(*place);
                    }
                    sum.repaired.push(category, points);
                }
            }
        }
        for place in touched.drain(..) {
            if let Some(sum) = sums.get_mut(place) {
                sum.close(repairs);
            }
        }
    });
    let items = controls.controls().iter().zip(&sums);
    let items = items.filter(|(_, sum)| sum.n_findings > 0);
    rank(
        items.map(|(control, sum)| sum.item(control)).collect(),
        n_uncontrolled,
    )
}

/// What one control would bring the subjects seen so far.
#[derive(Debug, Default)]
struct Sum {
    gain: u64,
    n_findings: u64,
    n_subjects: u64,
    /// Its findings of the subject at hand.
    repaired: Repaired,
}

impl Sum {
    /// Adds the findings of the subject at hand.
    fn close(&mut self, repairs: &Repairs<'_>) {
        self.n_subjects += 1;
        self.n_findings += self.repaired.n_findings;
        self.gain += repairs.gain(&mut self.repaired);
        self.repaired.clear();
    }

    fn item<'c>(&self, control: &'c Control) -> Item<'c> {
        Item {
            control,
            gain: self.gain,
            n_findings: self.n_findings,
            n_subjects: self.n_subjects,
            effort: self.n_findings.saturating_mul(u64::from(control.effort)),
            cumulative_permille: 1_000,
            is_efficient: false,
        }
    }
}

/// Sorts the items and says of each how far it reaches.
fn rank(mut items: Vec<Item<'_>>, n_uncontrolled: usize) -> Pareto<'_> {
    items.sort_by(|a, b| (Reverse(a.gain), &a.control.id).cmp(&(Reverse(b.gain), &b.control.id)));
    let total: u64 = items.iter().map(|item| item.gain).sum();
    let mut gained = 0;
    let mut n_vital = 0;
    for item in &mut items {
        // Rounding down never makes 800 of what is less.
        n_vital += usize::from(gained * 1_000 < total * 800);
        gained += item.gain;
        let permille = (gained * 1_000).checked_div(total).unwrap_or(1_000);
        item.cumulative_permille = u32::try_from(permille).unwrap_or(1_000);
    }
    mark_efficient(&mut items);
    Pareto {
        items,
        n_vital,
        n_uncontrolled,
    }
}

/// Goes through gains from the highest: an item is dominated if one before it takes no more effort,
/// unless both have the same gain and the same effort.
fn mark_efficient(items: &mut [Item<'_>]) {
    let mut least = u64::MAX;
    for same in items.chunk_by_mut(|a, b| a.gain == b.gain) {
        let own = same
            .iter()
            .map(|item| item.effort)
            .min()
            .unwrap_or(u64::MAX);
        for item in same.iter_mut() {
            item.is_efficient = item.effort == own && own < least;
        }
        least = least.min(own);
    }
}
