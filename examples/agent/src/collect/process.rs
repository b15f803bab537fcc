//! Running processes: name, number, file and user (contract §2).
//!
//! From `/proc/PID/status` and the link `/proc/PID/exe`. What not: command lines, environments and
//! threads; nothing opens them. A process that vanishes while it is read is left out silently. The
//! file is the link as the kernel shows it: ` (deleted)` at its end means that the file was removed
//! or replaced while it ran, which is worth knowing and is therefore kept. Another user's file is
//! hidden without `CAP_SYS_PTRACE`; it is `None` then, and health says so. Cost: five system calls
//! and at most three short texts a process.

use std::borrow::Cow;
use std::path::Path;

use monsys_core::endpoint::{CollectorHealth, EndpointText, Process};
use monsys_core::limit;
use rustix::io::Errno;

use super::health::{self, Found};
use super::proc_dir::{ProcDir, ProcessFile, is_gone};
use super::users::Users;

/// What is used of `/proc/PID/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status<'a> {
    /// The name as the kernel writes it: newlines and backslashes are escaped, any other byte is
    /// as it is.
    pub name: &'a [u8],
    /// Whose rights it has (the effective user), as `ps` shows it.
    pub user: Option<u32>,
    /// It has memory of its own: it is neither a thread of the kernel nor ended.
    pub has_memory: bool,
}

/// Reads `/proc/PID/status`; `None` when it does not begin with a name.
pub fn parse_status(text: &[u8]) -> Option<Status<'_>> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let name = lines.next()?.strip_prefix(b"Name:\t")?;
    let mut status = Status {
        name,
        user: None,
        has_memory: false,
    };
    for line in lines {
        if let Some(users) = line.strip_prefix(b"Uid:\t") {
            status.user = str::from_utf8(users)
                .ok()
                .and_then(|users| users.split('\t').nth(1)?.parse().ok());
        } else if line.starts_with(b"VmSize:") {
            status.has_memory = true;
            break;
        }
    }
    Some(status)
}

/// Turns a name of `/proc/PID/status` or `/proc/PID/comm` into text that may be sent.
pub fn name_text(name: &[u8]) -> EndpointText {
    let text = String::from_utf8_lossy(name);
    if !text.contains('\\') {
        return EndpointText::name(&text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, rest.as_str().chars().next()) {
            // A newline is a control character and would be stripped anyway.
            ('\\', Some('n')) => drop(rest.next()),
            ('\\', Some('\\')) => plain.extend(rest.next()),
            (c, _) => plain.push(c),
        }
    }
    EndpointText::name(&plain)
}

/// Lists the processes of a `/proc`.
///
/// `users` is what is known of users; `None` makes health say that nothing is.
pub fn collect(proc: &Path, users: Option<&Users<'_>>) -> Found<Process> {
    match walk(proc, users) {
        Ok(found) => found,
        Err(error) => Found {
            items: Vec::new(),
            health: health::unavailable(
                COLLECTOR,
                &format!("expected /proc: {}", health::fault(&error.into())),
            ),
        },
    }
}

fn walk(proc: &Path, users: Option<&Users<'_>>) -> Result<Found<Process>, Errno> {
    let proc = ProcDir::open(proc)?;
    let pids = proc.pids(limit::ENDPOINT_PROCESSES_MAX)?;
    let mut items = Vec::with_capacity(pids.kept.len());
    let mut seen = Seen::default();
    let (mut text, mut link) = (Vec::new(), Vec::new());
    for &pid in &pids.kept {
        match proc.read(pid, ProcessFile::Status, &mut text) {
            Ok(status) => {
                let Some(status) = parse_status(status) else {
                    continue;
                };
                let exe = proc.link(pid, ProcessFile::Exe, &mut link);
                items.push(process(pid, status, exe, users, &mut seen));
            }
            Err(error) if is_gone(error) => {}
            Err(_) => seen.n_unreadable += 1,
        }
    }
    seen.n_kept = pids.kept.len();
    seen.n_all = pids.n_all;
    seen.is_first_hidden = pids.kept.first() != Some(&FIRST);
    seen.are_users_known = users.is_some();
    Ok(Found {
        items,
        health: seen.health(),
    })
}

fn process(
    pid: u32,
    status: Status<'_>,
    exe: Result<&[u8], Errno>,
    users: Option<&Users<'_>>,
    seen: &mut Seen,
) -> Process {
    let exe = match exe {
        Ok(exe) => Some(EndpointText::path(&String::from_utf8_lossy(exe))),
        Err(error) => {
            // Neither threads of the kernel nor processes that ended have a file to hide.
            seen.n_hidden_files += usize::from(status.has_memory && !is_gone(error));
            None
        }
    };
    let username = status.user.and_then(|user| users?.name(user));
    Process {
        name: name_text(status.name),
        pid,
        exe,
        username: username.map(EndpointText::name),
    }
}

/// What of the processes was not seen.
#[derive(Default)]
struct Seen {
    n_kept: usize,
    n_all: usize,
    n_unreadable: usize,
    n_hidden_files: usize,
    is_first_hidden: bool,
    are_users_known: bool,
}

impl Seen {
    fn health(&self) -> CollectorHealth {
        if self.n_kept == 0 {
            return health::unavailable(COLLECTOR, "expected processes in /proc: none there");
        }
        let mut reasons: Vec<Cow<'static, str>> = Vec::new();
        if self.n_all > self.n_kept {
            reasons.push(format!("{} of {} processes", self.n_kept, self.n_all).into());
        }
        if self.is_first_hidden {
            reasons.push("processes of others are hidden: expected /proc without hidepid".into());
        }
        if self.n_unreadable > 0 {
            reasons.push(format!("{} processes not readable", self.n_unreadable).into());
        }
        if self.n_hidden_files > 0 {
            let n = self.n_hidden_files;
            reasons.push(format!("exe of {n} processes needs CAP_SYS_PTRACE").into());
        }
        if !self.are_users_known {
            reasons.push("usernames unknown: expected /etc/passwd".into());
        }
        if reasons.is_empty() {
            health::ok(COLLECTOR)
        } else {
            health::degraded(COLLECTOR, &reasons.join("; "))
        }
    }
}

/// The name of this collector in `health`.
pub const COLLECTOR: &str = "processes";
/// The process that every machine and every container has.
const FIRST: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &[u8] = b"Name:\tsshd\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t812\n\
        Pid:\t812\nPPid:\t1\nUid:\t1000\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t \n\
        VmPeak:\t   15444 kB\nVmSize:\t   15444 kB\nThreads:\t1\n";

    #[test]
    fn a_captured_status_is_read() {
        let expected = Status {
            name: b"sshd",
            user: Some(0),
            has_memory: true,
        };
        assert_eq!(parse_status(STATUS), Some(expected));
        let kernel = b"Name:\tkworker/0:0-events\nUid:\t0\t0\t0\t0\nThreads:\t1\n";
        let kernel = parse_status(kernel).unwrap();
        assert_eq!((kernel.user, kernel.has_memory), (Some(0), false));
    }

    #[test]
    fn other_texts_are_no_status_and_cut_ones_are_unknown_in_part() {
        for text in [&b""[..], b"Uid:\t0", b"name:\tx", b"Name: x"] {
            assert_eq!(parse_status(text), None);
        }
        for n_bytes in 0..STATUS.len() {
            let part = parse_status(&STATUS[..n_bytes]);
            assert!(part.is_none_or(|status| status.user.is_none_or(|user| user == 0)));
        }
        let odd = parse_status(b"Name:\tx\nUid:\t0\nUid:\t\xff\t\xff\n").unwrap();
        assert_eq!(odd.user, None);
    }

    #[test]
    fn p2_names_lose_what_could_mislead_and_keep_the_rest() {
        let cases: [(&[u8], &str); 8] = [
            (b"a b)(c", "a b)(c"),
            (br"two\nlines", "twolines"),
            (br"back\\slash\\n", r"back\slash\n"),
            (br"end\", r"end\"),
            (b"\x1b[31mred\x7f", "[31mred"),
            ("evil\u{202e}txt".as_bytes(), "eviltxt"),
            (b"bob@example.org", "[redacted-email]"),
            (b"bad\xff\xfe", "bad\u{fffd}\u{fffd}"),
        ];
        for (name, expected) in cases {
            assert_eq!(name_text(name).as_str(), expected);
        }
    }

    #[test]
    fn this_process_is_found_with_its_file_and_user() {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let users = Users::parse(&passwd);
        let found = collect(Path::new("/proc"), Some(&users));
        let own = found
            .items
            .iter()
            .find(|process| process.pid == std::process::id())
            .unwrap();
        let exe = std::env::current_exe().unwrap();
        assert_eq!(own.exe.as_ref().map(EndpointText::as_str), exe.to_str());
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(
            own.username.as_ref().map(EndpointText::as_str),
            users.name(user)
        );
        assert!(found.items.is_sorted_by_key(|process| process.pid));
    }

    #[test]
    fn e5_an_absent_or_empty_directory_is_unavailable_with_a_reason() {
        let dir = crate::testing::TempDir::new();
        for (path, reason) in [
            (dir.path().join("absent"), "expected /proc: not there"),
            (
                dir.path().to_owned(),
                "expected processes in /proc: none there",
            ),
        ] {
            let found = collect(&path, None);
            assert_eq!(found.items, []);
            assert_eq!(found.health, health::unavailable(COLLECTOR, reason));
        }
    }
}
