//! The collector against files that grow, are rotated, cut, hidden and forged.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

use monsys_core::endpoint::CollectorState;

use super::record::RECORD_BYTES;
use super::record::tests::record;
use super::tail::READ_BYTES_MAX;
use super::*;
use crate::testing::Tree;

const LOG: &str = "var/log/auth.log";

fn accepted(n: usize) -> String {
    "Nov  1 02:03:04 h sshd[1]: Accepted password for bob\n".repeat(n)
}

fn refused(n: usize) -> String {
    "2026-11-01T02:03:04Z h sshd[1]: Failed password for bob\n".repeat(n)
}

fn append(tree: &Tree, path: &str, content: impl AsRef<[u8]>) {
    let path = tree.path(path);
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(content.as_ref()).unwrap();
}

/// A machine with a log, of which nothing was counted yet.
fn machine() -> (Tree, AuthCollector) {
    let tree = Tree::new();
    tree.file(LOG, accepted(5));
    let mut collector = AuthCollector::at(tree.root());
    assert_eq!(told(&mut collector), [0, 0], "history is not counted");
    (tree, collector)
}

/// Successes and failures of sshd, of which a snapshot became durable.
fn told(collector: &mut AuthCollector) -> [i64; 2] {
    let counts = collector.look().items;
    collector.note_told();
    [AuthOutcome::Success, AuthOutcome::Failure].map(|outcome| {
        let is_it = |count: &&AuthCount| count.outcome == outcome;
        let counts = counts.iter().filter(is_it).map(|count| count.count.get());
        counts.sum()
    })
}

#[test]
fn what_is_written_between_two_snapshots_is_counted_once() {
    let (tree, mut collector) = machine();
    append(&tree, LOG, accepted(2) + &refused(3));
    assert_eq!(told(&mut collector), [2, 3]);
    assert_eq!(told(&mut collector), [0, 0]);
}

#[test]
fn a_snapshot_that_was_not_durable_is_told_again_with_what_came_since() {
    let (tree, mut collector) = machine();
    append(&tree, LOG, accepted(2));
    assert_eq!(collector.look().items[0].count.get(), 2);
    append(&tree, LOG, accepted(1));
    assert_eq!(told(&mut collector), [3, 0]);
}

#[test]
fn a_line_that_is_half_written_is_counted_when_it_is_whole() {
    let (tree, mut collector) = machine();
    let line = accepted(1);
    let (head, tail) = line.split_at(40);
    append(&tree, LOG, head);
    assert_eq!(told(&mut collector), [0, 0]);
    append(&tree, LOG, tail);
    assert_eq!(told(&mut collector), [1, 0]);
}

#[test]
fn a_rotated_log_is_read_to_its_end_and_the_new_one_from_its_start() {
    let (tree, mut collector) = machine();
    append(&tree, LOG, accepted(1));
    fs::rename(tree.path(LOG), tree.path("var/log/auth.log.1")).unwrap();
    assert_eq!(
        told(&mut collector),
        [0, 0],
        "between two steps there is no log"
    );
    tree.file(LOG, refused(2));
    assert_eq!(told(&mut collector), [1, 2]);
}

#[test]
fn a_rotated_log_that_is_packed_at_once_loses_only_its_rest() {
    let (tree, mut collector) = machine();
    append(&tree, LOG, accepted(1));
    // Another file may get the number of one that is gone; kept, it cannot.
    let kept = File::open(tree.path(LOG)).unwrap();
    fs::remove_file(tree.path(LOG)).unwrap();
    tree.file("var/log/auth.log.1", accepted(9));
    tree.file(LOG, refused(2));
    assert_eq!(told(&mut collector), [0, 2]);
    drop(kept);
}

#[test]
fn a_log_that_is_cut_in_place_is_read_from_its_start() {
    let (tree, mut collector) = machine();
    let log = OpenOptions::new().write(true).open(tree.path(LOG)).unwrap();
    log.set_len(0).unwrap();
    append(&tree, LOG, refused(1));
    assert_eq!(told(&mut collector), [0, 1]);
}

#[test]
fn a_log_that_appears_later_is_read_from_its_start() {
    let tree = Tree::new();
    let mut collector = AuthCollector::at(tree.root());
    assert_eq!(told(&mut collector), [0, 0]);
    tree.file(LOG, accepted(2));
    assert_eq!(told(&mut collector), [2, 0]);
}

#[test]
fn records_and_lines_are_counted_apart() {
    let (tree, mut collector) = machine();
    for path in [WTMP, BTMP] {
        tree.file(path, record(7, RECORD_BYTES));
    }
    let _ = told(&mut collector);
    collector.note_told();
    append(
        &tree,
        WTMP,
        [record(7, RECORD_BYTES), record(8, RECORD_BYTES)].concat(),
    );
    append(&tree, BTMP, record(6, RECORD_BYTES).repeat(2));
    append(&tree, LOG, accepted(1));
    let found = collector.look();
    let plain = |count: &AuthCount| (count.service.to_string(), count.outcome, count.count.get());
    let expected = [
        ("session".to_owned(), AuthOutcome::Success, 1),
        ("session".to_owned(), AuthOutcome::Failure, 2),
        ("sshd".to_owned(), AuthOutcome::Success, 1),
    ];
    assert_eq!(found.items.iter().map(plain).collect::<Vec<_>>(), expected);
    assert_eq!(found.health.state, CollectorState::Ok);
}

#[test]
fn a_log_that_grew_by_more_than_is_read_at_once_is_degraded_and_goes_on() {
    let (tree, mut collector) = machine();
    let line = accepted(1);
    let n_lines = usize::try_from(READ_BYTES_MAX).unwrap() / line.len() + 100;
    append(&tree, LOG, line.repeat(n_lines));
    let found = collector.look();
    assert_eq!(found.health.state, CollectorState::Degraded);
    let reason = found.health.reason.unwrap();
    assert!(reason.as_str().contains("grew by more"), "{reason}");
    let n = usize::try_from(found.items[0].count.get()).unwrap();
    assert!(n < n_lines && n > n_lines - 110, "{n} of {n_lines}");
    collector.note_told();
    append(&tree, LOG, accepted(1));
    assert_eq!(told(&mut collector), [1, 0]);
}

#[test]
fn a_record_that_was_half_written_before_the_start_is_counted_when_it_is_whole() {
    let tree = Tree::new();
    let one = record(7, RECORD_BYTES);
    tree.file(WTMP, [&one[..], &one[..100]].concat());
    let mut collector = AuthCollector::at(tree.root());
    assert_eq!(told(&mut collector), [0, 0]);
    // The C library cuts it off and writes two others.
    tree.file(WTMP, one.repeat(3));
    assert_eq!(told(&mut collector), [2, 0]);
}

#[test]
fn records_beyond_what_is_read_at_once_are_passed_by_whole() {
    let tree = Tree::new();
    tree.file(WTMP, "");
    let mut collector = AuthCollector::at(tree.root());
    let _ = collector.look();
    let n_read = usize::try_from(READ_BYTES_MAX).unwrap() / RECORD_BYTES;
    // Logouts hold nothing to count; of the logins at the end none is lost.
    append(&tree, WTMP, record(8, RECORD_BYTES).repeat(n_read));
    append(&tree, WTMP, record(7, RECORD_BYTES).repeat(500));
    assert_eq!(collector.look().items[0].count.get(), 500);
}

#[test]
fn p1_names_and_addresses_of_a_log_are_not_kept_even_in_memory() {
    let tree = Tree::new();
    tree.file(LOG, "");
    tree.file(WTMP, "");
    let mut collector = AuthCollector::at(tree.root());
    let _ = collector.look();
    append(
        &tree,
        LOG,
        "Nov  1 02:03:04 h sshd[1]: Accepted password for canary from 192.0.2.7\n",
    );
    append(&tree, WTMP, record(7, RECORD_BYTES));
    let found = collector.look();
    let kept = format!("{collector:?}{found:?}");
    assert!(kept.contains("Sshd") && kept.contains("Session"), "{kept}");
    assert!(
        !kept.contains("canary") && !kept.contains("192.0.2.7"),
        "{kept}"
    );
}

#[test]
fn e5_a_machine_without_any_log_is_unavailable_and_names_what_it_has() {
    let tree = Tree::new();
    tree.dir("var/log/journal");
    tree.file("var/lib/wtmpdb/wtmp.db", "");
    let health = AuthCollector::at(tree.root()).look().health;
    assert_eq!(health.state, CollectorState::Unavailable);
    let reason = health.reason.unwrap();
    let expected = "/var/log/wtmp not there; /var/log/btmp not there; /var/log/auth.log not there; \
        /var/log/secure not there; /var/lib/wtmpdb/wtmp.db is a data base, not read; \
        /var/log/journal is a data base, not read";
    assert_eq!(reason.as_str(), expected);
}

#[test]
fn e5_a_machine_with_logins_only_is_degraded() {
    let tree = Tree::new();
    tree.file(WTMP, "");
    let health = AuthCollector::at(tree.root()).look().health;
    assert_eq!(health.state, CollectorState::Degraded);
    assert!(
        health
            .reason
            .unwrap()
            .as_str()
            .starts_with("/var/log/btmp not there; ")
    );
}

#[test]
fn e5_a_log_that_is_no_file_is_not_readable_and_stops_nothing() {
    let tree = Tree::new();
    tree.dir(LOG);
    tree.dir(WTMP);
    let health = AuthCollector::at(tree.root()).look().health;
    assert_eq!(health.state, CollectorState::Unavailable);
    assert!(
        health
            .reason
            .unwrap()
            .as_str()
            .contains("/var/log/auth.log not readable")
    );
}
