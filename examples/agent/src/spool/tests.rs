use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::testing::TempDir;

#[test]
fn positions_go_on_after_a_restart_and_undelivered_payloads_are_there() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    let numbers: Vec<u64> = (0..5).map(|_| append(&mut spool)).collect();
    spool.acknowledge(numbers[4]).unwrap();
    spool.acknowledge(numbers[0]).unwrap();
    spool.settle().unwrap();
    drop(spool);
    let mut spool = open(&dir);
    assert_eq!(pending(&spool), [(1, 2), (1, 3), (1, 4)]);
    append(&mut spool);
    assert_eq!(pending(&spool).last(), Some(&(1, 6)));
}

#[test]
fn counters_survive_when_everything_was_delivered() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    for _ in 0..3 {
        let number = append(&mut spool);
        spool.acknowledge(number).unwrap();
    }
    drop(spool);
    let spool = open(&dir);
    assert!(pending(&spool).is_empty());
    assert_eq!(spool.next_position().unwrap(), Position::new(1, 4).unwrap());
}

#[test]
fn a_second_agent_on_the_same_spool_is_refused() {
    let dir = TempDir::new();
    let first = open(&dir);
    let refused = Spool::open(dir.path(), SMALL).unwrap_err();
    assert!(matches!(refused, SpoolError::InUse { .. }), "{refused}");
    drop(first);
    open(&dir);
}

#[test]
fn a_write_torn_at_any_byte_of_the_last_record_loses_nothing_before_it() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    append(&mut spool);
    append(&mut spool);
    let file = segment_files(dir.path()).pop().unwrap();
    let whole_before = fs::metadata(&file).unwrap().len();
    append(&mut spool);
    let whole = fs::read(&file).unwrap();
    for end in usize::try_from(whole_before).unwrap()..whole.len() {
        let image = copy_of(dir.path());
        let copied = segment_files(image.path()).pop().unwrap();
        fs::write(&copied, &whole[..end]).unwrap();
        let mut torn = open(&image);
        assert_eq!(pending(&torn), [(1, 1), (1, 2)], "torn at {end}");
        assert_eq!(
            torn.recovery().torn_bytes,
            u64::try_from(end).unwrap() - whole_before
        );
        append(&mut torn);
        assert_eq!(pending(&torn), [(1, 1), (1, 2), (1, 3)]);
        drop(torn);
        assert_eq!(
            pending(&open(&image)),
            [(1, 1), (1, 2), (1, 3)],
            "and again after a restart"
        );
    }
}

#[test]
fn after_a_crash_between_any_two_steps_positions_keep_their_content() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    let mut known: Vec<(u64, Vec<u8>)> = Vec::new();
    for step in 0..120_u64 {
        let number = append(&mut spool);
        known.push((number, spool.read(number).unwrap().1.body));
        if step % 3 != 0 {
            let oldest = spool.ledger().oldest().unwrap();
            spool.acknowledge(oldest).unwrap();
        }
        if step % 7 == 0 {
            let newest = spool.ledger().newest().unwrap();
            spool.acknowledge(newest).unwrap();
        }
        spool.settle().unwrap();
        let image = copy_of(dir.path());
        let after_crash = open(&image);
        assert_eq!(
            after_crash.ledger().to_state(),
            spool.ledger().to_state(),
            "step {step}"
        );
        for (number, body) in &known {
            if let Ok((_, record)) = after_crash.read(*number) {
                assert_eq!(&record.body, body, "number {number} after step {step}");
            }
        }
    }
}

#[test]
fn a_new_epoch_moves_all_undelivered_and_survives_a_restart() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    let numbers: Vec<u64> = (0..4).map(|_| append(&mut spool)).collect();
    spool.acknowledge(numbers[1]).unwrap();
    let bodies: Vec<Vec<u8>> = [0, 2, 3]
        .map(|at| spool.read(numbers[at]).unwrap().1.body)
        .to_vec();
    spool.start_epoch(8).unwrap();
    drop(spool);
    let spool = open(&dir);
    assert_eq!(pending(&spool), [(8, 1), (8, 3), (8, 4)]);
    let kept: Vec<Vec<u8>> = [0, 2, 3]
        .map(|at| spool.read(numbers[at]).unwrap().1.body)
        .to_vec();
    assert_eq!(kept, bodies);
}

#[test]
fn a_crash_forgets_few_acknowledgements_and_no_payload() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    let numbers: Vec<u64> = (0..30).map(|_| append(&mut spool)).collect();
    for (n_acknowledged, number) in numbers.iter().enumerate().take(29) {
        let n_pending = open(&copy_of(dir.path())).ledger().n_pending();
        let n_forgotten = n_pending + n_acknowledged - 30;
        assert!(n_forgotten < usize::try_from(UNSETTLED_MAX).unwrap());
        spool.acknowledge(*number).unwrap();
    }
    spool.acknowledge(numbers[29]).unwrap();
    assert_eq!(open(&copy_of(dir.path())).ledger().n_pending(), 0);
}

#[test]
fn a_state_file_torn_at_any_byte_loses_no_payload_and_reuses_no_position() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    for _ in 0..3 {
        append(&mut spool);
    }
    spool.start_epoch(4).unwrap();
    append(&mut spool);
    spool.acknowledge(1).unwrap();
    spool.settle().unwrap();
    let whole = fs::read(dir.path().join(STATE)).unwrap();
    for (end, name) in (0..=whole.len()).flat_map(|end| [(end, STATE), (end, "state.new")]) {
        let image = copy_of(dir.path());
        fs::write(image.path().join(name), &whole[..end]).unwrap();
        let mut torn = open(&image);
        let left = pending(&torn);
        let is_whole = name != STATE || end + 1 >= whole.len();
        let expected: &[(u64, u64)] = if is_whole {
            &[(4, 2), (4, 3), (4, 4)]
        } else {
            &[(4, 1), (4, 2), (4, 3), (4, 4)]
        };
        assert_eq!(left, expected, "{name} torn at {end}");
        assert_eq!(torn.recovery().is_state_rebuilt, !is_whole);
        append(&mut torn);
        assert_eq!(pending(&torn).last(), Some(&(4, 5)));
    }
}

#[test]
fn damage_in_the_middle_is_a_gap_that_survives_restarts_until_it_was_told() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    for _ in 0..5 {
        append(&mut spool);
    }
    let place = spool.ledger().place(3).unwrap();
    drop(spool);
    let file = segment_files(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    // Its length is hit, so that only a search finds the next record.
    bytes[usize::try_from(place.offset).unwrap() + 2] ^= 0xff;
    fs::write(&file, &bytes).unwrap();
    let mut spool = open(&dir);
    assert_eq!(pending(&spool), [(1, 1), (1, 2), (1, 4), (1, 5)]);
    assert_eq!(spool.recovery().n_damaged, 1);
    let loss = "lost seq 3 of epoch 1";
    assert_eq!(loss_of(&mut spool).as_deref(), Some(loss));
    let report = append(&mut spool);
    spool.tell_loss_in(report);
    drop(spool);
    let mut spool = open(&dir);
    assert_eq!(
        loss_of(&mut spool).as_deref(),
        Some(loss),
        "not acknowledged yet"
    );
    let shown = inspect(dir.path(), SMALL).unwrap().gaps;
    assert_eq!(
        (shown[0].from_seq, shown[0].to_seq, shown[0].lost),
        (3, 3, 1)
    );
    assert!(loss_of(&mut spool).is_some());
    spool.tell_loss_in(report);
    spool.acknowledge(report).unwrap();
    spool.settle().unwrap();
    drop(spool);
    let mut spool = open(&dir);
    assert_eq!((loss_of(&mut spool), spool.ledger().n_dropped()), (None, 1));
}

#[test]
fn a_full_spool_drops_the_oldest_as_one_gap() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    for _ in 0..200 {
        append(&mut spool);
    }
    let dropped = spool.ledger().n_dropped();
    let loss = format!("lost seq 1 to {dropped} of epoch 1");
    assert_eq!(loss_of(&mut spool), Some(loss.clone()));
    drop(spool);
    assert_eq!(loss_of(&mut open(&dir)), Some(loss));
}

#[test]
fn without_a_place_to_write_payloads_wait_in_memory_and_are_spooled_in_order() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    append(&mut spool);
    // A segment cannot be created where its directory is no longer.
    spool.close_active();
    let away = dir.path().with_extension("away");
    fs::rename(dir.path(), &away).unwrap();
    for n_held in 1..=4 {
        assert!(matches!(
            try_append(&mut spool),
            Err(SpoolError::Held { .. })
        ));
        assert_eq!((spool.n_held(), spool.ledger().n_pending()), (n_held, 1));
    }
    fs::rename(&away, dir.path()).unwrap();
    append(&mut spool);
    assert_eq!(spool.n_held(), 0);
    let expected = [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)];
    assert_eq!(pending(&spool), expected);
    drop(spool);
    let mut spool = open(&dir);
    assert_eq!(
        (pending(&spool), loss_of(&mut spool)),
        (expected.to_vec(), None)
    );
}

#[test]
fn what_memory_has_no_room_for_is_a_gap() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    append(&mut spool);
    spool.close_active();
    let away = dir.path().with_extension("away");
    fs::rename(dir.path(), &away).unwrap();
    spool.limits = SpoolLimits::standard();
    let large = |_: Position| Ok(vec![b'x'; held::HELD_BYTES_MAX / 4]);
    for _ in 0..7 {
        assert!(spool.append(Timestamp::MIN, large).is_err());
    }
    assert_eq!(spool.n_held(), 4);
    fs::rename(&away, dir.path()).unwrap();
    append(&mut spool);
    assert_eq!(
        loss_of(&mut spool).as_deref(),
        Some("lost seq 2 to 4 of epoch 1")
    );
    let expected = [(1, 1), (1, 5), (1, 6), (1, 7), (1, 8), (1, 9)];
    assert_eq!(pending(&spool), expected);
    drop(spool);
    let mut spool = open(&dir);
    assert_eq!(
        loss_of(&mut spool).as_deref(),
        Some("lost seq 2 to 4 of epoch 1")
    );
}

#[test]
fn a_full_spool_drops_the_oldest_and_counts_them() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    for _ in 0..200 {
        append(&mut spool);
    }
    assert!(spool.bytes() <= SMALL.bytes_max);
    let left = pending(&spool);
    assert_eq!(left.last(), Some(&(1, 200)));
    let dropped = spool.ledger().n_dropped();
    assert_eq!(u64::try_from(left.len()).unwrap() + dropped, 200);
    assert!(dropped > 0 && left.windows(2).all(|pair| pair[0].1 + 1 == pair[1].1));
    drop(spool);
    let spool = open(&dir);
    assert_eq!(
        (pending(&spool), spool.ledger().n_dropped()),
        (left, dropped)
    );
}

#[test]
fn delivered_segments_are_deleted() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    let numbers: Vec<u64> = (0..60).map(|_| append(&mut spool)).collect();
    assert!(segment_files(dir.path()).len() > 3);
    for number in numbers {
        spool.acknowledge(number).unwrap();
    }
    assert_eq!(segment_files(dir.path()).len(), 1);
}

#[test]
fn a_lost_or_damaged_state_file_loses_no_payload() {
    for damage in ["", "monsys-spool 1\nepoch 1\n"] {
        let dir = TempDir::new();
        let mut spool = open(&dir);
        let first = append(&mut spool);
        append(&mut spool);
        spool.start_epoch(5).unwrap();
        append(&mut spool);
        spool.acknowledge(first).unwrap();
        drop(spool);
        fs::write(dir.path().join(STATE), damage).unwrap();
        let spool = open(&dir);
        assert!(spool.recovery().is_state_rebuilt);
        assert_eq!(
            pending(&spool),
            [(5, 1), (5, 2), (5, 3)],
            "the delivered one is sent again"
        );
    }
}

#[test]
fn a_rotten_record_is_told_and_can_be_given_up() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    let number = append(&mut spool);
    let file = segment_files(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert!(matches!(spool.read(number), Err(SpoolError::Damaged)));
    spool.give_up(number).unwrap();
    assert_eq!(
        (spool.ledger().n_pending(), spool.ledger().n_dropped()),
        (0, 1)
    );
    assert!(matches!(spool.read(number), Err(SpoolError::NotPending)));
}

#[test]
fn foreign_files_are_left_alone_and_broken_segments_set_aside() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    append(&mut spool);
    drop(spool);
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join(format!("{:020}.seg", 77)), "not a segment").unwrap();
    fs::write(dir.path().join(format!("{:020}.seg", 78)), "mons").unwrap();
    let spool = open(&dir);
    assert_eq!(pending(&spool), [(1, 1)]);
    assert_eq!(spool.recovery().n_set_aside, 1);
    assert!(dir.path().join(format!("{:020}.damaged", 77)).exists());
    assert!(!dir.path().join(format!("{:020}.seg", 78)).exists());
    assert!(dir.path().join("notes.txt").exists());
}

#[test]
fn looking_at_a_spool_changes_nothing_and_needs_no_ownership() {
    let dir = TempDir::new();
    let mut spool = open(&dir);
    append(&mut spool);
    append(&mut spool);
    let status = inspect(dir.path(), SMALL).unwrap();
    assert_eq!(
        (
            status.epoch,
            status.next_seq,
            status.pending,
            status.dropped
        ),
        (1, 3, 2, 0)
    );
    assert_eq!(
        status.oldest_captured_at.as_deref(),
        Some("2026-11-21T01:15:41.000000Z")
    );
    assert_eq!(status.bytes, spool.bytes());
    assert_eq!(
        inspect(&dir.path().join("absent"), SMALL).unwrap().next_seq,
        1
    );
    assert!(!dir.path().join("absent").exists());
}

#[test]
fn everything_in_the_spool_is_private() {
    let dir = TempDir::new();
    let root = dir.path().join("new");
    let mut spool = Spool::open(&root, SMALL).unwrap();
    append(&mut spool);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    for entry in fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

/// Ten records a segment, four segments.
const SMALL: SpoolLimits = SpoolLimits {
    bytes_max: 4_400,
    segment_bytes: 1_000,
};

fn open(dir: &TempDir) -> Spool {
    Spool::open(dir.path(), SMALL).unwrap()
}

fn loss_of(spool: &mut Spool) -> Option<String> {
    let texts: Vec<String> = spool.loss().iter().map(Gap::to_string).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn append(spool: &mut Spool) -> u64 {
    try_append(spool).unwrap()
}

fn try_append(spool: &mut Spool) -> Result<u64, SpoolError> {
    let captured_at = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap();
    let random = getrandom::u64().unwrap();
    let body = |position: Position| {
        Ok(format!(
            "{:06} {:06} {random:020} {:26}",
            position.epoch(),
            position.seq(),
            ""
        )
        .into_bytes())
    };
    spool.append(captured_at, body)
}

fn pending(spool: &Spool) -> Vec<(u64, u64)> {
    let (Some(oldest), Some(newest)) = (spool.ledger().oldest(), spool.ledger().newest()) else {
        return Vec::new();
    };
    let positions = (oldest..=newest).filter_map(|number| spool.read(number).ok());
    positions
        .map(|(position, _)| (position.epoch(), position.seq()))
        .collect()
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .collect();
    files.sort();
    files
}

/// What a crash at this moment leaves behind.
fn copy_of(dir: &Path) -> TempDir {
    let image = TempDir::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, image.path().join(path.file_name().unwrap())).unwrap();
    }
    image
}
