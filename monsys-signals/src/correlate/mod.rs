//! Anomaly Correlation: which findings belong together.
//!
//! What: findings (severity low or worse) of one subject, each at most 15 minutes after the one
//! before it, are one incident if they come from at least two sources or keys. One key that hits at
//! least three subjects within 15 minutes is a fleet incident; windows that share a finding are
//! joined. A finding may be in one incident of each kind. What not: causes, and alerts.
//!
//! The incidents are a function of the set of findings: order, batches and findings handed in
//! twice change nothing. An incident is named by its first finding, so that it keeps its name while
//! it grows; a finding that arrives late and lies before the first gives it another.
//!
//! Cost: adding is linear in the rows; incidents take a sort by time within each subject and each
//! key. Memory: 24 bytes a finding, and each name once.
//!
//! ```
//! use monsys_core::{Severity, TenantId, Timestamp};
//! use monsys_signals::correlate::{Correlator, Scope};
//! use monsys_signals::{Grade, SignalView, Subject};
//! let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
//! let row = |subject_id| SignalView {
//!     subject: Subject { subject_type: "agent", subject_id },
//!     source: "integrity_check",
//!     key: "integrity.flat_metrics",
//!     grade: Grade::Graded(Severity::High),
//!     observed_at: now,
//!     ttl_seconds: None,
//!     arrival: 0,
//! };
//! let mut correlator = Correlator::new(TenantId::from_bytes([7; 16]));
//! correlator.add(&[row("web-1"), row("web-2"), row("web-3")]);
//! let incidents = correlator.incidents();
//! assert_eq!(incidents[0].scope, Scope::Fleet { key: "integrity.flat_metrics" });
//! assert_eq!(incidents[0].n_subjects, 3);
//! # Ok::<(), monsys_core::time::TimeError>(())
//! ```

mod incident;

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use monsys_core::limit::INCIDENT_FINDINGS_MAX;
use monsys_core::time::Span;
use monsys_core::{Severity, TenantId, Timestamp};

pub use self::incident::{Finding, Incident, IncidentId, Scope};
use crate::names::{Names, Sought, index};
use crate::view::{SignalView, Subject};

/// How far apart two findings may lie: 15 minutes.
pub const WINDOW: Span = Span::from_secs(900);

/// How many subjects one key hits in a fleet incident.
pub const FLEET_SUBJECTS_MIN: usize = 3;

/// How many findings are looked up together: the table is read for all of them before the first is
/// compared, so that waiting for memory overlaps.
const BLOCK: usize = 64;

/// The findings of one tenant.
#[derive(Debug)]
pub struct Correlator {
    tenant: TenantId,
    subjects: Names,
    /// Source and key.
    slots: Names,
    keys: Names,
    /// The key of each slot.
    key_of: Vec<u32>,
    found: Vec<Found>,
}

/// A finding by the numbers of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    at: Timestamp,
    subject: u32,
    slot: u32,
    severity: Severity,
}

impl Correlator {
    /// Makes one without findings.
    pub fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            subjects: Names::default(),
            slots: Names::default(),
            keys: Names::default(),
            key_of: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Takes the findings among signals of the tenant; the others are left out.
    pub fn add(&mut self, rows: &[SignalView<'_>]) {
        self.found.reserve(rows.len());
        let mut sought = Vec::with_capacity(BLOCK);
        let findings = rows.iter().filter(|row| row.grade.is_finding());
        let mut findings = findings.peekable();
        while findings.peek().is_some() {
            sought.clear();
            let start = self.found.len();
            for row in findings.by_ref().take(BLOCK) {
                let Subject {
                    subject_type,
                    subject_id,
                } = row.subject;
                sought.push(Sought::new(subject_type, subject_id));
                let slot = self.slots.number(row.source, row.key);
                if index(slot) == self.key_of.len() {
                    self.key_of.push(self.keys.number("key", row.key));
                }
                self.found.push(Found {
                    at: row.observed_at,
                    subject: 0,
                    slot,
                    severity: row.grade.severity().unwrap_or(Severity::Info),
                });
            }
            let mut block = self.found.iter_mut().skip(start);
            self.subjects.numbers(&mut sought, |number| {
                if let Some(found) = block.next() {
                    found.subject = number;
                }
            });
        }
    }

    /// Drops the findings that were observed before a moment; their names stay. An incident that
    /// reaches across it loses its beginning and with it its name, so forget what is older than
    /// everything shown.
    pub fn forget_before(&mut self, at: Timestamp) {
        self.found.retain(|found| found.at >= at);
    }

    /// Returns how many findings are kept, each as often as it was handed in.
    pub const fn n_kept(&self) -> usize {
        self.found.len()
    }

    /// Returns the incidents, by first finding, those of subjects before those of the fleet.
    pub fn incidents(&self) -> Vec<Incident<'_>> {
        let (subjects, findings) = self.by_subject();
        let mut incidents = Vec::new();
        for range in subjects {
            let own = findings.get(range).unwrap_or_default();
            for near in own.chunk_by(|a, b| b.at.since(a.at) <= WINDOW) {
                incidents.extend(self.of_subject(near));
            }
        }
        let (keys, mut findings) = group(&findings, self.keys.len(), |found| self.key(found));
        let mut windows = Windows::new(self.subjects.len());
        for range in keys {
            let own = findings.get_mut(range).unwrap_or_default();
            own.sort_unstable_by(|a, b| self.by_time(a, b));
            for range in windows.hit(own) {
                let near = own.get(range).unwrap_or_default();
                incidents.extend(self.of_fleet(near, windows.n_subjects(near)));
            }
        }
        incidents.sort_unstable_by(|a, b| (a.first_at, a.scope).cmp(&(b.first_at, b.scope)));
        incidents
    }

    /// The findings, each once, by subject and time; and where each subject lies.
    fn by_subject(&self) -> (Vec<Range<usize>>, Vec<Found>) {
        let (ranges, mut findings) = group(&self.found, self.subjects.len(), |found| {
            index(found.subject)
        });
        for range in ranges {
            let own = findings.get_mut(range).unwrap_or_default();
            own.sort_unstable_by(|a, b| self.by_time(a, b).then(b.severity.cmp(&a.severity)));
        }
        // Of findings that were handed in twice the worse one stays: it was sorted first.
        let is_same = |a: &Found, b: &Found| (a.subject, a.slot, a.at) == (b.subject, b.slot, b.at);
        findings.dedup_by(|a, b| is_same(a, b));
        let mut ranges = Vec::with_capacity(self.subjects.len());
        let mut start = 0;
        for own in findings.chunk_by(|a, b| a.subject == b.subject) {
            ranges.push(start..start + own.len());
            start += own.len();
        }
        (ranges, findings)
    }

    fn by_time(&self, a: &Found, b: &Found) -> Ordering {
        a.at.cmp(&b.at)
            .then_with(|| self.subjects.cmp(a.subject, b.subject))
            .then_with(|| self.slots.cmp(a.slot, b.slot))
    }

    fn key(&self, found: &Found) -> usize {
        self.key_of.get(index(found.slot)).copied().map_or(0, index)
    }

    fn of_subject(&self, near: &[Found]) -> Option<Incident<'_>> {
        let first = near.first()?;
        if near.iter().all(|found| found.slot == first.slot) {
            return None;
        }
        let scope = Scope::Subject(self.finding(first).subject);
        self.incident(scope, near, 1)
    }

    fn of_fleet(&self, near: &[Found], n_subjects: usize) -> Option<Incident<'_>> {
        let key = self.finding(near.first()?).key;
        self.incident(Scope::Fleet { key }, near, n_subjects)
    }

    fn incident<'c>(
        &'c self,
        scope: Scope<'c>,
        near: &[Found],
        n_subjects: usize,
    ) -> Option<Incident<'c>> {
        let listed = near.iter().take(INCIDENT_FINDINGS_MAX);
        let findings: Vec<_> = listed.map(|found| self.finding(found)).collect();
        Some(Incident {
            id: IncidentId::of(self.tenant, scope, findings.first()?),
            scope,
            first_at: near.first()?.at,
            last_at: near.last()?.at,
            worst: near.iter().map(|found| found.severity).max()?,
            n_findings: near.len(),
            n_subjects,
            findings,
        })
    }

    fn finding(&self, found: &Found) -> Finding<'_> {
        let (subject_type, subject_id) = self.subjects.words(found.subject);
        let (source, key) = self.slots.words(found.slot);
        Finding {
            observed_at: found.at,
            subject: Subject {
                subject_type,
                subject_id,
            },
            source,
            key,
            severity: found.severity,
        }
    }
}

/// Brings findings of one group together, in linear time; and says where each group lies.
fn group(
    found: &[Found],
    n_groups: usize,
    group_of: impl Fn(&Found) -> usize,
) -> (Vec<Range<usize>>, Vec<Found>) {
    let mut ends = vec![0_usize; n_groups];
    for found in found {
        if let Some(end) = ends.get_mut(group_of(found)) {
            *end += 1;
        }
    }
    let mut start = 0;
    for end in &mut ends {
        start += core::mem::replace(end, start);
    }
    let starts = ends.clone();
    let mut grouped = found.to_vec();
    for found in found {
        if let Some(end) = ends.get_mut(group_of(found)) {
            if let Some(place) = grouped.get_mut(*end) {
                *place = *found;
            }
            *end += 1;
        }
    }
    let ranges = starts.into_iter().zip(ends).map(|(start, end)| start..end);
    (ranges.collect(), grouped)
}

/// Finds the windows in which one key hits enough subjects.
struct Windows {
    /// How often each subject is in the window; all 0 between two calls.
    n_hits: Vec<u32>,
}

impl Windows {
    fn new(n_subjects: usize) -> Self {
        Self {
            n_hits: vec![0; n_subjects],
        }
    }

    /// Returns where the findings of a key, by time, lie in windows that count; windows that share
    /// a finding are one.
    fn hit(&mut self, own: &[Found]) -> Vec<Range<usize>> {
        let mut hits: Vec<Range<usize>> = Vec::new();
        let (mut end, mut n_subjects) = (0, 0);
        for (start, first) in own.iter().enumerate() {
            while let Some(next) = own
                .get(end)
                .filter(|next| next.at.since(first.at) <= WINDOW)
            {
                n_subjects += usize::from(self.enter(next));
                end += 1;
            }
            if n_subjects >= FLEET_SUBJECTS_MIN {
                match hits.last_mut().filter(|hit| start < hit.end) {
                    Some(hit) => hit.end = end,
                    None => hits.push(start..end),
                }
            }
            n_subjects -= usize::from(self.leave(first));
        }
        hits
    }

    /// Counts the subjects of findings.
    fn n_subjects(&mut self, near: &[Found]) -> usize {
        let n_subjects = near.iter().filter(|found| self.enter(found)).count();
        near.iter().for_each(|found| {
            self.leave(found);
        });
        n_subjects
    }

    /// Says whether the subject was not in the window before.
    fn enter(&mut self, found: &Found) -> bool {
        self.n_hits
            .get_mut(index(found.subject))
            .is_some_and(|n| core::mem::replace(n, *n + 1) == 0)
    }

    /// Says whether the subject is in the window no longer.
    fn leave(&mut self, found: &Found) -> bool {
        self.n_hits.get_mut(index(found.subject)).is_some_and(|n| {
            *n -= 1;
            *n == 0
        })
    }
}
