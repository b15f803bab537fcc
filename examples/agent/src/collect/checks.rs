//! The checks whose results are signals: posture of the machine, its clock, its backups.
//!
//! What: asks each check and puts together what they say. What not: whether an answer is bad enough
//! to count; `monsys_signals` says the severity, the hub scores. What a check could not see is an
//! answer of its own, `unknown` with a reason, and makes its collector degraded, or unavailable when
//! it saw nothing at all. Cost: that of the checks.

use monsys_core::endpoint::CollectorHealth;
use monsys_core::signal::SignalDraft;
use monsys_core::time::Timestamp;
use monsys_signals::check::{self, Answer, Backup, BackupSeen, Check, assess, assess_backups};

use super::backup::{self, BackupSetting};
use super::root::Root;
use super::{clock_check, health, posture};
use crate::clock::wall_now;

/// Makes the checks of one machine.
#[derive(Debug)]
pub struct Checks {
    root: Root,
    backups: Vec<BackupSetting>,
}

/// What one round of checks said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// One signal for each thing that was checked.
    pub signals: Vec<SignalDraft>,
    /// How each check fared.
    pub health: Vec<CollectorHealth>,
}

impl Checks {
    /// Makes the checks of the machine below a root, without backups.
    pub const fn at(root: Root) -> Self {
        Self {
            root,
            backups: Vec::new(),
        }
    }

    /// Watches these backups from the next round on.
    pub fn watch(&mut self, backups: &[BackupSetting]) {
        backups.clone_into(&mut self.backups);
    }

    /// Makes all checks; what they say is observed at `now`.
    ///
    /// Ages of files are by the wall clock, which stamps them, also where `now` is of a clock that
    /// runs faster.
    pub fn look(&mut self, now: Timestamp) -> Checked {
        self.look_at(wall_now(), now)
    }

    fn look_at(&self, wall: Timestamp, now: Timestamp) -> Checked {
        let posture = posture::look(&self.root, wall);
        let clock = [(
            Check::ClockSynchronised,
            clock_check::look(&self.root, wall),
        )];
        let backups = backup::look(&self.root, &self.backups, wall);
        let answers = posture.iter().chain(&clock);
        let mut signals: Vec<SignalDraft> = answers
            .map(|(check, answer)| assess(*check, *answer, now))
            .collect();
        signals.extend(assess_backups(&backups, now));
        let mut health = vec![
            health_of(check::POSTURE, &posture),
            health_of(check::CLOCK, &clock),
        ];
        health.extend(health_of_backups(&backups));
        Checked { signals, health }
    }
}

/// Tells whether two rounds say the same, whenever they said it.
pub fn says_the_same(one: &[SignalDraft], other: &[SignalDraft]) -> bool {
    let is_same = |(one, other): (&SignalDraft, &SignalDraft)| {
        (&one.source, &one.key) == (&other.source, &other.key)
            && (&one.value, &one.severity) == (&other.value, &other.severity)
    };
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

fn health_of(collector: &str, answers: &[(Check, Answer)]) -> CollectorHealth {
    let unknown = answers.iter().filter_map(|(check, answer)| match answer {
        Answer::Unknown(reason) => Some((check.key(), *reason)),
        Answer::True | Answer::False => None,
    });
    of_unknown(collector, &unknown.collect::<Vec<_>>(), answers.len())
}

/// Nothing when no backup is watched.
fn health_of_backups(backups: &[Backup<'_>]) -> Option<CollectorHealth> {
    let unknown = backups.iter().filter_map(|backup| match backup.seen {
        BackupSeen::Unknown(reason) => Some((backup.name, reason)),
        BackupSeen::Age(_) | BackupSeen::Absent => None,
    });
    let unknown: Vec<_> = unknown.collect();
    (!backups.is_empty()).then(|| of_unknown(check::BACKUP, &unknown, backups.len()))
}

/// One reason fits in; of more, the names do.
fn of_unknown(collector: &str, unknown: &[(&str, &str)], n: usize) -> CollectorHealth {
    let reason = match unknown {
        [] => return health::ok(collector),
        [(name, reason)] => format!("{name}: {reason}"),
        [..] => {
            let names: Vec<&str> = unknown.iter().map(|(name, _)| *name).collect();
            format!("unknown: {}", names.join(", "))
        }
    };
    if unknown.len() == n {
        health::unavailable(collector, &reason)
    } else {
        health::degraded(collector, &reason)
    }
}

#[cfg(test)]
mod tests {
    use monsys_core::endpoint::CollectorState;
    use monsys_core::id::AgentId;

    use super::*;
    use crate::testing::Tree;

    fn wall() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
    }

    fn look(tree: &Tree, backups: &str) -> Checked {
        let table: toml::Table = backups.parse().unwrap();
        let mut checks = Checks::at(tree.root());
        checks.watch(&backup::parse(&table["backup"]).unwrap());
        checks.look_at(wall(), wall())
    }

    const BACKUP: &str = "[[backup]]\nname = \"nightly\"\npath = \"/backup\"\nmax_age_hours = 26\n";

    #[test]
    fn e5_a_machine_of_which_nothing_can_be_seen_is_unknown_and_has_no_finding() {
        let checked = look(&Tree::new(), "backup = []");
        assert_eq!(checked.signals.len(), Check::ALL.len());
        for signal in &checked.signals {
            assert!(
                signal
                    .value
                    .starts_with(r#"{"value": "unknown", "reason": ""#)
            );
            assert_eq!(signal.severity, None, "{signal:?}");
        }
        for health in &checked.health {
            assert_eq!(health.state, CollectorState::Unavailable, "{health:?}");
            assert!(health.reason.is_some());
        }
        let names = checked
            .health
            .iter()
            .map(|health| health.collector.as_str());
        assert!(
            names.eq(["endpoint_posture", "clock_check"]),
            "no backup is watched"
        );
    }

    #[test]
    fn e5_a_machine_of_which_a_part_can_be_seen_is_degraded_and_says_which() {
        let tree = Tree::new();
        tree.file("etc/ufw/ufw.conf", "ENABLED=no\n");
        let checked = look(&tree, BACKUP);
        let posture = &checked.health[0];
        assert_eq!(posture.state, CollectorState::Degraded);
        let reason = posture.reason.as_ref().unwrap().as_str();
        let expected = "unknown: posture.disk_encryption, posture.reboot_required, \
            posture.secure_boot, posture.updates, posture.updates_checked";
        assert_eq!(reason, expected);
        let clock = checked.health[1].reason.as_ref().unwrap().as_str();
        let expected = "clock.synchronised: no known time service leaves a trace";
        assert_eq!(clock, expected);
        let firewall = checked.signals.iter().find(|s| s.key == "posture.firewall");
        assert_eq!(firewall.unwrap().severity.as_deref(), Some("high"));
        assert_eq!(checked.health[2].state, CollectorState::Ok);
        let absent = checked.signals.iter().find(|s| s.key == "backup.present");
        assert_eq!(absent.unwrap().severity.as_deref(), Some("high"));
    }

    #[test]
    fn the_hub_admits_every_round_of_this_machine() {
        let mut checks = Checks::at(Root::system());
        let now = wall_now();
        let checked = checks.look(now);
        assert!(checked.signals.len() >= Check::ALL.len());
        let caller = AgentId::from_bytes([7; 16]);
        assert!(monsys_signals::admit(checked.signals.clone(), caller, now).is_ok());
        let again = checks.look(wall_now());
        assert!(says_the_same(&checked.signals, &again.signals));
    }
}
