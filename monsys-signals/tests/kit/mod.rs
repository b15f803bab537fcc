//! Rows for the tests of the readers: drawn at random, or made by hand.

#![allow(dead_code, reason = "each test file uses a part of the kit")]
#![allow(
    clippy::unwrap_used,
    reason = "a kit that meets an error fails its test"
)]

use monsys_core::name::Source;
use monsys_core::time::Span;
use monsys_core::{Severity, Timestamp};
use monsys_signals::{Catalog, Category, Decay, Grade, Place, SignalView, Subject};
use proptest::prelude::*;

/// 2026-05-10T00:10:20Z.
pub(crate) const NOW: Timestamp = match Timestamp::from_unix_micros(1_778_371_820_000_000) {
    Ok(now) => now,
    Err(_) => panic!("a time of this century"),
};

pub(crate) const SOURCES: [&str; 10] = [
    "backup_check",
    "cert_scan",
    "clock_check",
    "dns_check",
    "endpoint_posture",
    "fading_scan",
    "identity_check",
    "integrity_check",
    "unmapped_a",
    "unmapped_b",
];

pub(crate) const KEYS: [&str; 6] = ["a.a", "a.b", "a.b_c", "b.a", "b.b", "c.a.a"];

pub(crate) const GRADES: [Grade; 7] = [
    Grade::Ungraded,
    Grade::Unknown,
    Grade::Graded(Severity::Info),
    Grade::Graded(Severity::Low),
    Grade::Graded(Severity::Medium),
    Grade::Graded(Severity::High),
    Grade::Graded(Severity::Critical),
];

/// The standard catalogue and one source that fades in each of two categories.
pub(crate) fn catalog() -> Catalog {
    let mut catalog = Catalog::standard();
    for (source, category) in [
        ("fading_scan", Category::Vulnerability),
        ("identity_check", Category::Integrity),
    ] {
        let decay = Decay::Linear;
        catalog.insert(Source::parse(source).unwrap(), Place { category, decay });
    }
    catalog
}

pub(crate) fn at(offset_s: i64) -> Timestamp {
    NOW.saturating_add(Span::from_secs(offset_s))
}

/// A sticky finding of one agent.
pub(crate) fn row(
    source: &'static str,
    key: &'static str,
    severity: Severity,
) -> SignalView<'static> {
    SignalView {
        subject: subject(0),
        source,
        key,
        grade: Grade::Graded(severity),
        observed_at: NOW,
        ttl_seconds: None,
        arrival: 0,
    }
}

pub(crate) fn subject(n: usize) -> Subject<'static> {
    let ids = ["web-1", "web-2", "web-3", "web-4", "web-5"];
    Subject {
        subject_type: "agent",
        subject_id: ids[n % ids.len()],
    }
}

/// As many keys as wanted, in their order.
pub(crate) fn keys(n: usize) -> Vec<&'static str> {
    (0..n).map(|n| &*format!("many.k{n:07}").leak()).collect()
}

/// A plain generator, so that a hundred thousand tenants are drawn in no time.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, usize::try_from(self.below(i as u64 + 1)).unwrap());
        }
    }

    pub(crate) fn row(&mut self) -> SignalView<'static> {
        let ttls = [None, Some(1), Some(60), Some(3_600), Some(315_360_000)];
        SignalView {
            subject: subject(usize::try_from(self.below(3)).unwrap()),
            source: self.of(&SOURCES),
            key: self.of(&KEYS),
            grade: self.of(&GRADES),
            observed_at: at(i64::try_from(self.below(4_200)).unwrap() - 4_000),
            ttl_seconds: self.of(&ttls),
            arrival: self.below(2),
        }
    }

    pub(crate) fn rows(&mut self, n_max: u64) -> Vec<SignalView<'static>> {
        (0..self.below(n_max + 1)).map(|_| self.row()).collect()
    }
}

/// Rows of one subject.
pub(crate) fn any_rows() -> impl Strategy<Value = Vec<SignalView<'static>>> {
    let row = any::<u64>().prop_map(|seed| SignalView {
        subject: subject(0),
        ..Draw(seed).row()
    });
    prop::collection::vec(row, 0..24)
}
