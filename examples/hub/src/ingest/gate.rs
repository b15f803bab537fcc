//! Bounds what a flood of forged requests can make the hub write.
//!
//! A finding of one kind about one agent is written at most once a second; those in between are
//! counted and written together with the next, or a second later by [`FindingGate::due`]. Nothing
//! is lost but what a crash within that second takes: the count, never the anomaly.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::AgentId;
use monsys_core::store::IngestFinding;

/// Shortest time between two writes about one agent and kind.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What was written lately, and what waits.
#[derive(Default)]
pub(crate) struct FindingGate {
    entries: Mutex<BTreeMap<(AgentId, AnomalyKind), Entry>>,
}

struct Entry {
    written_at: Instant,
    waiting: Option<IngestFinding>,
}

impl FindingGate {
    /// Takes a finding; returns what is to be written at once, if anything.
    pub(crate) fn offer(&self, found: IngestFinding, now: Instant) -> Option<IngestFinding> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (found.agent, found.finding.kind);
        let Some(entry) = entries.get_mut(&key) else {
            entries.insert(
                key,
                Entry {
                    written_at: now,
                    waiting: None,
                },
            );
            return Some(found);
        };
        let found = join(entry.waiting.take(), found);
        if now.duration_since(entry.written_at) >= WRITE_EVERY {
            entry.written_at = now;
            return Some(found);
        }
        entry.waiting = Some(found);
        None
    }

    /// Returns what has waited for a second, and forgets what is quiet.
    pub(crate) fn due(&self, now: Instant) -> Vec<IngestFinding> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        entries.retain(|_, entry| {
            if now.duration_since(entry.written_at) < WRITE_EVERY {
                return true;
            }
            let waiting = entry.waiting.take();
            entry.written_at = now;
            let is_active = waiting.is_some();
            due.extend(waiting);
            is_active
        });
        due
    }

    /// Takes back what could not be written; it waits for the next second.
    pub(crate) fn put_back(&self, found: IngestFinding, now: Instant) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (found.agent, found.finding.kind);
        let entry = entries.entry(key).or_insert_with(|| Entry {
            written_at: now,
            waiting: None,
        });
        entry.waiting = Some(join(entry.waiting.take(), found));
    }

    /// Returns all that waits: the hub is about to end.
    pub(crate) fn drain(&self) -> Vec<IngestFinding> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *entries)
            .into_values()
            .filter_map(|entry| entry.waiting)
            .collect()
    }
}

/// Counts an earlier finding on a later one; the worse of the two is kept.
fn join(earlier: Option<IngestFinding>, later: IngestFinding) -> IngestFinding {
    let Some(earlier) = earlier else { return later };
    let occurrences = earlier.occurrences.saturating_add(later.occurrences);
    let at = earlier.at.max(later.at);
    let worse = if earlier.finding.severity > later.finding.severity {
        earlier
    } else {
        later
    };
    IngestFinding {
        occurrences,
        at,
        ..worse
    }
}

#[cfg(test)]
mod tests {
    use monsys_core::id::TenantId;
    use monsys_core::time::Timestamp;
    use monsys_integrity::detect::unsigned_payload;
    use monsys_integrity::finding_signal;

    use super::*;

    fn found() -> IngestFinding {
        let at = Timestamp::parse_rfc3339("2026-11-21T00:00:00Z").unwrap();
        let (agent, finding) = (
            AgentId::from_bytes([1; 16]),
            unsigned_payload::pinned_but_absent(),
        );
        let signal = finding_signal(agent, &finding, at);
        let tenant = TenantId::from_bytes([2; 16]);
        IngestFinding {
            tenant,
            agent,
            at,
            occurrences: 1,
            finding,
            signal,
        }
    }

    #[test]
    fn a_flood_is_written_once_a_second_and_counted_whole() {
        let (gate, start) = (FindingGate::default(), Instant::now());
        let mut written = Vec::new();
        for i in 0..10_000_u64 {
            written.extend(gate.offer(found(), start + Duration::from_micros(i * 300)));
        }
        written.extend(gate.due(start + Duration::from_secs(5)));
        assert!(written.len() <= 5, "{} writes in 3 s", written.len());
        assert_eq!(written.iter().map(|f| f.occurrences).sum::<u64>(), 10_000);
        assert!(gate.due(start + Duration::from_secs(7)).is_empty());
        assert!(
            gate.entries.lock().unwrap().is_empty(),
            "a quiet agent costs nothing"
        );
    }

    #[test]
    fn what_could_not_be_written_is_tried_again() {
        let (gate, start) = (FindingGate::default(), Instant::now());
        let failed = gate.offer(found(), start).unwrap();
        gate.put_back(failed, start);
        assert!(gate.offer(found(), start).is_none());
        let due = gate.due(start + Duration::from_secs(1));
        assert_eq!(due.iter().map(|f| f.occurrences).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn what_waits_is_not_lost_at_the_end() {
        let (gate, start) = (FindingGate::default(), Instant::now());
        assert!(gate.offer(found(), start).is_some());
        assert!(gate.offer(found(), start).is_none());
        assert_eq!(gate.drain().len(), 1);
    }
}
