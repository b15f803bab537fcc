//! Facts for tests: an honest agent, and times around one `now`.

use alloc::vec;
use alloc::vec::Vec;

use monsys_core::anomaly::{Finding, OpenAnomaly};
use monsys_core::facts::{
    AgentFacts, ClockFacts, ClockReading, MetricRow, MetricWindow, VersionFacts, WindowBounds,
};
use monsys_core::id::AnomalyId;
use monsys_core::time::{Span, Timestamp};
use monsys_core::verdict::Verdict;
use monsys_core::{AgentId, AnomalyKind};

use crate::cycle::Cycle;
use crate::version;

pub(crate) const AGENT: AgentId = AgentId::from_bytes([7; 16]);

/// 2026-05-09T22:03:40Z, the detection time of the integrity document's example 1.
pub(crate) const NOW: Timestamp = match Timestamp::from_unix_micros(1_778_364_220_000_000) {
    Ok(now) => now,
    Err(_) => panic!("a time of this century"),
};

/// The cycle at [`NOW`], ten minutes after the one before.
pub(crate) fn cycle() -> Cycle {
    Cycle {
        previous: Some(at(-600_000)),
        now: NOW,
    }
}

/// [`NOW`] and so many milliseconds.
pub(crate) fn at(millis: i64) -> Timestamp {
    NOW.saturating_add(Span::from_millis(millis))
}

/// An agent of which nothing is known.
pub(crate) fn unknown() -> AgentFacts {
    AgentFacts {
        agent: AGENT,
        window: MetricWindow::empty(WindowBounds::hour_before(NOW)),
        clock: ClockFacts::default(),
        version: VersionFacts::default(),
        last_verified_at: None,
        open: vec![],
    }
}

/// An agent that measured, signed and sent every 15 s for an hour.
pub(crate) fn honest() -> AgentFacts {
    // No value comes twice, as with real ones that are not rounded.
    let cpu = (0..240_i32).map(|i| 4.2 + f64::from(i * i % 17) + f64::from(i) * 0.013);
    let cpu: Vec<f64> = cpu.collect();
    AgentFacts {
        window: window_of(&cpu),
        clock: ClockFacts::from_readings(clock_of(&[-120; 20])),
        version: versions("0.1.0", "0.1.0"),
        last_verified_at: Some(NOW),
        ..unknown()
    }
}

/// A window of these values, the last at [`NOW`], 15 s apart.
pub(crate) fn window_of(cpu: &[f64]) -> MetricWindow {
    let n = i64::try_from(cpu.len()).unwrap();
    let times = (1..=n).map(|i| at((i - n) * 15_000));
    window(times.zip(cpu.iter().copied()))
}

/// An agent of which nothing is known but these values.
pub(crate) fn sent(cpu: &[f64]) -> AgentFacts {
    AgentFacts {
        window: window_of(cpu),
        ..unknown()
    }
}

/// A window whose metrics arrived this many milliseconds apart, the last at [`NOW`].
pub(crate) fn window_with_gaps(gaps_ms: &[i64]) -> MetricWindow {
    let mut ago = 0;
    let mut received_at = vec![NOW];
    for gap in gaps_ms.iter().rev() {
        ago += gap;
        received_at.push(at(-ago));
    }
    received_at.reverse();
    window(received_at.into_iter().zip([3.0, 9.0].into_iter().cycle()))
}

fn window(rows: impl Iterator<Item = (Timestamp, f64)>) -> MetricWindow {
    let rows = rows.map(|(received_at, cpu_usage_percent)| MetricRow {
        received_at,
        cpu_usage_percent,
        is_spooled: false,
    });
    MetricWindow::from_rows(WindowBounds::hour_before(NOW), rows)
}

/// Live readings whose device clock was ahead by so many milliseconds.
pub(crate) fn clock_of(offsets_ms: &[i64]) -> Vec<ClockReading> {
    let reading = |offset: &i64| {
        let captured_at = at(*offset);
        ClockReading {
            captured_at,
            sent_at: captured_at,
            received_at: NOW,
            is_spooled: false,
        }
    };
    offsets_ms.iter().map(reading).collect()
}

pub(crate) fn versions(current: &str, highest: &str) -> VersionFacts {
    VersionFacts {
        current: Some(version::read(current.into())),
        highest: Some(version::read(highest.into())),
    }
}

/// An open anomaly last seen then.
pub(crate) fn open(kind: AnomalyKind, last_seen_at: Timestamp) -> OpenAnomaly {
    OpenAnomaly {
        id: AnomalyId::from_bytes([9; 16]),
        kind,
        severity: monsys_core::Severity::High,
        last_seen_at,
    }
}

/// The finding of a verdict that must be a failure.
pub(crate) fn failed(verdict: Verdict) -> Finding {
    match verdict {
        Verdict::Fail(finding) => finding,
        Verdict::Pass | Verdict::Insufficient(_) => panic!("expected a failure: {verdict:?}"),
    }
}
