//! Decisions about what becomes of a finding, through the store in memory.

use monsys_core::anomaly::Resolution;
use monsys_core::ledger::EventKind;
use monsys_core::name::AgentVersion;
use monsys_core::position::{ContentHash, Position};
use monsys_core::sample::{Count, MetricSample};
use monsys_core::store::{
    AgentStore, IngestBatch, IngestOutcome, Payload, SignatureStatus, VersionSeen,
};
use monsys_core::time::{Span, Timestamp};
use monsys_core::{AgentId, AnomalyKind, Severity};
use monsys_integrity::detect::{signature_invalid, unsigned_payload};
use monsys_integrity::{Config, version};

use super::scene::{Hub, TENANT, at, done};

const DOWNGRADE: AnomalyKind = AnomalyKind::VersionDowngrade;

/// Reports every 15 s for so many payloads, and runs a cycle.
fn report_and_judge(hub: &mut Hub, agent: AgentId, n: usize, cpu: impl Fn(usize) -> f64) {
    for i in 0..n {
        hub.wait(15);
        hub.report(agent, cpu(i), "0.1.0");
    }
    hub.cycle();
}

fn moving(i: usize) -> f64 {
    f64::from(u32::try_from(i % 13).unwrap()) * 3.7
}

/// An agent with an open downgrade, from 0.2.0 to 0.1.9.
fn downgraded(hub: &mut Hub) -> AgentId {
    let agent = hub.enrol(1);
    hub.report(agent, 1.0, "0.2.0");
    hub.report(agent, 2.0, "0.1.9");
    hub.cycle();
    agent
}

#[test]
fn decision_13_the_last_20_are_the_last_in_receive_order() {
    let mut hub = Hub::new();
    let agent = hub.enrol(1);
    // Twenty with a wrong clock come first at the highest positions, then twenty right ones below.
    for i in 0..40_i64 {
        hub.wait(15);
        let mut batch = hub.payload(agent, 1.0, "0.1.0");
        let is_wrong = i < 20;
        let seq = if is_wrong { 101 + i } else { 1 + i };
        batch.position = Position::new(1, seq).unwrap();
        if is_wrong {
            batch.captured_at = batch.captured_at.saturating_sub(Span::from_secs(9_000));
            batch.sent_at = batch.captured_at;
        }
        assert_eq!(hub.commit(batch), IngestOutcome::Accepted);
        let facts = hub.facts().remove(0);
        let newest = facts.clock.view().offsets_ms.last().copied();
        assert_eq!(newest, Some(if is_wrong { -9_000_000 } else { 0 }));
    }
    hub.cycle();
    assert_eq!(hub.rows(agent, AnomalyKind::ClockDrift), []);
}

#[test]
fn decision_20_an_active_agent_is_enrolled_and_not_revoked_and_may_be_silent() {
    let hub = Hub::new();
    let [silent, revoked] = [1, 2].map(|number| hub.enrol(number));
    done(hub.store.revoke(TENANT, revoked));
    let judged: Vec<_> = hub.facts().iter().map(|facts| facts.agent).collect();
    assert_eq!(judged, [silent]);
}

#[test]
fn decision_21_the_highest_accepted_counts_until_a_person_accepts_the_present_one() {
    let mut hub = Hub::new();
    let agent = downgraded(&mut hub);
    for _ in 0..3 {
        hub.wait(600);
        hub.report(agent, 3.0, "0.1.9");
        hub.cycle();
    }
    let open = hub.only(agent, DOWNGRADE);
    assert_eq!((open.occurrences, open.is_open()), (4, true));
    hub.resolve(open.id);
    assert!(hub.events(open.id).contains(&EventKind::BaselineAccepted));
    hub.wait(600);
    hub.report(agent, 4.0, "0.1.9");
    hub.cycle();
    assert!(!hub.only(agent, DOWNGRADE).is_open());
    hub.report(agent, 5.0, "0.1.8");
    hub.cycle();
    assert_eq!(hub.rows(agent, DOWNGRADE).len(), 2);
}

#[test]
fn decision_25_only_signed_payloads_move_the_baseline() {
    let mut hub = Hub::new();
    let agent = hub.enrol(1);
    hub.report(agent, 1.0, "0.1.0");
    let poison = "999.0.0";
    let unsigned = IngestBatch {
        signature: SignatureStatus::Unpinned,
        version: VersionSeen {
            text: AgentVersion::parse(poison).unwrap(),
            triple: version::triple(poison),
        },
        ..hub.payload(agent, 2.0, "0.1.0")
    };
    assert_eq!(hub.commit(unsigned), IngestOutcome::Accepted);
    hub.report(agent, 3.0, "0.1.0");
    hub.cycle();
    assert_eq!(hub.rows(agent, DOWNGRADE), []);
    hub.report(agent, 4.0, poison);
    hub.report(agent, 5.0, "0.1.0");
    hub.cycle();
    hub.resolve(hub.only(agent, DOWNGRADE).id);
    hub.cycle();
    assert!(!hub.only(agent, DOWNGRADE).is_open(), "a person resets it");
}

#[test]
fn decision_26_one_is_open_of_agent_and_kind_and_its_evidence_is_that_of_the_first_time() {
    let mut hub = Hub::new();
    let agent = hub.enrol(1);
    report_and_judge(&mut hub, agent, 40, |_| 4.20);
    let first = hub.only(agent, AnomalyKind::FlatMetrics);
    assert_eq!(first.finding.detail, r#"{"samples": 40, "stddev": 0.0}"#);
    report_and_judge(&mut hub, agent, 40, |_| 4.20);
    let again = hub.only(agent, AnomalyKind::FlatMetrics);
    assert_eq!(again.occurrences, 2);
    assert_eq!(again.finding, first.finding);
    assert_eq!(again.detected_at, first.detected_at);
    assert!(again.last_seen_at > first.last_seen_at);
    let later = again.last_detail.unwrap();
    assert!(later.contains(r#""samples": 80"#), "{later}");
    let (open, seen) = (EventKind::Opened, EventKind::Seen);
    assert_eq!(hub.events(first.id), [open, seen]);
}

#[test]
fn decision_27_an_event_passes_after_one_whole_cycle_with_a_verified_payload() {
    let kind = AnomalyKind::SignatureInvalid;
    let mut hub = Hub::new();
    let agent = hub.enrol(1);
    let mismatch = || signature_invalid::finding(signature_invalid::Reason::Mismatch);
    hub.cycle();
    hub.wait(300);
    hub.record(agent, mismatch());
    let is_open = |hub: &Hub| hub.only(agent, kind).is_open();
    hub.wait(300);
    hub.report(agent, 1.0, "0.1.0");
    hub.cycle();
    assert!(is_open(&hub), "the cycle it happened in is not clean");
    hub.wait(600);
    hub.cycle();
    assert!(
        is_open(&hub),
        "a clean cycle without a payload proves nothing"
    );
    hub.wait(1);
    hub.record(agent, mismatch());
    hub.report(agent, 2.0, "0.1.0");
    hub.wait(599);
    hub.cycle();
    assert!(is_open(&hub), "it happened again");
    hub.wait(1);
    hub.report(agent, 3.0, "0.1.0");
    hub.wait(599);
    hub.cycle();
    assert!(!is_open(&hub));
}

#[test]
fn decision_27_what_latches_stays_open_until_a_person_closes_it() {
    let mut hub = Hub::new();
    let agent = hub.enrol(1);
    let strict = Config::strict();
    hub.cycle_by(&strict);
    hub.record(
        agent,
        signature_invalid::finding(signature_invalid::Reason::Mismatch),
    );
    hub.record(agent, unsigned_payload::pinned_but_absent());
    for version in ["0.2.0", "0.1.9", "0.2.0"] {
        hub.wait(600);
        hub.report(agent, 1.0, version);
        hub.cycle_by(&strict);
    }
    hub.wait(600);
    hub.report(agent, 2.0, "0.2.0");
    hub.cycle_by(&strict);
    let latched = [
        AnomalyKind::SignatureInvalid,
        AnomalyKind::UnsignedPayload,
        DOWNGRADE,
    ];
    for kind in latched {
        let open = hub.only(agent, kind);
        assert!(open.is_open(), "{kind}");
        hub.resolve(open.id);
        assert!(!hub.only(agent, kind).is_open(), "{kind}");
    }
}

#[test]
fn decision_27_a_payload_that_no_key_could_prove_does_not_latch() {
    let mut hub = Hub::new();
    let agent = hub.enrol(1);
    let strict = Config::strict();
    hub.cycle_by(&strict);
    hub.record(agent, unsigned_payload::no_pinned_key());
    for _ in 0..2 {
        hub.wait(600);
        hub.report(agent, 1.0, "0.1.0");
        hub.cycle_by(&strict);
    }
    assert!(!hub.only(agent, AnomalyKind::UnsignedPayload).is_open());
}

#[test]
fn decision_28_what_fires_again_is_a_new_row_that_names_the_one_before() {
    let mut hub = Hub::new();
    let agent = downgraded(&mut hub);
    let first = hub.only(agent, DOWNGRADE);
    hub.wait(600);
    hub.report(agent, 3.0, "0.2.0");
    hub.cycle();
    let closed = hub.only(agent, DOWNGRADE);
    assert!(!closed.is_open());
    hub.wait(600);
    hub.report(agent, 4.0, "0.1.9");
    hub.cycle();
    let [before, after] = hub.rows(agent, DOWNGRADE).try_into().unwrap();
    assert_eq!(before.anomaly, closed, "history stays as it is");
    assert_eq!(after.anomaly.previous, Some(first.id));
    assert_ne!(after.anomaly.id, first.id);
    assert_eq!(after.anomaly.occurrences, 1);
}

#[test]
fn decision_29_what_closes_by_itself_is_closed_by_the_service_user() {
    let mut hub = Hub::new();
    let agent = downgraded(&mut hub);
    hub.wait(600);
    hub.report(agent, 3.0, "0.2.0");
    hub.cycle();
    let [row] = hub.rows(agent, DOWNGRADE).try_into().unwrap();
    let closed = row.anomaly.closed.unwrap();
    assert_eq!((closed.resolution, closed.at), (Resolution::Auto, hub.now));
    assert!(
        row.closed_by.is_some(),
        "no query that joins users hides it"
    );
}

#[test]
fn decision_30_detected_at_is_the_clock_of_the_hub_whatever_the_agent_says() {
    for agents_clock in [Timestamp::MIN, Timestamp::MAX] {
        let mut hub = Hub::new();
        let agent = hub.enrol(1);
        for _ in 0..20 {
            hub.wait(15);
            let batch = IngestBatch {
                captured_at: agents_clock,
                sent_at: agents_clock,
                ..hub.payload(agent, 1.0, "0.1.0")
            };
            assert_eq!(hub.commit(batch), IngestOutcome::Accepted);
        }
        let detected_at = hub.now;
        hub.cycle();
        hub.wait(600);
        hub.cycle();
        let drift = hub.only(agent, AnomalyKind::ClockDrift);
        assert_eq!(drift.detected_at, detected_at);
        assert_eq!(drift.last_seen_at, hub.now);
        assert_eq!(detected_at, at(300_000));
    }
}

#[test]
fn decision_31_memory_that_stands_still_or_moves_changes_no_verdict() {
    for (cpu, n_found) in [(None, 0), (Some(4.20), 1)] {
        let mut hub = Hub::new();
        let agent = hub.enrol(1);
        for i in 0..40 {
            hub.wait(15);
            let mut batch = hub.payload(agent, cpu.unwrap_or_else(|| moving(i)), "0.1.0");
            let Payload::Metrics(sample) = batch.payload else {
                panic!("a metric")
            };
            // Still where the processor moves, moving where it stands still.
            let used = if cpu.is_some() { i } else { 7 };
            batch.payload = Payload::Metrics(MetricSample {
                mem_used_bytes: Count::new(i64::try_from(used).unwrap()).ok(),
                ..sample
            });
            assert_eq!(hub.commit(batch), IngestOutcome::Accepted);
        }
        hub.cycle();
        assert_eq!(hub.rows(agent, AnomalyKind::FlatMetrics).len(), n_found);
    }
}

#[test]
fn decision_32_severity_rises_with_an_entry_and_never_falls() {
    let kind = AnomalyKind::UnsignedPayload;
    let mut hub = Hub::new();
    let agent = hub.enrol(1);
    hub.record(agent, unsigned_payload::no_pinned_key());
    assert_eq!(hub.only(agent, kind).finding.severity, Severity::Medium);
    hub.wait(1);
    hub.record(agent, unsigned_payload::pinned_but_absent());
    let risen = hub.only(agent, kind);
    assert_eq!(risen.finding.severity, Severity::High);
    hub.wait(1);
    hub.record(agent, unsigned_payload::no_pinned_key());
    let after = hub.only(agent, kind);
    assert_eq!(after.finding.severity, Severity::High);
    let events = hub.events(after.id);
    assert_eq!(events[..2], [EventKind::Opened, EventKind::SeverityRaised]);
    let n_raised = events.iter().filter(|e| **e == EventKind::SeverityRaised);
    assert_eq!(n_raised.count(), 1, "each change has one entry");
}

#[test]
fn decision_15_a_payload_cannot_declare_itself_a_backlog() {
    // A clock that is two hours behind, at positions in order: nothing the payload says makes it
    // a backlog, because no gap was open.
    let mut hub = Hub::new();
    let agent = hub.enrol(1);
    for seq in 1..=20 {
        hub.wait(15);
        let captured_at = hub.now.saturating_sub(Span::from_secs(7_200));
        let batch = IngestBatch {
            captured_at,
            position: Position::new(1, seq).unwrap(),
            content: ContentHash([u8::try_from(seq).unwrap(); 32]),
            ..hub.payload(agent, 1.0, "0.1.0")
        };
        assert_eq!(hub.commit(batch), IngestOutcome::Accepted);
    }
    hub.cycle();
    assert!(hub.only(agent, AnomalyKind::ClockDrift).is_open());
}
