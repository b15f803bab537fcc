//! What a look at the own machine means: the signals of an agent with their severities.
//!
//! What: an [`Answer`] to each [`Check`], and the ages of the backups that somebody named, become
//! drafts of the three sources that agents may use. What not: reading the machine; the agent does
//! that and decides nothing. Cost: one small text a signal.
//!
//! # Three answers
//! A value is true, false, or the word `unknown` with a reason. What could not be seen is no
//! finding: it has no severity and costs no points, and a page shows it as unknown. It replaces what
//! was known before, so that an old answer never stands for a new one. Who can make a machine
//! unreadable to its agent can hide a finding this way; the reason then says so.
//!
//! # Signals
//! | key | true | false | finding |
//! |---|---|---|---|
//! | `clock.synchronised` | another clock corrected this one in the last hours | none ever did | false: medium |
//! | `posture.disk_encryption` | every way from data to disk is encrypted | one is not | false: high |
//! | `posture.firewall` | a firewall is set to run | one is installed and none is | false: high |
//! | `posture.reboot_required` | something installed waits for a restart | nothing does | true: low |
//! | `posture.secure_boot` | the firmware starts only what is signed | it starts anything | false: medium |
//! | `posture.updates` | updates wait | none does | true: medium |
//! | `posture.updates_checked` | the machine looked for updates this week | it did not | false: medium |
//! | `backup.present` | every named backup is there | one is gone | false: high |
//!
//! `backup.age_hours` is a number of hours: beyond its limit medium, from twice that on high.
//!
//! # Severities
//! Ours, because the signals document names none. High: one step leads from the finding to the data
//! (a disk that anyone can read, a machine open to its network, no backup at all). Medium: another
//! fault is needed besides. Low: it will be in order by itself soon.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use monsys_core::json::ObjectText;
use monsys_core::severity::Severity;
use monsys_core::signal::SignalDraft;
use monsys_core::text;
use monsys_core::time::{Span, Timestamp};

use crate::agent::SUBJECT_TYPE;

/// How long a signal holds: three rounds of an agent that looks every 5 min.
pub const TTL: Span = Span::from_secs(900);

/// Source of how the machine is set up.
pub const POSTURE: &str = "endpoint_posture";
/// Source of whether its clock is kept right.
pub const CLOCK: &str = "clock_check";
/// Source of how old its backups are.
pub const BACKUP: &str = "backup_check";

/// Key of the age of the backup that is furthest beyond its limit, in whole hours.
pub const BACKUP_AGE_HOURS: &str = "backup.age_hours";
/// Key of whether every backup that somebody named is there.
pub const BACKUP_PRESENT: &str = "backup.present";

/// What an agent looks at. Open: more checks will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Check {
    /// Whether the clock is kept right by another one.
    ClockSynchronised,
    /// Whether the disks under the data are encrypted by the operating system.
    DiskEncryption,
    /// Whether a firewall is set to run.
    Firewall,
    /// Whether something installed needs a restart of the machine to take effect.
    RebootRequired,
    /// Whether the firmware starts only what is signed.
    SecureBoot,
    /// Whether updates wait to be installed.
    Updates,
    /// Whether the machine looked for updates in the last days.
    UpdatesChecked,
}

/// What was seen. Closed: values are true, false or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is as the name of the check says.
    True,
    /// It is not.
    False,
    /// It could not be seen, and why: a short text of the agent's own, never one of the machine.
    Unknown(&'static str),
}

/// A backup that somebody told the agent to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup<'a> {
    /// Its name.
    pub name: &'a str,
    /// How old it may become.
    pub age_max: Span,
    /// What was seen of it.
    pub seen: BackupSeen,
}

/// What was seen of a backup. Closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupSeen {
    /// How long ago it was written last.
    Age(Span),
    /// The place can be read and holds none.
    Absent,
    /// The place cannot be read, and why: a short text of the agent's own.
    Unknown(&'static str),
}

impl Check {
    /// All checks, by key.
    pub const ALL: [Self; 7] = [
        Self::ClockSynchronised,
        Self::DiskEncryption,
        Self::Firewall,
        Self::RebootRequired,
        Self::SecureBoot,
        Self::Updates,
        Self::UpdatesChecked,
    ];

    /// Returns the source that may speak about it.
    pub const fn source(self) -> &'static str {
        match self {
            Self::ClockSynchronised => CLOCK,
            Self::DiskEncryption
            | Self::Firewall
            | Self::RebootRequired
            | Self::SecureBoot
            | Self::Updates
            | Self::UpdatesChecked => POSTURE,
        }
    }

    /// Returns the key of its signal.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ClockSynchronised => "clock.synchronised",
            Self::DiskEncryption => "posture.disk_encryption",
            Self::Firewall => "posture.firewall",
            Self::RebootRequired => "posture.reboot_required",
            Self::SecureBoot => "posture.secure_boot",
            Self::Updates => "posture.updates",
            Self::UpdatesChecked => "posture.updates_checked",
        }
    }

    /// Returns how bad an answer is; nothing for a good one and for unknown.
    pub const fn severity(self, answer: Answer) -> Option<Severity> {
        match (self, answer) {
            (Self::DiskEncryption | Self::Firewall, Answer::False) => Some(Severity::High),
            (Self::ClockSynchronised | Self::SecureBoot | Self::UpdatesChecked, Answer::False)
            | (Self::Updates, Answer::True) => Some(Severity::Medium),
            (Self::RebootRequired, Answer::True) => Some(Severity::Low),
            (
                Self::ClockSynchronised
                | Self::DiskEncryption
                | Self::Firewall
                | Self::SecureBoot
                | Self::UpdatesChecked,
                Answer::True,
            )
            | (Self::RebootRequired | Self::Updates, Answer::False)
            | (_, Answer::Unknown(_)) => None,
        }
    }
}

/// Makes the signal of one check.
///
/// ```
/// use monsys_core::time::Timestamp;
/// use monsys_signals::check::{Answer, Check, assess};
///
/// let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
/// let closed = assess(Check::Firewall, Answer::True, now);
/// assert_eq!((closed.value.as_str(), closed.severity), (r#"{"value": true}"#, None));
/// let open = assess(Check::Firewall, Answer::False, now);
/// assert_eq!(open.severity.as_deref(), Some("high"));
/// let unseen = assess(Check::Firewall, Answer::Unknown("no firewall is known"), now);
/// assert_eq!(unseen.value, r#"{"value": "unknown", "reason": "no firewall is known"}"#);
/// assert_eq!(unseen.severity, None);
/// # Ok::<(), monsys_core::time::TimeError>(())
/// ```
pub fn assess(check: Check, answer: Answer, now: Timestamp) -> SignalDraft {
    let value = match answer {
        Answer::True => ObjectText::new().boolean("value", true),
        Answer::False => ObjectText::new().boolean("value", false),
        Answer::Unknown(reason) => unknown(reason),
    };
    draft(
        check.source(),
        check.key(),
        value,
        check.severity(answer),
        now,
    )
}

/// Makes the signals of all backups: whether each is there, and the age of the one that is furthest
/// beyond its limit. None for no backup: who named none did not ask.
///
/// A backup that is late is medium, from twice its limit on high, because then it is not late but
/// has stopped; one that is gone is high. A backup from the future has no age: the clock that wrote
/// it or the one that reads it is wrong.
///
/// ```
/// use monsys_core::time::{Span, Timestamp};
/// use monsys_signals::check::{Backup, BackupSeen, assess_backups};
///
/// let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
/// let hours = |n: i64| Span::from_secs(n * 3_600);
/// let seen = BackupSeen::Age(hours(30));
/// let nightly = Backup { name: "nightly", age_max: hours(26), seen };
/// let [present, age] = assess_backups(&[nightly], now).try_into().unwrap();
/// assert_eq!((present.value.as_str(), present.severity), (r#"{"value": true}"#, None));
/// assert_eq!(age.value, r#"{"value": 30, "backup": "nightly", "max_hours": 26}"#);
/// assert_eq!(age.severity.as_deref(), Some("medium"));
/// # Ok::<(), monsys_core::time::TimeError>(())
/// ```
pub fn assess_backups(backups: &[Backup<'_>], now: Timestamp) -> Vec<SignalDraft> {
    if backups.is_empty() {
        return Vec::new();
    }
    vec![presence(backups, now), worst_age(backups, now)]
}

fn presence(backups: &[Backup<'_>], now: Timestamp) -> SignalDraft {
    let is_absent = |backup: &&Backup<'_>| backup.seen == BackupSeen::Absent;
    let first_absent = backups.iter().find(is_absent);
    let (value, severity) = match (first_absent, first_unknown(backups)) {
        (Some(backup), _) => {
            let n_absent = count(backups.iter().filter(is_absent).count());
            let value = ObjectText::new()
                .boolean("value", false)
                .text("backup", &clean(backup.name))
                .integer("n_absent", n_absent);
            (value, Some(Severity::High))
        }
        (None, Some((backup, reason))) => {
            (unknown(reason).text("backup", &clean(backup.name)), None)
        }
        (None, None) => (ObjectText::new().boolean("value", true), None),
    };
    draft(BACKUP, BACKUP_PRESENT, value, severity, now)
}

fn worst_age(backups: &[Backup<'_>], now: Timestamp) -> SignalDraft {
    let ages = backups.iter().filter_map(|backup| match backup.seen {
        BackupSeen::Age(age) if age.micros() >= 0 => Some((backup, age)),
        BackupSeen::Age(_) | BackupSeen::Absent | BackupSeen::Unknown(_) => None,
    });
    let beyond =
        |(backup, age): &(&Backup<'_>, Span)| age.micros().saturating_sub(backup.age_max.micros());
    let (value, severity) = match ages.max_by_key(beyond) {
        Some((backup, age)) => {
            let value = ObjectText::new()
                .integer("value", hours(age))
                .text("backup", &clean(backup.name))
                .integer("max_hours", hours(backup.age_max));
            (value, lateness(age, backup.age_max))
        }
        None => {
            let reason = first_unknown(backups).map_or("no backup is there", |(_, why)| why);
            (unknown(reason), None)
        }
    };
    draft(BACKUP, BACKUP_AGE_HOURS, value, severity, now)
}

fn first_unknown<'b, 'a>(backups: &'b [Backup<'a>]) -> Option<(&'b Backup<'a>, &'static str)> {
    backups.iter().find_map(|backup| match backup.seen {
        BackupSeen::Unknown(reason) => Some((backup, reason)),
        BackupSeen::Age(age) if age.micros() < 0 => Some((backup, "written in the future")),
        BackupSeen::Age(_) | BackupSeen::Absent => None,
    })
}

fn lateness(age: Span, age_max: Span) -> Option<Severity> {
    let (age, limit) = (age.micros(), age_max.micros());
    if age <= limit {
        None
    } else if age < limit.saturating_mul(2) {
        Some(Severity::Medium)
    } else {
        Some(Severity::High)
    }
}

fn unknown(reason: &str) -> ObjectText {
    ObjectText::new()
        .text("value", "unknown")
        .text("reason", &clean(reason))
}

fn draft(
    source: &str,
    key: &str,
    value: ObjectText,
    severity: Option<Severity>,
    now: Timestamp,
) -> SignalDraft {
    SignalDraft {
        source: source.to_string(),
        subject_type: SUBJECT_TYPE.to_string(),
        // The hub puts the caller here, whatever stands (signals document).
        subject_id: String::new(),
        key: key.to_string(),
        value: value.finish(),
        severity: severity.map(|severity| severity.as_str().to_string()),
        observed_at: now,
        ttl_seconds: Some(TTL.micros() / MICROS_PER_S),
    }
}

fn clean(name: &str) -> String {
    text::clean(name, TEXT_CHARS_MAX)
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn hours(span: Span) -> i64 {
    span.micros().div_euclid(3_600 * MICROS_PER_S)
}

/// Longest name or reason in a signal, in characters: a line that a person reads.
const TEXT_CHARS_MAX: usize = 128;
const MICROS_PER_S: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use monsys_core::AgentId;

    use super::*;
    use crate::agent::{SOURCES, admit};
    use crate::controls::Controls;

    const NOW: Timestamp = match Timestamp::from_unix_micros(1_778_364_220_000_000) {
        Ok(now) => now,
        Err(_) => panic!("a time of this century"),
    };
    const H: i64 = 3_600;

    fn age(name: &str, age_h: i64, max_h: i64) -> Backup<'_> {
        seen(name, max_h, BackupSeen::Age(Span::from_secs(age_h * H)))
    }

    fn seen(name: &str, max_h: i64, seen: BackupSeen) -> Backup<'_> {
        let age_max = Span::from_secs(max_h * H);
        Backup {
            name,
            age_max,
            seen,
        }
    }

    fn said(backups: &[Backup<'_>]) -> Vec<(String, Option<String>)> {
        let drafts = assess_backups(backups, NOW);
        drafts.into_iter().map(|d| (d.value, d.severity)).collect()
    }

    #[test]
    fn every_answer_to_every_check_is_admitted_by_the_hub() {
        for check in Check::ALL {
            for answer in [Answer::True, Answer::False, Answer::Unknown("a \"reason\"")] {
                let draft = assess(check, answer, NOW);
                let admitted = admit(vec![draft], AgentId::from_bytes([7; 16]), NOW).unwrap();
                assert_eq!(admitted[0].severity(), check.severity(answer), "{check:?}");
            }
            assert!(SOURCES.contains(&check.source()));
        }
    }

    #[test]
    fn each_check_has_one_bad_answer_and_unknown_is_never_bad() {
        for check in Check::ALL {
            let [yes, no, unseen] =
                [Answer::True, Answer::False, Answer::Unknown("x")].map(|a| check.severity(a));
            assert_ne!(yes.is_some(), no.is_some(), "{check:?}");
            assert_eq!(unseen, None, "{check:?}");
        }
    }

    #[test]
    fn the_table_of_the_documentation_is_that_of_the_code() {
        let text = include_str!("check.rs");
        for check in Check::ALL {
            let (answer, severity) = [("true", Answer::True), ("false", Answer::False)]
                .into_iter()
                .find_map(|(word, answer)| Some((word, check.severity(answer)?)))
                .unwrap();
            let start = alloc::format!("//! | `{}` |", check.key());
            let end = alloc::format!("| {answer}: {severity} |");
            let is_row = |line: &str| line.starts_with(&start) && line.ends_with(&end);
            assert_eq!(
                text.lines().filter(|line| is_row(line)).count(),
                1,
                "{check:?}"
            );
        }
    }

    #[test]
    fn keys_are_in_order_and_a_control_asks_for_each() {
        let controls = Controls::nist_csf_2();
        let keys = Check::ALL.map(Check::key);
        assert!(keys.is_sorted_by(|a, b| a < b));
        for key in keys.iter().chain(&[BACKUP_AGE_HOURS, BACKUP_PRESENT]) {
            assert!(controls.of(key).count() > 0, "{key}");
        }
    }

    #[test]
    fn the_backup_furthest_beyond_its_limit_is_told_and_others_are_not() {
        let [_, (value, severity)] =
            said(&[age("a", 100, 200), age("b", 30, 26), age("c", 25, 26)])
                .try_into()
                .unwrap();
        assert_eq!(value, r#"{"value": 30, "backup": "b", "max_hours": 26}"#);
        assert_eq!(severity.as_deref(), Some("medium"));
    }

    #[test]
    fn lateness_begins_after_the_limit_and_is_worse_from_twice_it_on() {
        let of = |age_h| said(&[age("a", age_h, 24)])[1].1.clone();
        assert_eq!(of(24), None);
        assert_eq!(of(25).as_deref(), Some("medium"));
        assert_eq!(of(47).as_deref(), Some("medium"));
        assert_eq!(of(48).as_deref(), Some("high"));
    }

    #[test]
    fn a_backup_that_is_gone_is_a_finding_and_one_that_cannot_be_seen_is_not() {
        let gone = seen("gone", 24, BackupSeen::Absent);
        let hidden = seen("hidden", 24, BackupSeen::Unknown("permission denied"));
        let both = said(&[hidden, gone, age("c", 1, 24)]);
        let expected = r#"{"value": false, "backup": "gone", "n_absent": 1}"#;
        assert_eq!(both[0], (expected.to_string(), Some("high".to_string())));
        assert_eq!(both[1].1, None);
        let unseen = said(&[hidden]);
        assert!(unseen.iter().all(|(_, severity)| severity.is_none()));
        assert!(
            unseen
                .iter()
                .all(|(value, _)| value.contains("permission denied"))
        );
        let alone = said(&[gone]);
        assert_eq!(
            alone[1].0,
            r#"{"value": "unknown", "reason": "no backup is there"}"#
        );
    }

    #[test]
    fn a_backup_of_the_future_has_no_age() {
        let future = said(&[age("a", -1, 24)]);
        assert!(
            future
                .iter()
                .all(|(value, severity)| value.contains("written in the future")
                    && severity.is_none())
        );
    }

    #[test]
    fn who_named_no_backup_hears_nothing() {
        assert_eq!(assess_backups(&[], NOW), []);
    }

    #[test]
    fn names_and_reasons_are_cleaned_and_cut() {
        let long = "x\u{202e}\n".repeat(500);
        let signals = assess_backups(&[age(&long, 1, 2)], NOW);
        assert!(signals[1].value.len() < 200);
        assert!(admit(signals, AgentId::from_bytes([7; 16]), NOW).is_ok());
    }
}
