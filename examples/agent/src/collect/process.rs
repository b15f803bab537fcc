//! Running processes: name, number, file and user (contract §2).
//!
//! From `/proc/PID/comm`, the link `/proc/PID/exe`, and whose `/proc/PID` is. What not: command lines,
//! environments and threads; nothing opens them. A process that vanishes while it is read is left out silently. The
//! file is the link as the kernel shows it: ` (deleted)` at its end means that the file was removed
//! or replaced while it ran, which is worth knowing and is therefore kept. Another user's file is
//! hidden without `CAP_SYS_PTRACE`; it is `None` then, and health says so. Cost: six system calls
//! and at most three short texts a process.

use std::borrow::Cow;
use std::path::Path;

use monsys_core::endpoint::{CollectorHealth, EndpointText, Process};
use monsys_core::limit;
use rustix::io::Errno;

use super::health::{self, Found};
use super::proc_dir::{ProcDir, ProcessFile, is_gone};
use super::users::Users;

/// Turns the text of `/proc/PID/comm` into one that may be sent.
pub fn name_text(comm: &[u8]) -> EndpointText {
    // A name may itself end with a newline, which is stripped like every control character.
    EndpointText::name(&String::from_utf8_lossy(comm))
}

/// Tells from `/proc/PID/status` whether a process has memory of its own: it is neither a thread of
/// the kernel nor ended.
pub fn has_memory(status: &[u8]) -> bool {
    let mut lines = status.split(|byte| *byte == b'\n');
    lines.any(|line| line.starts_with(b"VmSize:"))
}

/// The processes of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// What is sent.
    pub found: Found<Process>,
    /// Those that may have something open: no threads of the kernel, sorted.
    pub programs: Vec<u32>,
}

/// Lists the processes of a `/proc`.
///
/// `users` is what is known of users; `None` makes health say that nothing is.
pub fn collect(proc: &Path, users: Option<&Users<'_>>) -> Running {
    walk(proc, users).unwrap_or_else(|error| {
        let reason = format!("expected /proc: {}", health::fault(&error.into()));
        Running {
            found: Found {
                items: Vec::new(),
                health: health::unavailable(COLLECTOR, &reason),
            },
            programs: Vec::new(),
        }
    })
}

fn walk(proc: &Path, users: Option<&Users<'_>>) -> Result<Running, Errno> {
    let proc = ProcDir::open(proc)?;
    let pids = proc.pids(limit::ENDPOINT_PROCESSES_MAX)?;
    let mut seen = Seen {
        n_kept: pids.kept.len(),
        n_all: pids.n_all,
        is_first_hidden: pids.kept.first() != Some(&FIRST),
        are_users_known: users.is_some(),
        ..Seen::default()
    };
    let mut buffers = Buffers::default();
    let mut items = Vec::with_capacity(pids.kept.len());
    let mut programs = Vec::new();
    for &pid in &pids.kept {
        match read(&proc, pid, users, &mut seen, &mut buffers) {
            Ok((process, is_program)) => {
                items.push(process);
                programs.extend(is_program.then_some(pid));
            }
            Err(error) if is_gone(error) => {}
            Err(_) => seen.n_unreadable += 1,
        }
    }
    Ok(Running {
        found: Found {
            items,
            health: seen.health(),
        },
        programs,
    })
}

/// Kept from one process to the next.
#[derive(Default)]
struct Buffers {
    text: Vec<u8>,
    link: Vec<u8>,
}

/// Reads one process, and whether it is a program and no thread of the kernel.
fn read(
    proc: &ProcDir,
    pid: u32,
    users: Option<&Users<'_>>,
    seen: &mut Seen,
    buffers: &mut Buffers,
) -> Result<(Process, bool), Errno> {
    let user = proc.user(pid)?;
    let name = name_text(proc.read(pid, ProcessFile::Comm, &mut buffers.text)?);
    let (exe, is_program) = match proc.link(pid, ProcessFile::Exe, &mut buffers.link) {
        Ok(exe) => (
            Some(EndpointText::path(&String::from_utf8_lossy(exe))),
            true,
        ),
        Err(error) if is_gone(error) => (None, false),
        Err(_) => {
            // Also threads of the kernel, which run no file, hide it from others.
            let status = proc.read(pid, ProcessFile::Status, &mut buffers.text)?;
            let is_program = has_memory(status);
            seen.n_hidden_files += usize::from(is_program);
            (None, is_program)
        }
    };
    let username = users.and_then(|users| users.name(user));
    let process = Process {
        name,
        pid,
        exe,
        username: username.map(EndpointText::name),
    };
    Ok((process, is_program))
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

    #[test]
    fn programs_have_memory_and_threads_of_the_kernel_have_none() {
        let program =
            b"Name:\tsshd\nUid:\t0\t0\t0\t0\nVmPeak:\t   15444 kB\nVmSize:\t   15444 kB\n";
        assert!(has_memory(program));
        for other in [
            &b"Name:\tkworker/0:0-events\nUid:\t0\t0\t0\t0\n"[..],
            b"Name:\tVmSize:\n",
            b"\xff",
        ] {
            assert!(!has_memory(other));
        }
    }

    #[test]
    fn p2_names_lose_what_could_mislead_and_keep_the_rest() {
        let cases: [(&[u8], &str); 7] = [
            (b"a b)(c", "a b)(c"),
            (b"two\nlines\n", "twolines"),
            (br"back\slash\n", r"back\slash\n"),
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
        let Running { found, programs } = collect(Path::new("/proc"), Some(&users));
        assert!(programs.binary_search(&std::process::id()).is_ok());
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
            let found = collect(&path, None).found;
            assert_eq!(found.items, []);
            assert_eq!(found.health, health::unavailable(COLLECTOR, reason));
        }
    }
}
