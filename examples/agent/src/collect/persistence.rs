//! Places from which programs start by themselves: names and paths only (contract §2).
//!
//! What: systemd units and timers that are enabled or made on this machine, cron in all its
//! directories, crontabs and jobs of users, init scripts, and what starts with a desktop. Nothing
//! is opened but directories, so that no content can be sent; a link is an entry and is not
//! followed, and one to `/dev/null` is a unit that must not start. What not: units that a package
//! brought and nobody enabled; shell profiles; homes on network file systems, which can hang. Paths are
//! those below the root, sorted, each once. What cannot be listed is said in health; a directory
//! that is not there is no fault, for few machines have them all. Cost: some dozens of directories.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use monsys_core::endpoint::{EndpointText, Persistence};
use monsys_core::limit;

use super::health::{self, Found};
use super::mounts::Mounts;
use super::read_text;
use super::root::Root;

/// What kind of place a program starts from. Closed: pages and baselines count by these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A unit of systemd.
    SystemdUnit,
    /// A timer of systemd.
    SystemdTimer,
    /// A crontab of the machine, or a script that cron runs.
    Cron,
    /// The crontab of a user.
    UserCrontab,
    /// A job for `at`.
    AtJob,
    /// A script of System V's init.
    InitScript,
    /// Something that starts with a desktop session.
    Autostart,
}

impl Kind {
    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SystemdUnit => "systemd_unit",
            Self::SystemdTimer => "systemd_timer",
            Self::Cron => "cron",
            Self::UserCrontab => "user_crontab",
            Self::AtJob => "at_job",
            Self::InitScript => "init_script",
            Self::Autostart => "autostart",
        }
    }

    /// Tells what the name of an entry of systemd says about it; `None` when it is no unit.
    pub fn of_unit(name: &str) -> Option<Self> {
        let (_, suffix) = name.rsplit_once('.')?;
        match suffix {
            "timer" => Some(Self::SystemdTimer),
            suffix if UNIT_SUFFIXES.contains(&suffix) => Some(Self::SystemdUnit),
            _ => None,
        }
    }
}

/// Lists the places of a machine; `homes` are the home directories of its users.
pub fn collect(root: &Root, homes: &[&str]) -> Found<Persistence> {
    let mut search = Search::of(root);
    if let Err(error) = fs::metadata(root.path("/etc")) {
        let reason = format!("expected /etc: {}", health::fault(&error));
        return Found {
            items: Vec::new(),
            health: health::unavailable(COLLECTOR, &reason),
        };
    }
    for dir in SYSTEMD_OWN {
        search.units(dir, Units::All);
    }
    for dir in SYSTEMD_VENDOR {
        search.units(dir, Units::Enabled);
    }
    for (dir, kind) in DIRECTORIES {
        search.files(dir, kind);
    }
    for (path, kind) in FILES {
        search.file(path, kind);
    }
    let mounts = read_text(&root.path("proc/mounts")).unwrap_or_default();
    let mounts = Mounts::parse(&mounts);
    for home in homes.iter().take(HOMES_MAX) {
        let home = home.trim_end_matches('/');
        if !mounts.is_local(home) {
            search.n_remote += 1;
        } else if !home.is_empty() {
            search.units(&format!("{home}/.config/systemd/user"), Units::All);
            search.files(&format!("{home}/.config/autostart"), Kind::Autostart);
        }
    }
    search.finish()
}

/// Which entries of a directory of systemd start by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Units {
    /// Every one: somebody put it there.
    All,
    /// Those that another one wants; the rest waits until it is enabled.
    Enabled,
}

struct Search<'a> {
    root: &'a Root,
    found: Vec<(Kind, String)>,
    /// Entries beyond what a snapshot holds.
    n_over: usize,
    /// Homes on file systems that can hang.
    n_remote: usize,
    /// The first directory that could not be listed, why, and how many there are.
    denied: Option<(String, &'static str)>,
    n_denied: usize,
}

impl<'a> Search<'a> {
    const fn of(root: &'a Root) -> Self {
        Self {
            root,
            found: Vec::new(),
            n_over: 0,
            n_remote: 0,
            denied: None,
            n_denied: 0,
        }
    }

    fn units(&mut self, dir: &str, which: Units) {
        for (name, is_dir) in self.list(dir) {
            let inner = is_dir.then(|| name.rsplit_once('.')).flatten();
            match inner {
                // `x.service.d/override.conf` changes what `x.service` starts.
                Some((_, "d")) if which == Units::All => {
                    for (part, _) in self.list(&format!("{dir}/{name}")) {
                        if part.ends_with(".conf") {
                            self.push(Kind::SystemdUnit, format!("{dir}/{name}/{part}"));
                        }
                    }
                }
                Some((_, "wants" | "requires" | "upholds")) => {
                    for (unit, _) in self.list(&format!("{dir}/{name}")) {
                        if let Some(kind) = Kind::of_unit(&unit) {
                            self.push(kind, format!("{dir}/{name}/{unit}"));
                        }
                    }
                }
                _ => {}
            }
            let kind = Kind::of_unit(&name).filter(|_| !is_dir && which == Units::All);
            if let Some(kind) = kind {
                self.push(kind, format!("{dir}/{name}"));
            }
        }
    }

    fn files(&mut self, dir: &str, kind: Kind) {
        for (name, is_dir) in self.list(dir) {
            // Cron runs none that begins with a dot; packages keep their directories with such.
            if !is_dir && !name.starts_with('.') {
                self.push(kind, format!("{dir}/{name}"));
            }
        }
    }

    fn file(&mut self, path: &str, kind: Kind) {
        if fs::symlink_metadata(self.root.path(path)).is_ok_and(|file| !file.is_dir()) {
            self.push(kind, path.to_owned());
        }
    }

    fn push(&mut self, kind: Kind, path: String) {
        if self.found.len() < limit::ENDPOINT_PERSISTENCE_MAX {
            self.found.push((kind, path));
        } else {
            self.n_over += 1;
        }
    }

    /// Names in a directory and whether each is a directory, sorted, so that a cut is always the
    /// same one.
    fn list(&mut self, dir: &str) -> Vec<(String, bool)> {
        let entries = fs::read_dir(self.root.path(dir))
            .and_then(|entries| entries.take(ENTRIES_MAX).map(entry).collect());
        let entries: io::Result<Vec<Option<(String, bool)>>> = entries;
        let mut entries: Vec<(String, bool)> = match entries {
            Ok(entries) => entries.into_iter().flatten().collect(),
            Err(error) => {
                let is_absent = matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                );
                if !is_absent {
                    self.n_denied += 1;
                    let fault = || (dir.to_owned(), health::fault(&error));
                    self.denied.get_or_insert_with(fault);
                }
                Vec::new()
            }
        };
        entries.sort_unstable();
        entries
    }

    fn finish(mut self) -> Found<Persistence> {
        self.found.sort_unstable();
        self.found.dedup();
        let place = |(kind, path): &(Kind, String)| Persistence {
            kind: EndpointText::name(kind.as_str()),
            path: EndpointText::path(path),
        };
        let items: Vec<Persistence> = self.found.iter().map(place).collect();
        let mut reasons = Vec::new();
        if self.n_over > 0 {
            reasons.push(format!(
                "{} of {} places",
                items.len(),
                items.len() + self.n_over
            ));
        }
        if let Some((dir, fault)) = &self.denied {
            let n = self.n_denied;
            reasons.push(format!("{n} directories not listed, first {dir}: {fault}"));
        }
        if self.n_remote > 0 {
            reasons.push(format!(
                "{} homes on network file systems not looked at",
                self.n_remote
            ));
        }
        let reason = reasons.join("; ");
        let health = match (reasons.is_empty(), items.is_empty()) {
            (true, _) => health::ok(COLLECTOR),
            (false, false) => health::degraded(COLLECTOR, &reason),
            (false, true) => health::unavailable(COLLECTOR, &reason),
        };
        Found { items, health }
    }
}

/// Name and whether it is a directory; `None` for what is masked.
fn entry(entry: io::Result<DirEntry>) -> io::Result<Option<(String, bool)>> {
    let entry = entry?;
    let kind = entry.file_type()?;
    if kind.is_symlink() && fs::read_link(entry.path()).is_ok_and(|to| to == Path::new(MASK)) {
        return Ok(None);
    }
    let name = entry.file_name().to_string_lossy().into_owned();
    Ok(Some((name, kind.is_dir())))
}

/// The name of this collector in `health`.
pub const COLLECTOR: &str = "persistence";
/// Where people put units; whatever is here was put here for this machine.
const SYSTEMD_OWN: [&str; 4] = [
    "/etc/systemd/system",
    "/etc/systemd/user",
    "/usr/local/lib/systemd/system",
    "/usr/local/lib/systemd/user",
];
/// Where packages put units.
const SYSTEMD_VENDOR: [&str; 2] = ["/usr/lib/systemd/system", "/usr/lib/systemd/user"];
const DIRECTORIES: [(&str, Kind); 12] = [
    ("/etc/cron.d", Kind::Cron),
    ("/etc/cron.hourly", Kind::Cron),
    ("/etc/cron.daily", Kind::Cron),
    ("/etc/cron.weekly", Kind::Cron),
    ("/etc/cron.monthly", Kind::Cron),
    // Debian, SUSE, and Red Hat.
    ("/var/spool/cron/crontabs", Kind::UserCrontab),
    ("/var/spool/cron/tabs", Kind::UserCrontab),
    ("/var/spool/cron", Kind::UserCrontab),
    ("/var/spool/cron/atjobs", Kind::AtJob),
    ("/var/spool/at", Kind::AtJob),
    ("/etc/init.d", Kind::InitScript),
    ("/etc/xdg/autostart", Kind::Autostart),
];
const FILES: [(&str, Kind); 4] = [
    ("/etc/crontab", Kind::Cron),
    ("/etc/anacrontab", Kind::Cron),
    ("/etc/rc.local", Kind::InitScript),
    ("/etc/rc.d/rc.local", Kind::InitScript),
];
const UNIT_SUFFIXES: [&str; 9] = [
    "service",
    "socket",
    "path",
    "mount",
    "automount",
    "swap",
    "target",
    "device",
    "slice",
];
/// Where a unit leads that must not start.
const MASK: &str = "/dev/null";
/// Homes that are searched; a machine with more local users is no endpoint.
const HOMES_MAX: usize = 256;
/// Entries of one directory that are looked at.
const ENTRIES_MAX: usize = 8_192;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TempDir;

    fn machine(files: &[&str]) -> TempDir {
        let dir = TempDir::new();
        for file in files {
            let path = dir.path().join(file.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "* * * * * root secret-command\n").unwrap();
        }
        dir
    }

    fn plain(found: &Found<Persistence>) -> Vec<(&str, &str)> {
        let places = found.items.iter();
        places
            .map(|place| (place.kind.as_str(), place.path.as_str()))
            .collect()
    }

    #[test]
    fn every_kind_of_place_is_found_once_and_sorted() {
        let dir = machine(&[
            "/etc/systemd/system/own.service",
            "/etc/systemd/system/ssh.service.d/override.conf",
            "/etc/systemd/system/README",
            "/usr/lib/systemd/system/idle.service",
            "/usr/lib/systemd/system/timers.target.wants/fstrim.timer",
            "/etc/crontab",
            "/etc/cron.d/.placeholder",
            "/etc/cron.d/backup",
            "/etc/cron.daily/logrotate",
            "/var/spool/cron/crontabs/alice",
            "/var/spool/cron/atjobs/a0001",
            "/etc/init.d/ssh",
            "/etc/rc.local",
            "/etc/xdg/autostart/mail.desktop",
            "/home/alice/.config/autostart/chat.desktop",
            "/home/alice/.config/systemd/user/sync.service",
        ]);
        let wants = dir
            .path()
            .join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir(&wants).unwrap();
        symlink(
            "/usr/lib/systemd/system/ssh.service",
            wants.join("ssh.service"),
        )
        .unwrap();
        symlink(MASK, wants.join("masked.service")).unwrap();
        let homes = ["/", "/absent", "/home/alice", "/home/alice/"];
        let found = collect(&Root::at(dir.path()), &homes);
        let expected = [
            (
                "systemd_unit",
                "/etc/systemd/system/multi-user.target.wants/ssh.service",
            ),
            ("systemd_unit", "/etc/systemd/system/own.service"),
            (
                "systemd_unit",
                "/etc/systemd/system/ssh.service.d/override.conf",
            ),
            (
                "systemd_unit",
                "/home/alice/.config/systemd/user/sync.service",
            ),
            (
                "systemd_timer",
                "/usr/lib/systemd/system/timers.target.wants/fstrim.timer",
            ),
            ("cron", "/etc/cron.d/backup"),
            ("cron", "/etc/cron.daily/logrotate"),
            ("cron", "/etc/crontab"),
            ("user_crontab", "/var/spool/cron/crontabs/alice"),
            ("at_job", "/var/spool/cron/atjobs/a0001"),
            ("init_script", "/etc/init.d/ssh"),
            ("init_script", "/etc/rc.local"),
            ("autostart", "/etc/xdg/autostart/mail.desktop"),
            ("autostart", "/home/alice/.config/autostart/chat.desktop"),
        ];
        assert_eq!(plain(&found), expected);
        assert_eq!(found.health, health::ok(COLLECTOR));
    }

    #[test]
    fn p2_names_of_files_are_cleaned() {
        let dir = machine(&["/etc/cron.d/\u{202e}a\nb", "/etc/cron.d/bob@example.org"]);
        let found = collect(&Root::at(dir.path()), &[]);
        let expected = [
            ("cron", "/etc/cron.d/[redacted-email]"),
            ("cron", "/etc/cron.d/ab"),
        ];
        assert_eq!(plain(&found), expected);
    }

    #[test]
    fn more_places_than_a_snapshot_holds_are_cut_and_counted() {
        let names: Vec<String> = (0..=limit::ENDPOINT_PERSISTENCE_MAX)
            .map(|n| format!("/etc/cron.d/{n:05}"))
            .collect();
        let dir = machine(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let found = collect(&Root::at(dir.path()), &[]);
        assert_eq!(found.items.len(), limit::ENDPOINT_PERSISTENCE_MAX);
        assert_eq!(found.items[0].path.as_str(), "/etc/cron.d/00000");
        assert_eq!(
            found.health,
            health::degraded(COLLECTOR, "4096 of 4097 places")
        );
    }

    #[test]
    fn a_machine_without_any_place_has_none_and_is_well() {
        let dir = TempDir::new();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let found = collect(&Root::at(dir.path()), &["/root"]);
        assert_eq!(
            (found.items, found.health),
            (Vec::new(), health::ok(COLLECTOR))
        );
    }

    #[test]
    fn e5_a_machine_without_its_directory_is_unavailable() {
        let dir = TempDir::new();
        let found = collect(&Root::at(dir.path()), &["/root"]);
        let reason = "expected /etc: not there";
        assert_eq!(found.health, health::unavailable(COLLECTOR, reason));
    }

    #[test]
    fn homes_of_another_machine_are_not_looked_at_and_counted() {
        let dir = machine(&["/home/bob/.config/autostart/chat.desktop", "/etc/crontab"]);
        fs::create_dir(dir.path().join("proc")).unwrap();
        let mounts = "/dev/vda / ext4 rw 0 0\nserver:/ /home nfs4 rw 0 0\n";
        fs::write(dir.path().join("proc/mounts"), mounts).unwrap();
        let found = collect(&Root::at(dir.path()), &["/home/bob", "/root"]);
        assert_eq!(plain(&found), [("cron", "/etc/crontab")]);
        let reason = "1 homes on network file systems not looked at";
        assert_eq!(found.health, health::degraded(COLLECTOR, reason));
    }
}
