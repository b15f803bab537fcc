//! The ledger finds every change: of an entry, of its place, of an anomaly, of the end.
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an error fails where it meets it"
)]

use monsys_core::anomaly::{Anomaly, Closed, Finding, Resolution};
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::ledger::{
    Digest32, EventDraft, EventKind, Fault, LedgerEntry, LedgerHead, Verifier, frozen_digest,
    is_sampled,
};
use monsys_core::{AnomalyKind, Severity, Timestamp};

const TENANT: TenantId = TenantId::from_bytes([1; 16]);
const SERVICE: UserId = UserId::from_bytes([2; 16]);
const PERSON: UserId = UserId::from_bytes([3; 16]);

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_780_000_000_000_000 + second * 1_000_000).unwrap()
}

fn anomaly() -> Anomaly {
    Anomaly {
        id: AnomalyId::from_bytes([4; 16]),
        tenant: TENANT,
        agent: AgentId::from_bytes([5; 16]),
        finding: Finding {
            kind: AnomalyKind::FlatMetrics,
            severity: Severity::High,
            summary: "CPU stddev = 0 over the last hour — telemetry seems manipulated".into(),
            detail: r#"{"samples": 240, "stddev": 0.0}"#.into(),
            evidence: r#"{"min":4.2,"max":4.2}"#.into(),
        },
        detected_at: at(0),
        last_seen_at: at(9),
        occurrences: 2,
        last_detail: None,
        previous: None,
        acknowledged: None,
        snoozed: None,
        closed: Some(Closed {
            at: at(10),
            by: PERSON,
            resolution: Resolution::Manual,
            note: Some("a \"test\" \u{1F600}".into()),
        }),
    }
}

/// Opened (medium), seen, risen to high, closed.
fn chain() -> Vec<LedgerEntry> {
    let row = anomaly();
    let mut opened = row.clone();
    opened.finding.severity = Severity::Medium;
    let rise = (Severity::Medium, Severity::High);
    let events = [
        EventDraft::opened(&opened, SERVICE),
        EventDraft::seen(row.id, 2, SERVICE, at(5)),
        EventDraft::severity_raised(row.id, rise, SERVICE, at(9)),
        EventDraft::resolved(row.id, row.closed.as_ref().unwrap()),
    ];
    let mut head = LedgerHead::EMPTY;
    let next = |event| {
        let entry = LedgerEntry::after(head, TENANT, event);
        head = entry.head();
        entry
    };
    events.into_iter().map(next).collect()
}

/// The fault that a reading finds, if any.
fn read(entries: &[LedgerEntry], rows: &[Anomaly], head: Option<LedgerHead>) -> Option<Fault> {
    let mut verifier = Verifier::new(TENANT);
    for entry in entries {
        if let Err(broken) = verifier.entry(entry) {
            return Some(broken.fault);
        }
    }
    for row in rows {
        if let Err(broken) = verifier.anomaly(row) {
            return Some(broken.fault);
        }
    }
    verifier.finish(head).err().map(|broken| broken.fault)
}

#[test]
fn what_was_written_is_read() {
    let chain = chain();
    assert_eq!(read(&chain, &[anomaly()], Some(chain[3].head())), None);
    assert_eq!(read(&[], &[], Some(LedgerHead::EMPTY)), None);
}

#[test]
fn the_hash_is_that_of_the_published_recipe() {
    use sha2::{Digest, Sha256};
    let first = &chain()[1];
    let canonical = format!(
        "monsys-ledger-v1\n{{\"actor\":\"{SERVICE}\",\"anomaly\":\"{}\",\"at\":\"{}\",\
         \"data\":{{\"occurrences\":2}},\"kind\":\"seen\",\"prev\":\"{}\",\"seq\":2,\
         \"tenant\":\"{TENANT}\",\"v\":1}}",
        first.event.anomaly,
        first.event.at.to_rfc3339(),
        first.prev
    );
    let expected: [u8; 32] = Sha256::digest(canonical).into();
    assert_eq!(first.hash.to_bytes(), expected);
}

#[test]
fn each_changed_member_of_an_entry_is_found() {
    let chain = chain();
    let changes: [fn(&mut LedgerEntry); 7] = [
        |e| e.event.anomaly = AnomalyId::from_bytes([9; 16]),
        |e| e.event.kind = EventKind::Snoozed,
        |e| e.event.actor = PERSON,
        |e| e.event.at = at(6),
        |e| e.event.data = r#"{"occurrences":3}"#.into(),
        |e| e.event.data = "not JSON".into(),
        |e| e.hash = Digest32::ZERO,
    ];
    for change in changes {
        let mut bent = chain.clone();
        change(&mut bent[1]);
        assert_eq!(read(&bent, &[anomaly()], None), Some(Fault::Hash));
    }
    let mut bent = chain.clone();
    bent[1].prev = Digest32::ZERO;
    assert_eq!(read(&bent, &[anomaly()], None), Some(Fault::Link));
    let mut bent = chain;
    bent[1].tenant = TenantId::from_bytes([9; 16]);
    assert_eq!(read(&bent, &[anomaly()], None), Some(Fault::Tenant));
}

#[test]
fn every_single_byte_of_the_data_counts() {
    let chain = chain();
    for (index, entry) in chain.iter().enumerate() {
        for place in 0..entry.event.data.len() {
            let mut bytes = entry.event.data.clone().into_bytes();
            bytes[place] ^= 1;
            let Ok(data) = String::from_utf8(bytes) else {
                continue;
            };
            let mut bent = chain.clone();
            bent[index].event.data = data;
            assert_eq!(read(&bent, &[anomaly()], None), Some(Fault::Hash));
        }
    }
}

#[test]
fn what_is_missing_doubled_or_swapped_is_found() {
    let chain = chain();
    let rows = [anomaly()];
    for index in 0..chain.len() - 1 {
        let mut bent = chain.clone();
        bent.remove(index);
        assert_eq!(read(&bent, &rows, None), Some(Fault::Number), "{index}");
        let mut bent = chain.clone();
        bent.swap(index, index + 1);
        assert_eq!(read(&bent, &rows, None), Some(Fault::Number), "{index}");
        let mut bent = chain.clone();
        bent.insert(index, chain[index].clone());
        assert_eq!(read(&bent, &rows, None), Some(Fault::Number), "{index}");
    }
    let cut = &chain[..3];
    let mut open = anomaly();
    open.closed = None;
    let head = Some(chain[3].head());
    assert_eq!(
        read(cut, std::slice::from_ref(&open), None),
        None,
        "a whole chain, only shorter"
    );
    assert_eq!(
        read(cut, &[open], head),
        Some(Fault::Head),
        "but for a head kept elsewhere"
    );
    assert_eq!(
        read(cut, &rows, None),
        Some(Fault::Closing),
        "and for the row"
    );
}

#[test]
fn a_rewritten_chain_must_still_make_sense() {
    let chain = chain();
    let row = anomaly();
    let closed = row.closed.clone().unwrap();
    let add = |event| {
        let mut longer = chain.clone();
        longer.push(LedgerEntry::after(chain[3].head(), TENANT, event));
        read(&longer, std::slice::from_ref(&row), None)
    };
    assert_eq!(
        add(EventDraft::resolved(row.id, &closed)),
        Some(Fault::Order)
    );
    assert_eq!(
        add(EventDraft::seen(row.id, 4, SERVICE, at(11))),
        Some(Fault::Order)
    );
    let unknown = AnomalyId::from_bytes([9; 16]);
    assert_eq!(
        add(EventDraft::seen(unknown, 4, SERVICE, at(11))),
        Some(Fault::Order)
    );
    assert_eq!(add(EventDraft::opened(&row, SERVICE)), Some(Fault::Order));
    assert_eq!(read(&chain, &[], None), Some(Fault::Missing));
    assert_eq!(read(&[], &[row], None), Some(Fault::Unknown));
}

#[test]
fn each_changed_member_of_an_anomaly_is_found() {
    type Change = fn(&mut Anomaly);
    let frozen: [Change; 7] = [
        |a| a.agent = AgentId::from_bytes([9; 16]),
        |a| a.finding.kind = AnomalyKind::ClockDrift,
        |a| a.finding.summary.push('.'),
        |a| a.finding.detail = "{}".into(),
        |a| a.finding.evidence = "{}".into(),
        |a| a.detected_at = at(1),
        |a| a.previous = Some(AnomalyId::from_bytes([9; 16])),
    ];
    let closing: [Change; 5] = [
        |a| a.closed = None,
        |a| a.closed.as_mut().unwrap().by = SERVICE,
        |a| a.closed.as_mut().unwrap().at = at(11),
        |a| a.closed.as_mut().unwrap().note = None,
        |a| a.closed.as_mut().unwrap().resolution = Resolution::Auto,
    ];
    let severity: [Change; 1] = [|a| a.finding.severity = Severity::Low];
    let all = frozen.iter().map(|c| (c, Fault::Frozen));
    let all = all.chain(closing.iter().map(|c| (c, Fault::Closing)));
    for (change, fault) in all.chain(severity.iter().map(|c| (c, Fault::Severity))) {
        let mut row = anomaly();
        change(&mut row);
        assert_eq!(read(&chain(), &[row], None), Some(fault));
    }
    let mut spaced = anomaly();
    spaced.finding.detail = r#"{"samples":240,"stddev":0}"#.into();
    assert_eq!(
        frozen_digest(&spaced),
        frozen_digest(&anomaly()),
        "spelling is not content"
    );
}

#[test]
fn a_fault_names_its_place() {
    let mut bent = chain();
    bent[2].event.at = at(8);
    let mut verifier = Verifier::new(TENANT);
    let broken = bent.iter().find_map(|e| verifier.entry(e).err()).unwrap();
    assert_eq!((broken.seq, broken.anomaly), (Some(3), Some(anomaly().id)));
    assert_eq!(
        broken.to_string(),
        "entry 3: expected content with this hash"
    );
}

#[test]
fn a_flood_adds_few_entries() {
    let n = (1..100_000_u64).filter(|n| is_sampled(*n, n + 1)).count();
    assert_eq!(n, 16);
    assert!(is_sampled(3, 1_000) && !is_sampled(4, 7) && !is_sampled(7, 7));
}

#[test]
fn words_and_digests_round_trip() {
    for kind in EventKind::ALL {
        assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
    }
    let digest = chain()[0].hash;
    assert_eq!(Digest32::parse_hex(&digest.to_string()), Some(digest));
    for bad in ["", "00", &"g".repeat(64), &"A".repeat(64), &"é".repeat(32)] {
        assert_eq!(Digest32::parse_hex(bad), None);
    }
}
