//! How old the backups are that somebody told the agent to watch.
//!
//! What: the time of the newest file directly in a directory, or of the one file that is named. The
//! setting is `[[backup]]` in `agent.toml`: a `name` that the hub shows, a `path`, and
//! `max_age_hours`. The path is not sent. What not: whether a backup can be restored; only a restore
//! tells. Cost: one `stat` for each entry of the directory, at most [`ENTRIES_MAX`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use monsys_core::time::{Span, Timestamp};
use monsys_signals::check::{Backup, BackupSeen};
use serde::Deserialize;

use super::root::Root;
use super::small_file::written_at;

/// A backup that is watched, as `agent.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSetting {
    name: String,
    path: PathBuf,
    age_max: Span,
}

#[cfg(unix)]
impl BackupSetting {
    /// Writes the table of `agent.toml`; `quoted` spells a string of TOML.
    pub(crate) fn to_toml(&self, quoted: fn(&str) -> String) -> String {
        let Self {
            name,
            path,
            age_max,
        } = self;
        let path = quoted(&path.to_string_lossy());
        let hours = age_max.micros() / MICROS_PER_HOUR;
        format!("\n[[backup]]\nname = \"{name}\"\npath = {path}\nmax_age_hours = {hours}\n")
    }
}

/// Most entries of a directory that are looked at; a directory with more is unknown.
pub const ENTRIES_MAX: usize = 10_000;
/// Most backups of one agent.
pub const BACKUPS_MAX: usize = 16;

/// What a list of `[[backup]]` should be, for messages.
pub const EXPECTED: &str = "at most 16 tables, each with a name (letters, digits, dots, dashes, \
                            underscores; once), an absolute path, and max_age_hours (1 to 87600)";

/// Reads the list `backup` of the configuration; `None` unless it is as [`EXPECTED`].
pub fn parse(value: &toml::Value) -> Option<Vec<BackupSetting>> {
    let list: Vec<Table> = value.clone().try_into().ok()?;
    let settings: Vec<BackupSetting> = list.into_iter().map(setting).collect::<Option<_>>()?;
    let mut names: Vec<&str> = settings.iter().map(|setting| &*setting.name).collect();
    names.sort_unstable();
    let is_good = settings.len() <= BACKUPS_MAX && names.is_sorted_by(|a, b| a < b);
    is_good.then_some(settings)
}

/// Looks at every backup; `wall` is what the clock shows that stamps files.
pub fn look<'a>(root: &Root, settings: &'a [BackupSetting], wall: Timestamp) -> Vec<Backup<'a>> {
    let one = |setting: &'a BackupSetting| Backup {
        name: &setting.name,
        age_max: setting.age_max,
        seen: match newest(&root.path(&setting.path.to_string_lossy())) {
            Ok(Some(at)) => BackupSeen::Age(wall.since(at)),
            Ok(None) => BackupSeen::Absent,
            Err(error) => BackupSeen::Unknown(why(&error)),
        },
    };
    settings.iter().map(one).collect()
}

/// When the newest file was written; `None` when there is none.
fn newest(path: &Path) -> io::Result<Option<Timestamp>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => newest_in(path),
        Ok(_) => written_at(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn newest_in(dir: &Path) -> io::Result<Option<Timestamp>> {
    let mut newest = None;
    for (n, entry) in fs::read_dir(dir)?.enumerate() {
        if n == ENTRIES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let path = entry?.path();
        // A file that is removed while the directory is read is no backup any more.
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            newest = newest.max(written_at(&path).ok());
        }
    }
    Ok(newest)
}

fn why(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "permission denied"
    } else if error.kind() == io::ErrorKind::FileTooLarge {
        "the directory has more than 10000 entries"
    } else {
        "the place cannot be read"
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    path: PathBuf,
    max_age_hours: i64,
}

fn setting(table: Table) -> Option<BackupSetting> {
    let Table {
        name,
        path,
        max_age_hours,
    } = table;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_letter);
    let is_age = (1..=HOURS_MAX).contains(&max_age_hours);
    (is_name && is_age && path.is_absolute()).then(|| BackupSetting {
        name,
        path,
        age_max: Span::from_secs(max_age_hours * 3_600),
    })
}

const NAME_BYTES_MAX: usize = 64;
#[cfg(unix)]
const MICROS_PER_HOUR: i64 = 3_600_000_000;
/// Ten years.
const HOURS_MAX: i64 = 87_600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const H: i64 = 3_600;

    fn wall() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
    }

    fn settings(text: &str) -> Option<Vec<BackupSetting>> {
        let table: toml::Table = text.parse().unwrap();
        parse(&table["backup"])
    }

    fn one(name: &str, path: &str, hours: i64) -> String {
        format!("[[backup]]\nname = \"{name}\"\npath = \"{path}\"\nmax_age_hours = {hours}\n")
    }

    fn seen(tree: &Tree, path: &str) -> BackupSeen {
        let settings = settings(&one("a", path, 24)).unwrap();
        look(&tree.root(), &settings, wall())[0].seen
    }

    #[test]
    fn a_directory_is_as_old_as_its_newest_file_and_a_file_as_itself() {
        let tree = Tree::new();
        assert_eq!(seen(&tree, "/backup"), BackupSeen::Absent);
        tree.dir("backup/repository");
        assert_eq!(
            seen(&tree, "/backup"),
            BackupSeen::Absent,
            "no file directly in it"
        );
        tree.aged("backup/old", 50 * H, wall());
        tree.aged("backup/new", 30 * H, wall());
        let age = |hours| BackupSeen::Age(Span::from_secs(hours * H));
        assert_eq!(seen(&tree, "/backup"), age(30));
        assert_eq!(seen(&tree, "/backup/old"), age(50));
    }

    #[test]
    fn settings_of_another_form_are_refused() {
        let good = one("nightly-1.db", "/srv/backup", 26);
        assert_eq!(settings(&good).unwrap().len(), 1);
        assert_eq!(settings("backup = []"), Some(Vec::new()));
        let many: String = (0..17).map(|n| one(&n.to_string(), "/a", 1)).collect();
        for bad in [
            one("", "/a", 1),
            one("a b", "/a", 1),
            one("a@b.example", "/a", 1),
            one(&"a".repeat(65), "/a", 1),
            one("a", "relative", 1),
            one("a", "/a", 0),
            one("a", "/a", 87_601),
            good.clone() + &good,
            good.clone() + "owner = \"x\"\n",
            "[[backup]]\nname = \"a\"\n".to_owned(),
            "backup = 1".to_owned(),
            many,
        ] {
            assert_eq!(settings(&bad), None, "{bad}");
        }
    }
}
