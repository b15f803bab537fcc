//! What an agent last said of its machine: what runs, listens, logs in and starts by itself.
//!
//! What: five bounded tables that one filter narrows. What not: judging any of it. All texts are
//! foreign, were cleaned on their way in, and meet HTML only in the template, which escapes them.
//! Cost: linear in the snapshot, whose size contract §2 bounds.

use monsys_core::endpoint::{
    AuthCount, CollectorHealth, EndpointText, Listener, Persistence, Process,
};
use monsys_core::time::Timestamp;

use super::when::When;
use crate::store::StoredSnapshot;

/// A snapshot, ready to be shown.
#[derive(Debug, Clone)]
pub(super) struct Endpoint<'a> {
    pub(super) at: When,
    pub(super) processes: Table<&'a Process>,
    pub(super) listeners: Table<&'a Listener>,
    pub(super) auth: Table<&'a AuthCount>,
    pub(super) persistence: Table<&'a Persistence>,
    pub(super) health: Table<&'a CollectorHealth>,
    /// How many collectors do not see everything.
    pub(super) n_unwell: usize,
}

/// The rows of one table that are shown.
#[derive(Debug, Clone)]
pub(super) struct Table<T> {
    pub(super) rows: Vec<T>,
    /// How many the filter admits.
    pub(super) n_found: usize,
    /// How many there are.
    pub(super) n_all: usize,
}

impl<T> Table<T> {
    /// Whether there is more than is shown.
    pub(super) const fn is_cut(&self) -> bool {
        self.n_found > self.rows.len()
    }
}

impl<'a> Endpoint<'a> {
    pub(super) fn new(stored: &'a StoredSnapshot, find: &str, now: Timestamp) -> Self {
        let seen = &stored.seen;
        let find = find.to_lowercase();
        let mut processes: Vec<_> = seen.processes.iter().collect();
        processes.sort_by(|a, b| (&a.name, a.pid).cmp(&(&b.name, b.pid)));
        let mut listeners: Vec<_> = seen.listeners.iter().collect();
        listeners.sort_by_key(|listener| (listener.port, listener.ip));
        let mut health: Vec<_> = seen.health.iter().collect();
        health.sort_by_key(|of| is_well(of));
        Self {
            at: When::new(stored.at, now),
            n_unwell: health.iter().filter(|of| !is_well(of)).count(),
            processes: table(processes, |process| {
                let pid = process.pid.to_string();
                let texts = [
                    Some(&process.name),
                    process.exe.as_ref(),
                    process.username.as_ref(),
                ];
                is_among(&find, &texts) || pid == find
            }),
            listeners: table(listeners, |listener| {
                let place = [listener.ip.to_string(), listener.port.to_string()];
                is_among(&find, &[listener.process.as_ref()]) || place.contains(&find)
            }),
            auth: table(seen.auth.iter().collect(), |count| {
                is_among(&find, &[Some(&count.service)]) || count.outcome.as_str() == find
            }),
            persistence: table(seen.persistence.iter().collect(), |place| {
                is_among(&find, &[Some(&place.kind), Some(&place.path)])
            }),
            health: table(health, |of| {
                is_among(&find, &[Some(&of.collector), of.reason.as_ref()])
                    || of.state.as_str() == find
            }),
        }
    }
}

fn is_well(health: &CollectorHealth) -> bool {
    health.state.as_str() == "ok"
}

fn is_among(find: &str, texts: &[Option<&EndpointText>]) -> bool {
    let texts = texts.iter().flatten();
    find.is_empty()
        || texts
            .into_iter()
            .any(|text| text.as_str().to_lowercase().contains(find))
}

fn table<T>(all: Vec<T>, is_wanted: impl Fn(&T) -> bool) -> Table<T> {
    let n_all = all.len();
    let mut rows: Vec<T> = all.into_iter().filter(|row| is_wanted(row)).collect();
    let n_found = rows.len();
    rows.truncate(ROWS_MAX);
    Table {
        rows,
        n_found,
        n_all,
    }
}

/// Rows of one table; a filter finds the others.
const ROWS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use monsys_core::endpoint::{CollectorState, EndpointSnapshot};

    use super::*;

    fn process(name: &str, pid: u32) -> Process {
        Process {
            name: EndpointText::name(name),
            pid,
            exe: Some(EndpointText::path("/usr/bin/x")),
            username: None,
        }
    }

    fn stored(seen: EndpointSnapshot) -> StoredSnapshot {
        StoredSnapshot {
            at: Timestamp::MIN,
            seen,
        }
    }

    #[test]
    fn a_filter_finds_what_a_person_reads() {
        let seen = EndpointSnapshot {
            processes: vec![
                process("sshd", 22),
                process("Cron", 7),
                process("bash", 1_022),
            ],
            ..EndpointSnapshot::default()
        };
        let stored = stored(seen);
        for (find, names) in [
            ("", &["Cron", "bash", "sshd"][..]),
            ("cron", &["Cron"]),
            ("22", &["sshd"]),
            ("/USR/bin", &["Cron", "bash", "sshd"]),
            ("nowhere", &[]),
        ] {
            let shown = Endpoint::new(&stored, find, Timestamp::MIN).processes;
            let found: Vec<_> = shown.rows.iter().map(|row| row.name.as_str()).collect();
            assert_eq!((found.as_slice(), shown.n_all), (names, 3), "{find}");
        }
    }

    #[test]
    fn tables_are_bounded_and_say_so() {
        let processes = (0..1_000).map(|pid| process("x", pid)).collect();
        let seen = EndpointSnapshot {
            processes,
            ..EndpointSnapshot::default()
        };
        let stored = stored(seen);
        let shown = Endpoint::new(&stored, "", Timestamp::MIN).processes;
        assert_eq!((shown.rows.len(), shown.n_found), (ROWS_MAX, 1_000));
        assert!(shown.is_cut());
    }

    #[test]
    fn collectors_that_do_not_see_everything_come_first() {
        let health = [("a", CollectorState::Ok), ("b", CollectorState::Degraded)];
        let health = health.map(|(name, state)| CollectorHealth {
            collector: EndpointText::name(name),
            state,
            reason: None,
        });
        let seen = EndpointSnapshot {
            health: health.into(),
            ..EndpointSnapshot::default()
        };
        let stored = stored(seen);
        let shown = Endpoint::new(&stored, "", Timestamp::MIN);
        assert_eq!(shown.health.rows[0].collector.as_str(), "b");
        assert_eq!(shown.n_unwell, 1);
    }
}
