//! The spool of an agent: whatever a crash, a bad disk or a stranger left in its files.

use monsys_wire::spool::answer::Answer;
use monsys_wire::spool::record::{MAGIC, Record, scan};
use monsys_wire::spool::{Ledger, State, retry_after};

/// What is found in a segment is there; what is pending has one position of its own; the state that
/// follows from any files restores the same ledger; no bytes are taken for a hub's word.
pub fn spool(bytes: &[u8]) {
    let (state, segment) = halves(bytes);
    let state = str::from_utf8(state).ok().and_then(State::parse);
    if let Some(state) = &state {
        assert_eq!(State::parse(&state.to_string()).as_ref(), Some(state));
    }
    let found = found(segment);
    let ledger = Ledger::restore(state.as_ref(), &found);
    holds(&ledger);
    let written = ledger.to_state();
    let again = State::parse(&written.to_string());
    assert_eq!(again.as_ref(), Some(&written), "{written}");
    let restored = Ledger::restore(again.as_ref(), &found);
    assert_eq!(restored.to_state(), written, "a restart changes nothing");
    goes_on(restored);
    answers(bytes);
}

/// The state file up to its checksum, and what follows as a segment.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let magic = bytes.windows(MAGIC.len()).position(|at| at == MAGIC);
    bytes.split_at(magic.unwrap_or(bytes.len()))
}

fn found(segment: &[u8]) -> Vec<(u64, monsys_wire::spool::record::Located)> {
    let Some(scanned) = scan(segment) else {
        assert!(!segment.starts_with(MAGIC));
        return Vec::new();
    };
    let (mut end, mut last) = (MAGIC.len(), None);
    for located in &scanned.records {
        let at = usize::try_from(located.offset).unwrap_or(usize::MAX);
        let length = usize::try_from(located.length).unwrap_or(usize::MAX);
        assert!(at >= end && last < Some(located.number), "in order");
        let whole = segment.get(at..at + length);
        let record = whole.and_then(Record::decode);
        let Some(record) = record else {
            panic!("a record that was found is not there")
        };
        assert_eq!(Some(record.encode().as_slice()), whole, "the same bytes");
        let there = (record.number, record.epoch, record.seq, record.captured_at);
        let told = (
            located.number,
            located.epoch,
            located.seq,
            located.captured_at,
        );
        assert_eq!(there, told);
        (end, last) = (at + length, Some(located.number));
    }
    let good = usize::try_from(scanned.good_bytes).unwrap_or(usize::MAX);
    assert_eq!(good, end, "good up to the end of the last record");
    // What is cut off loses nothing.
    let cut = segment.get(..good).and_then(scan);
    assert_eq!(cut.map(|cut| cut.records), Some(scanned.records.clone()));
    scanned
        .records
        .into_iter()
        .map(|located| (1, located))
        .collect()
}

fn holds(ledger: &Ledger) {
    let mut last = None;
    for (number, _) in ledger.pending() {
        assert!(number < ledger.next_number());
        let position = ledger.position(number);
        assert!(position.is_none() || position > last, "each its own");
        last = position.or(last);
    }
    assert_eq!(ledger.pending().count(), ledger.n_pending());
}

/// Whatever was found, the counters only rise and nothing is lost by acknowledging.
fn goes_on(mut ledger: Ledger) {
    let (n_dropped, next) = (ledger.n_dropped(), ledger.next_number());
    while let Some(oldest) = ledger.oldest() {
        assert!(ledger.acknowledge(oldest));
    }
    assert_eq!(
        (ledger.n_dropped(), ledger.next_number()),
        (n_dropped, next)
    );
    let epoch = ledger.epoch();
    assert_eq!(
        ledger.start_epoch(epoch.saturating_add(1)),
        epoch < u64::MAX
    );
    holds(&ledger);
}

fn answers(bytes: &[u8]) {
    for status in [200, 202, 400, 409, 413, 422, 429, 503, 599] {
        let answer = Answer::read(status, None, bytes);
        assert!(!answer.is_delivered() || matches!(status, 200 | 202));
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let date = Some("Sat, 21 Nov 2026 01:15:41 GMT");
        let wait = retry_after::wait(text, date);
        assert!(wait.is_none_or(|wait| wait <= retry_after::WAIT_MAX));
    }
}
