//! Whether updates wait, and whether the machine looked for any in the last days.
//!
//! What: the count that Ubuntu's update-notifier writes for its greeting, as long as it is not older
//! than the last look for updates by more than a day; other systems write no count that can be read
//! without starting a program, and are unknown. Whether the machine looked is the age of its lists
//! of packages: apt, dnf, zypper and pacman. What not: comparing versions, which takes a package
//! manager. Cost: one small file, the ages of a few, and one small directory.

use std::fs;

use monsys_core::time::{Span, Timestamp};
use monsys_signals::check::Answer;

use crate::collect::root::Root;
use crate::collect::small_file::{age, read_text, written_at};

/// Reads the greeting of update-notifier; how many updates wait, `None` when it does not say.
///
/// Two forms are known: `12 updates can be applied immediately.` and, up to Ubuntu 18.04,
/// `12 packages can be updated.`
pub fn parse(text: &str) -> Option<u64> {
    let count = |line: &str| {
        let (number, rest) = line.trim().split_once(' ')?;
        let is_count = COUNTED.iter().any(|words| rest.starts_with(words));
        is_count.then(|| number.parse().ok()).flatten()
    };
    text.lines().find_map(count)
}

pub(super) fn look(root: &Root, wall: Timestamp) -> Answer {
    let Ok(counted) = age(root, NOTIFIER, wall) else {
        return Answer::Unknown("this system writes no count of updates");
    };
    let looked = last_look(root, wall).unwrap_or(counted);
    if counted.micros() > looked.micros().max(0).saturating_add(DAY.micros()) {
        return Answer::Unknown("the count of updates is older than the lists of packages");
    }
    match read_text(root, NOTIFIER).ok().as_deref().and_then(parse) {
        Some(0) => Answer::False,
        Some(_) => Answer::True,
        None => Answer::Unknown("the count of updates has another form"),
    }
}

pub(super) fn look_checked(root: &Root, wall: Timestamp) -> Answer {
    match last_look(root, wall) {
        Some(age) if age.micros() < -DAY.micros() => {
            Answer::Unknown("the lists of packages are from the future")
        }
        Some(age) if age.micros() <= LOOK_AGE_MAX.micros() => Answer::True,
        Some(_) => Answer::False,
        None => Answer::Unknown("no lists of packages can be read"),
    }
}

/// How long ago the machine looked for updates last.
fn last_look(root: &Root, wall: Timestamp) -> Option<Span> {
    let stamps = STAMPS.iter().filter_map(|path| age(root, path, wall).ok());
    let entries = LISTS.iter().filter_map(|dir| newest_in(root, dir, wall));
    stamps.chain(entries).min_by_key(|age| age.micros())
}

fn newest_in(root: &Root, dir: &str, wall: Timestamp) -> Option<Span> {
    let entries = fs::read_dir(root.path(dir)).ok()?;
    let times = entries
        .take(ENTRIES_MAX)
        .filter_map(|entry| written_at(&entry.ok()?.path()).ok());
    times.max().map(|at| wall.since(at))
}

const NOTIFIER: &str = "var/lib/update-notifier/updates-available";
const COUNTED: [&str; 4] = [
    "updates can be ",
    "update can be ",
    "packages can be updated",
    "package can be updated",
];
/// Written at each good look: by the timer of apt, and by every `apt update`.
const STAMPS: [&str; 3] = [
    "var/lib/apt/periodic/update-success-stamp",
    "var/lib/apt/lists/partial",
    "var/lib/apt/lists",
];
/// Directories of which the newest entry is as old as the last look: dnf, dnf5, zypper, pacman.
const LISTS: [&str; 4] = [
    "var/cache/dnf",
    "var/cache/libdnf5",
    "var/cache/zypp/raw",
    "var/lib/pacman/sync",
];
const ENTRIES_MAX: usize = 256;
const DAY: Span = Span::from_secs(86_400);
/// Timers of distributions look every day; a week without is a machine that was off or a fault.
const LOOK_AGE_MAX: Span = Span::from_secs(7 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const D: i64 = 86_400;

    fn wall() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
    }

    fn is_unknown(answer: Answer) -> bool {
        matches!(answer, Answer::Unknown(_))
    }

    #[test]
    fn greetings_of_old_and_new_systems_are_read() {
        for (text, expected) in [
            (
                "\n12 updates can be applied immediately.\n3 of these updates are standard security updates.\n",
                Some(12),
            ),
            ("\n1 update can be applied immediately.\n", Some(1)),
            ("\n0 updates can be applied immediately.\n\n", Some(0)),
            (
                "\n5 packages can be updated.\n2 updates are security updates.\n",
                Some(5),
            ),
            (
                "\nExpanded Security Maintenance for Applications is not enabled.\n\n4 updates can be applied immediately.\n",
                Some(4),
            ),
            ("3 of these updates are standard security updates.\n", None),
            (
                "-1 updates can be applied\nmany updates can be applied\n",
                None,
            ),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_count_stands_until_the_lists_are_newer() {
        let tree = Tree::new();
        let root = tree.root();
        assert!(is_unknown(look(&root, wall())));
        for (n, expected) in [(0, Answer::False), (7, Answer::True)] {
            tree.file(
                NOTIFIER,
                format!("\n{n} updates can be applied immediately.\n"),
            );
            tree.age(NOTIFIER, 9 * D, wall());
            tree.aged(STAMPS[0], 9 * D, wall());
            assert_eq!(look(&root, wall()), expected);
            tree.aged(STAMPS[0], 7 * D, wall());
            assert!(is_unknown(look(&root, wall())));
        }
        tree.aged(NOTIFIER, 0, wall());
        assert!(
            is_unknown(look(&root, wall())),
            "an empty greeting says nothing"
        );
    }

    #[test]
    fn a_machine_that_did_not_look_for_a_week_is_told() {
        let tree = Tree::new();
        let root = tree.root();
        assert!(is_unknown(look_checked(&root, wall())));
        tree.aged(STAMPS[0], 8 * D, wall());
        assert_eq!(look_checked(&root, wall()), Answer::False);
        tree.dir(STAMPS[1]);
        tree.age(STAMPS[2], 9 * D, wall());
        tree.age(STAMPS[1], 6 * D, wall());
        assert_eq!(
            look_checked(&root, wall()),
            Answer::True,
            "the newest counts"
        );
        tree.age(STAMPS[1], -2 * D, wall());
        assert!(is_unknown(look_checked(&root, wall())));
    }

    #[test]
    fn lists_of_other_package_managers_count() {
        for dir in LISTS {
            let tree = Tree::new();
            tree.aged(&format!("{dir}/old"), 9 * D, wall());
            assert_eq!(look_checked(&tree.root(), wall()), Answer::False, "{dir}");
            tree.aged(&format!("{dir}/new"), D, wall());
            assert_eq!(look_checked(&tree.root(), wall()), Answer::True, "{dir}");
        }
    }
}
