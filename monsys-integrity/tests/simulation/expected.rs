//! What the hub must find, role by role: written down from the documented rules before the first
//! run, with the arithmetic. Whatever is not here must not be found.
//!
//! Cycles of a day: 00:00, 00:10 … 03:00, 03:15, 03:25 … 11:55, 14:00, 14:10 … 23:50 (see
//! `script`). A finding of a cycle is detected and closed at the very time of a cycle; a finding of
//! ingest within a second of the request that reveals it.

use monsys_core::{AnomalyKind, Severity};

use crate::script::{DAY, Role, hm};
use AnomalyKind::{
    AgentCloned, AgentSilent, CadenceAnomaly, ClockDrift, DetectorStalled, ExactRamp, FlatMetrics,
    LoopedRecording, ReplayedSeries, SequenceRegress, SignatureInvalid, UnsignedPayload,
    VersionDowngrade, VersionUnparseable,
};

/// One anomaly. Times are of the day of the incident.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) kind: AnomalyKind,
    pub(crate) severity: Severity,
    /// The earliest and the latest second of its detection.
    pub(crate) opened: (i64, i64),
    pub(crate) end: End,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is still open.
    Open,
    /// Its check passes in the cycle of this second.
    Auto(i64),
    /// A person closes it.
    Manual(i64),
}

/// Roles whose incident begins with their first payload: it is the first day whatever the copy.
pub(crate) fn is_from_the_start(role: Role) -> bool {
    matches!(
        role,
        Role::Every5sAlways
            | Role::Every60sAlways
            | Role::ForgerAlways
            | Role::Idle
            | Role::Unpinned
            | Role::PinnedLate
    )
}

/// What the hub finds of itself each day: 125 min between 11:55 and 14:00 are eleven cycles too few,
/// and 14:10 is in time. The restart delays a cycle by 5 min, and none is missed.
pub(crate) fn of_the_hub() -> Expected {
    let stalled = (DetectorStalled, Severity::Medium);
    by_cycle(stalled, hm(14, 0), End::Auto(hm(14, 10)))
}

/// The anomalies of a role in order of their detection, in the standard preset.
pub(crate) fn standard(role: Role) -> Vec<Expected> {
    match role {
        // Nobody lies, and nothing of what happens to them is dishonest:
        // - 40 % loss stays below the half that would move the median;
        // - one gap of 8 h, or standby with 80 % of the time asleep, moves no median;
        // - what a spool drains is measured by its sending and left out of the cadence;
        // - positions of lost counters and of a backup are taken under a new epoch;
        // - an upgrade is higher, "banana" says nothing;
        // - what was delivered before changes nothing when it comes again.
        Role::Honest
        | Role::Loss10
        | Role::Loss40
        | Role::Suspended
        | Role::Standby
        | Role::CutOff24h
        | Role::Restarted
        | Role::CountersLost
        | Role::BackupRestored
        | Role::Upgraded
        | Role::Banana
        | Role::SentTwice
        | Role::Replayed => vec![],
        // Six kinds do not know silence.
        Role::Silent => vec![],
        // Limits of the six kinds: values that move pass, wherever they come from.
        Role::Looped | Role::PlaysBack | Role::Ramp => vec![],
        // Limit: in step, every gap is near 7.5 s, above 7 s.
        Role::TwoClones => vec![],
        // Limit: 50 min of 100 % leave ten honest minutes in every hour.
        Role::Saturated50min => vec![],
        Role::RolledBack
        | Role::RolledForward
        | Role::RollbackAccepted
        | Role::RolledBackTwice
        | Role::RolledBackThenBanana => versions(role),
        Role::ClockBehind | Role::ClockAhead | Role::FalseBacklog | Role::ClockSlow => clocks(role),
        Role::ThreeClones
        | Role::Every5s
        | Role::Every5sAlways
        | Role::Every60s
        | Role::Every60sAlways => cadences(role),
        Role::Forger
        | Role::ForgerStops
        | Role::ForgerFallsSilent
        | Role::ForgerAlways
        | Role::ForgerWithJitter
        | Role::Saturated90min
        | Role::Idle => flatness(role),
        Role::StolenToken
        | Role::StolenTokenOfSilent
        | Role::WrongKey
        | Role::Unpinned
        | Role::PinnedLate => signatures(role),
    }
}

/// The anomalies of a role in the strict preset, without silence and positions: those of the standard
/// one, of which the worst latch, and those of the other opt-in kinds. What two agents share is not
/// simulated.
fn strict_of_payloads(role: Role) -> Vec<Expected> {
    let mut expected = standard(role);
    for anomaly in &mut expected {
        let is_latched = match anomaly.kind {
            SignatureInvalid | VersionDowngrade => true,
            UnsignedPayload => anomaly.severity >= Severity::High,
            _ => false,
        };
        if is_latched && matches!(anomaly.end, End::Auto(_)) {
            anomaly.end = End::Open;
        }
    }
    let medium = |kind, at, end| by_cycle((kind, Severity::Medium), at, end);
    let high = |kind, at, end| by_cycle((kind, Severity::High), at, end);
    match role {
        // From the first payload that says so.
        Role::Banana => expected.push(medium(VersionUnparseable, hm(5, 5), End::Open)),
        Role::RolledBackThenBanana => {
            expected.push(medium(VersionUnparseable, hm(6, 5), End::Open));
        }
        Role::Looped => {
            // 20 of a second round of 40 are there after 60 · 15 s: 05:16, so 05:25. After 08:01 the
            // window holds (3,600 − y)/15 values of the recording, fewer than 60 from y > 2,700 on:
            // 08:46, so 08:55.
            expected.push(high(ReplayedSeries, hm(5, 25), End::Auto(hm(8, 55))));
            // The whole window, as for flatness: 06:05, and one honest value ends it: 08:05.
            expected.push(high(LoopedRecording, hm(6, 5), End::Auto(hm(8, 5))));
        }
        Role::PlaysBack => {
            // 20 values take 5 min: 05:06, so 05:15. Fewer than 20 of what was before 05:01 are in
            // the window from 05:56 on: 06:05.
            expected.push(high(ReplayedSeries, hm(5, 15), End::Auto(hm(6, 5))));
        }
        // The whole window, as for flatness.
        Role::Ramp => expected.push(high(ExactRamp, hm(6, 5), End::Auto(hm(8, 5)))),
        _ => {}
    }
    expected
}

/// The anomalies of a role in the strict preset.
pub(crate) fn strict(role: Role) -> Vec<Expected> {
    let mut expected = strict_without_silence(role);
    expected.extend(silence(role));
    expected.sort_by_key(|e| e.opened);
    expected
}

/// The same when nobody looks for silence.
pub(crate) fn strict_without_silence(role: Role) -> Vec<Expected> {
    let mut expected = strict_of_payloads(role);
    expected.extend(positions(role));
    expected.sort_by_key(|e| e.opened);
    expected
}

/// Nothing for more than 5 min at the time of a cycle. When the hub was away it is everybody, and so
/// nobody.
fn silence(role: Role) -> Vec<Expected> {
    let medium = |at, end| by_cycle((AgentSilent, Severity::Medium), at, end);
    match role {
        // 05:05 is 4 min later, 05:15 is 14 min later; and so for 06:31 and 04:31.
        Role::Silent => vec![medium(hm(5, 15), End::Open)],
        Role::ForgerFallsSilent => vec![medium(hm(6, 45), End::Open)],
        Role::StolenTokenOfSilent => vec![medium(hm(4, 45), End::Open)],
        // The last payload came before 03:30:00, more than 5 min before 03:35:00. Awake at 11:30.
        Role::Suspended => vec![medium(hm(3, 35), End::Auto(hm(11, 35)))],
        // Cut off at 02:00. Back at 02:00, it tries again within 5 min: 02:10.
        Role::CutOff24h => vec![medium(hm(2, 10), End::Auto(DAY + hm(2, 10)))],
        // Awake 05:01 to 05:04, 05:16 to 05:19 and so on: silent at 05:15 and 05:25 (6 min), heard at
        // 05:35, and the same every half hour until 11:01.
        Role::Standby => (0..12)
            .map(|turn| hm(5, 15 + 30 * turn))
            .map(|at| medium(at, End::Auto(at + hm(0, 20))))
            .collect(),
        _ => vec![],
    }
}

/// Refused positions, at ingest; the second cycle after the last one is clean.
fn positions(role: Role) -> Vec<Expected> {
    let at_ingest = |kind, severity, (from, to), end| Expected {
        kind,
        severity,
        opened: (from, to),
        end,
    };
    let regress = |opened, end| at_ingest(SequenceRegress, Severity::Critical, opened, end);
    match role {
        // The first payload of the old spool is refused, and 05:05 saw it.
        Role::BackupRestored => {
            vec![regress((hm(5, 1), hm(5, 1) + 16), End::Auto(hm(5, 15)))]
        }
        // The copy begins within 23 s with a position of the first; 15:10 saw it. From then on they
        // take each other's epoch every 7.5 or 5 s: the fourth refusal is within a minute. The last
        // is after 18:01, 18:10 saw it.
        Role::TwoClones | Role::ThreeClones => {
            let begin = hm(15, 1);
            let cloned = (begin, begin + 60);
            vec![
                regress((begin, begin + 31), End::Auto(hm(15, 20))),
                at_ingest(AgentCloned, Severity::High, cloned, End::Auto(hm(18, 20))),
            ]
        }
        _ => vec![],
    }
}

/// The first payload after 05:01:00 is there by 05:01:16 and says the lower version: 05:05.
fn versions(role: Role) -> Vec<Expected> {
    let high = |at, end| by_cycle((VersionDowngrade, Severity::High), at, end);
    let first = hm(5, 5);
    match role {
        // 0.2.0 again from 09:01: 09:05.
        Role::RolledForward => vec![high(first, End::Auto(hm(9, 5)))],
        // 0.1.9 is the baseline from 07:00 on.
        Role::RollbackAccepted => vec![high(first, End::Manual(hm(7, 0)))],
        // 0.1.8 is lower than that: a second anomaly.
        Role::RolledBackTwice => vec![
            high(first, End::Manual(hm(7, 0))),
            high(hm(9, 5), End::Open),
        ],
        // RolledBack stays lower; "banana" says nothing and so closes nothing.
        _ => vec![high(first, End::Open)],
    }
}

/// The mean of 20 readings is above 300 s when ten of them are off by 600 s and the others by at
/// most 2 s: ten readings later at the earliest, eleven at the latest (165 s + 15 s of phase).
fn clocks(role: Role) -> Vec<Expected> {
    let high = |at, end| by_cycle((ClockDrift, Severity::High), at, end);
    match role {
        // 05:01 + 180 s = 05:04 < 05:05. Right again from 07:01; by 07:05 at least 15 of 20 are.
        // What lies in no gap is live, whatever its times say: a false backlog is a wrong clock.
        Role::ClockBehind | Role::ClockAhead | Role::FalseBacklog => {
            vec![high(hm(5, 5), End::Auto(hm(7, 5)))]
        }
        // After t seconds it is t/60 s behind; the newest 20 are 150 s old in the mean (±8 s). Above
        // 300 s (less 2 s of its own offset and latency either way) from t = 18,150 s ± 130 s:
        // 16:01 + 5 h 02:30 ± 02:10 = 21:03:30 ± 02:10, so the cycle of 21:10. Set right at 23:01;
        // at 23:10 all 20 are right.
        _ => vec![high(hm(21, 10), End::Auto(hm(23, 10)))],
    }
}

/// The median falls below 7 s, or rises above 23 s, when more than half of the gaps of the last
/// hour do. After x seconds of another interval i, x/i of its gaps stand against (3,600 − x)/15.
fn cadences(role: Role) -> Vec<Expected> {
    let medium = |at, end| by_cycle((CadenceAnomaly, Severity::Medium), at, end);
    match role {
        // i = 5: x > 900, after 05:16. At 05:15 it is 168 to 184, at 05:25 288 to 144.
        // Back at 09:01, y/15 against (3,600 − y)/5: y > 2,700, after 09:46. At 09:55.
        Role::Every5s => vec![medium(hm(5, 25), End::Auto(hm(9, 55)))],
        // Three in 15 s is the same: after 15:16, at 15:20 (228 to 164; 15:10: 108 to 204). Copies
        // stop at 18:01: after 18:46, at 18:50 (y = 2,940: 196 to 132).
        Role::ThreeClones => vec![medium(hm(15, 20), End::Auto(hm(18, 50)))],
        // i = 60: x > 2,880, after 05:49. At 05:45 it is 44 to 64, at 05:55 54 to 24.
        // Back at 09:01: y/15 > (3,600 − y)/60, y > 720, after 09:13: at 09:15, 56 to 46.
        Role::Every60s => vec![medium(hm(5, 55), End::Auto(hm(9, 15)))],
        // 119 gaps in the first cycle.
        Role::Every5sAlways => vec![medium(hm(0, 10), End::Open)],
        // 20 gaps need 21 payloads: 20 min + phase. Not at 00:20, at 00:30.
        _ => vec![medium(hm(0, 30), End::Open)],
    }
}

/// Nothing moves for an hour: (now − 1 h, now] holds no honest value any more.
fn flatness(role: Role) -> Vec<Expected> {
    let high = |at, end| by_cycle((FlatMetrics, Severity::High), at, end);
    // The last honest value came by 05:01:00 and 0.2 s of network: at 06:05 it is out, at 05:55 it
    // was in.
    let first = hm(6, 5);
    match role {
        // One honest value is enough to move the window: 08:01 + 15 s, so 08:05.
        Role::ForgerStops => vec![high(first, End::Auto(hm(8, 5)))],
        // 06:31 + 15 s, so 06:35.
        Role::Saturated90min => vec![high(first, End::Auto(hm(6, 35)))],
        // 30 samples take 7.5 min: the first cycle.
        Role::ForgerAlways | Role::Idle => vec![high(hm(0, 10), End::Open)],
        // Forger goes on; half a thousandth either way is a deviation of 0.0003; an empty window
        // says nothing and closes nothing.
        _ => vec![high(first, End::Open)],
    }
}

/// Written at ingest. One whole cycle without an occurrence and with a verified payload closes: the
/// second cycle after the last occurrence.
fn signatures(role: Role) -> Vec<Expected> {
    let at_ingest = |kind, severity, opened, end| Expected {
        kind,
        severity,
        opened,
        end,
    };
    let attack = (hm(5, 1), hm(5, 1) + 1);
    // The last attempt comes at 05:31; 05:35 saw it, 05:45 is clean.
    let clean = End::Auto(hm(5, 45));
    let first_payload = (0, 16);
    match role {
        Role::StolenToken => vec![at_ingest(UnsignedPayload, Severity::High, attack, clean)],
        // Nothing verified comes any more: nothing proves that it is over.
        Role::StolenTokenOfSilent => {
            vec![at_ingest(
                UnsignedPayload,
                Severity::High,
                attack,
                End::Open,
            )]
        }
        Role::WrongKey => vec![at_ingest(
            SignatureInvalid,
            Severity::Critical,
            attack,
            clean,
        )],
        // Pinned at 05:01, 05:05 still saw an unsigned one, 05:15 is clean.
        Role::PinnedLate => vec![at_ingest(
            UnsignedPayload,
            Severity::Medium,
            first_payload,
            End::Auto(hm(5, 15)),
        )],
        _ => vec![at_ingest(
            UnsignedPayload,
            Severity::Medium,
            first_payload,
            End::Open,
        )],
    }
}

const fn by_cycle((kind, severity): (AnomalyKind, Severity), at: i64, end: End) -> Expected {
    Expected {
        kind,
        severity,
        opened: (at, at),
        end,
    }
}

impl Expected {
    /// The same on a later day, as seen by a run that ends at `end_s`.
    pub(crate) fn on_day(self, day_s: i64, end_s: i64) -> Option<Self> {
        let (from, to) = self.opened;
        let end = match self.end {
            End::Auto(s) if s + day_s <= end_s => End::Auto(s + day_s),
            End::Manual(s) if s + day_s <= end_s => End::Manual(s + day_s),
            End::Open | End::Auto(_) | End::Manual(_) => End::Open,
        };
        let opened = (from + day_s, to + day_s);
        (opened.0 <= end_s).then_some(Self {
            opened,
            end,
            ..self
        })
    }
}

const _: () = assert!(DAY == hm(24, 0));
