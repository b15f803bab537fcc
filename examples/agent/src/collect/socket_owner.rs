//! Which process has a socket open, by the links of `/proc/PID/fd`.
//!
//! Looking through the open files of every process is most of what a snapshot costs, and the answer
//! is mostly that of the last time. So the owners of the last time are asked first, and the others
//! only for sockets that none of them has open. What is returned was always seen just now; only that
//! a socket has no owner (one of the kernel, or of a process that is hidden) is believed for an
//! hour. Of several owners, such as the workers of a server, it is the one with the lowest number,
//! and then the same one as long as it has the socket open. What not: which sockets there are. Cost:
//! one system call for each open file of those who are asked; at first, and when something new
//! listens, all.

use std::path::Path;

use monsys_core::endpoint::EndpointText;
use rustix::io::Errno;

use super::proc_dir::{ProcDir, ProcessFile, is_gone};
use super::process::name_text;

/// Finds owners of sockets, time after time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SocketOwners {
    /// Who owned a socket the last time, sorted.
    last: Vec<u32>,
    /// Sockets that nobody was seen to have open when all were asked, sorted.
    ownerless: Vec<u64>,
    /// How many could not be asked then.
    n_hidden: usize,
    n_searches: u32,
}

/// Who has which socket open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Number of the socket, and number and name of its process; sorted.
    found: Vec<(u64, Option<(u32, EndpointText)>)>,
    /// How many processes do not let themselves be asked, if a socket has no owner.
    pub n_hidden: usize,
}

impl SocketOwners {
    /// Finds the owners of sockets among processes, both by number and sorted.
    ///
    /// # Errors
    /// [`Errno`] when `/proc` cannot be opened.
    pub fn find(&mut self, proc: &Path, sockets: &[u64], programs: &[u32]) -> Result<Owned, Errno> {
        let mut owned = Owned {
            found: sockets.iter().map(|socket| (*socket, None)).collect(),
            n_hidden: 0,
        };
        let proc = ProcDir::open(proc)?;
        let mut buffers = Buffers::default();
        if self.n_searches.is_multiple_of(SEARCHES_BELIEVED) {
            self.ownerless.clear();
        }
        self.n_searches = self.n_searches.wrapping_add(1);
        for &pid in &self.last {
            owned.ask(&proc, pid, &mut buffers);
        }
        let is_settled = |socket| self.ownerless.binary_search(&socket).is_ok();
        if !owned.ownerless().all(is_settled) {
            self.n_hidden = 0;
            for &pid in programs {
                let is_new = self.last.binary_search(&pid).is_err();
                if is_new && !owned.ask(&proc, pid, &mut buffers) {
                    self.n_hidden += 1;
                }
                if owned.ownerless().next().is_none() {
                    break;
                }
            }
            self.ownerless = owned.ownerless().collect();
        }
        if owned.ownerless().next().is_some() {
            owned.n_hidden = self.n_hidden;
        }
        self.last = owned.owners();
        Ok(owned)
    }
}

impl Owned {
    /// Returns the name of the process that has a socket open.
    pub fn name(&self, socket: u64) -> Option<&EndpointText> {
        let at = self
            .found
            .binary_search_by_key(&socket, |(socket, _)| *socket);
        let (_, owner) = self.found.get(at.ok()?)?;
        owner.as_ref().map(|(_, name)| name)
    }

    /// Notes which of the sockets without an owner a process has open; returns whether it let
    /// itself be asked.
    fn ask(&mut self, proc: &ProcDir, pid: u32, buffers: &mut Buffers) -> bool {
        let Buffers { link, name } = buffers;
        // Read only for a process that turns out to own something.
        let mut owner: Option<Option<EndpointText>> = None;
        let asked = proc.for_each_link(pid, ProcessFile::Fd, link, |link| {
            let Some(place) = parse_link(link).and_then(|socket| self.place(socket)) else {
                return;
            };
            let owner = owner.get_or_insert_with(|| {
                let comm = proc.read(pid, ProcessFile::Comm, name).ok();
                comm.map(name_text)
            });
            *place = owner.as_ref().map(|name| (pid, name.clone()));
        });
        asked.is_ok() || asked.is_err_and(is_gone)
    }

    /// Where to write the owner of a socket that is looked for and has none.
    fn place(&mut self, socket: u64) -> Option<&mut Option<(u32, EndpointText)>> {
        let at = self
            .found
            .binary_search_by_key(&socket, |(socket, _)| *socket);
        let (_, owner) = self.found.get_mut(at.ok()?)?;
        owner.is_none().then_some(owner)
    }

    fn ownerless(&self) -> impl Iterator<Item = u64> {
        let ownerless = self.found.iter().filter(|(_, owner)| owner.is_none());
        ownerless.map(|(socket, _)| *socket)
    }

    fn owners(&self) -> Vec<u32> {
        let owners = self.found.iter().filter_map(|(_, owner)| owner.as_ref());
        let mut owners: Vec<u32> = owners.map(|(pid, _)| *pid).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }
}

/// Reads the number of a socket from a link such as `socket:[4711]`.
pub fn parse_link(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(number).ok()?.parse().ok()
}

/// Kept from one process to the next.
#[derive(Default)]
struct Buffers {
    link: Vec<u8>,
    name: Vec<u8>,
}

/// Snapshots for which a socket is believed to have no owner: an hour of them.
const SEARCHES_BELIEVED: u32 = 12;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn only_links_to_sockets_have_a_number() {
        assert_eq!(parse_link(b"socket:[4711]"), Some(4_711));
        for other in [
            &b"socket:[]"[..],
            b"pipe:[4711]",
            b"/tmp/socket:[1]",
            b"socket:[1",
            b"socket:[\xff]",
        ] {
            assert_eq!(parse_link(other), None);
        }
    }

    /// A captured `/proc`: processes and the sockets that they have open.
    struct Captured(TempDir);

    impl Captured {
        fn new(open: &[(u32, u64)]) -> Self {
            let captured = Self(TempDir::new());
            for (pid, socket) in open {
                captured.open(*pid, *socket);
            }
            captured
        }

        fn open(&self, pid: u32, socket: u64) {
            let process = self.0.path().join(pid.to_string());
            fs::create_dir_all(process.join("fd")).unwrap();
            fs::write(process.join("comm"), format!("p{pid}\n")).unwrap();
            let link = process.join("fd").join(socket.to_string());
            symlink(format!("socket:[{socket}]"), link).unwrap();
        }

        fn close(&self, pid: u32, socket: u64) {
            let fd = self.0.path().join(format!("{pid}/fd/{socket}"));
            fs::remove_file(fd).unwrap();
        }
    }

    fn names(owners: &mut SocketOwners, captured: &Captured, sockets: &[u64]) -> Vec<String> {
        let owned = owners.find(captured.0.path(), sockets, &[1, 7, 9]).unwrap();
        let name = |socket: &u64| owned.name(*socket).map_or("-", EndpointText::as_str);
        sockets
            .iter()
            .map(|socket| name(socket).to_owned())
            .collect()
    }

    #[test]
    fn the_lowest_owner_is_found_and_then_the_same_one_while_it_has_the_socket() {
        let captured = Captured::new(&[(7, 50), (9, 50), (9, 60)]);
        let mut owners = SocketOwners::default();
        assert_eq!(names(&mut owners, &captured, &[50, 60]), ["p7", "p9"]);
        captured.close(7, 50);
        captured.open(1, 50);
        // The worker has it open too, and was asked first.
        assert_eq!(names(&mut owners, &captured, &[50, 60]), ["p9", "p9"]);
        captured.close(9, 50);
        assert_eq!(names(&mut owners, &captured, &[50, 60]), ["p1", "p9"]);
        fs::remove_dir_all(captured.0.path().join("9")).unwrap();
        captured.open(7, 60);
        assert_eq!(names(&mut owners, &captured, &[50, 60]), ["p1", "p7"]);
    }

    #[test]
    fn a_new_socket_is_looked_for_everywhere_at_once() {
        let captured = Captured::new(&[(1, 50)]);
        let mut owners = SocketOwners::default();
        assert_eq!(names(&mut owners, &captured, &[50]), ["p1"]);
        captured.open(9, 70);
        assert_eq!(names(&mut owners, &captured, &[50, 70]), ["p1", "p9"]);
    }

    #[test]
    fn a_socket_without_an_owner_is_looked_for_again_after_an_hour() {
        let captured = Captured::new(&[(1, 50)]);
        let mut owners = SocketOwners::default();
        assert_eq!(names(&mut owners, &captured, &[50, 80]), ["p1", "-"]);
        captured.open(9, 80);
        for _ in 1..SEARCHES_BELIEVED {
            assert_eq!(names(&mut owners, &captured, &[50, 80]), ["p1", "-"]);
        }
        assert_eq!(names(&mut owners, &captured, &[50, 80]), ["p1", "p9"]);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let found = SocketOwners::default().find(Path::new("/absent"), &[1], &[1]);
        assert!(is_gone(found.unwrap_err()));
    }
}
