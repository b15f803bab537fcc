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
//! Cost: adding is linear in the rows; incidents take a sort by time without comparisons, and
//! words are compared only between findings of one incident and one moment. Memory: 16 bytes a
//! finding, as much again while incidents are read, and each name once.
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

mod found;
mod incident;
mod windows;

use alloc::vec::Vec;

use monsys_core::limit::INCIDENT_FINDINGS_MAX;
use monsys_core::time::Span;
use monsys_core::{Severity, TenantId, Timestamp};

use self::found::Found;
pub use self::incident::{Finding, Incident, IncidentId, Scope};
use self::windows::Windows;
use crate::names::{Names, Sought, index};
use crate::view::{SignalView, Subject};

/// How far apart two findings may lie: 15 minutes.
pub const WINDOW: Span = Span::from_secs(900);

const WINDOW_MICROS: u64 = WINDOW.micros().unsigned_abs();

/// How many subjects one key hits in a fleet incident.
pub const FLEET_SUBJECTS_MIN: usize = 3;

/// How many findings are looked up together: the table is read for all of them before the first is
/// compared, so that waiting for memory overlaps.
const BLOCK: usize = 256;

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
                let severity = row.grade.severity().unwrap_or(Severity::Info);
                let found = Found::new(row.observed_at, severity, 0, slot);
                self.found.push(found);
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
        self.found.retain(|found| found.at() >= at);
    }

    /// Returns how many findings are kept, each as often as it was handed in.
    pub const fn n_kept(&self) -> usize {
        self.found.len()
    }

    /// Returns the incidents, by first finding, those of subjects before those of the fleet.
    /// It sorts what is kept.
    pub fn incidents(&mut self) -> Vec<Incident<'_>> {
        let mut found = Vec::new();
        found::sort_by_time(&mut self.found, &mut found);
        self.incidents_in(found)
    }

    /// Returns the incidents of sorted findings, in memory for as many.
    fn incidents_in(&self, mut found: Vec<Found>) -> Vec<Incident<'_>> {
        let mut incidents = Vec::new();
        found::group(&self.found, &mut found, self.subjects.len(), |f| f.subject);
        let is_near = |a: &Found, b: &Found| a.subject == b.subject && b.is_near(a, WINDOW_MICROS);
        let near = found.chunk_by_mut(is_near);
        incidents.extend(near.filter_map(|near| self.of_subject(near)));
        found::group(&self.found, &mut found, self.keys.len(), |f| self.key(f));
        let mut windows = Windows::new(self.subjects.len());
        for own in found.chunk_by_mut(|a, b| self.key(a) == self.key(b)) {
            for range in Windows::hit(own) {
                let near = own.get_mut(range).unwrap_or_default();
                let n_subjects = windows.n_subjects(near);
                incidents.extend(self.of_fleet(near, n_subjects));
            }
        }
        incidents.sort_unstable_by(|a, b| (a.first_at, a.scope).cmp(&(b.first_at, b.scope)));
        incidents
    }

    fn key(&self, found: &Found) -> u32 {
        self.key_of.get(index(found.slot)).copied().unwrap_or(0)
    }

    fn of_subject(&self, near: &mut [Found]) -> Option<Incident<'_>> {
        let first = near.first()?;
        if near.iter().all(|found| found.slot == first.slot) {
            return None;
        }
        let scope = Scope::Subject(self.finding(first).subject);
        self.incident(scope, near, 1)
    }

    fn of_fleet(&self, near: &mut [Found], n_subjects: usize) -> Option<Incident<'_>> {
        let key = self.finding(near.first()?).key;
        self.incident(Scope::Fleet { key }, near, n_subjects)
    }

    fn incident<'c>(
        &'c self,
        scope: Scope<'c>,
        near: &mut [Found],
        n_subjects: usize,
    ) -> Option<Incident<'c>> {
        let names = (&self.subjects, &self.slots);
        found::sort_first(near, INCIDENT_FINDINGS_MAX, names);
        let listed = near.iter().take(INCIDENT_FINDINGS_MAX);
        let findings: Vec<_> = listed.map(|found| self.finding(found)).collect();
        Some(Incident {
            id: IncidentId::of(self.tenant, scope, findings.first()?),
            scope,
            first_at: near.first()?.at(),
            last_at: near.last()?.at(),
            worst: near.iter().map(|found| found.severity()).max()?,
            n_findings: near.len(),
            n_subjects,
            findings,
        })
    }

    fn finding(&self, found: &Found) -> Finding<'_> {
        let (subject_type, subject_id) = self.subjects.words(found.subject);
        let (source, key) = self.slots.words(found.slot);
        Finding {
            observed_at: found.at(),
            subject: Subject {
                subject_type,
                subject_id,
            },
            source,
            key,
            severity: found.severity(),
        }
    }
}
