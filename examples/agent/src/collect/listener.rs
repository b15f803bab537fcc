//! Sockets that wait for someone: address, port and process (contract §2).
//!
//! TCP sockets that listen, by [`sock_diag`] or else from `/proc/net/{tcp,tcp6}`, and UDP sockets
//! without a peer from `/proc/net/{udp,udp6}`.
//! The process is the one that has the socket open ([`SocketOwners`]). Another user's open files are
//! hidden without privileges; the process is `None` then, and health says so. What not: peers and
//! connections; unix sockets. A snapshot has no member for the protocol, so that a service on TCP
//! and UDP of one port is one entry. Cost: one line a socket, and finding the owners.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use monsys_core::endpoint::{CollectorHealth, EndpointText, Listener};
use monsys_core::limit;

use super::health::{self, Found};
use super::sock_diag;
use super::socket_owner::SocketOwners;

/// One socket as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// The address it is bound to.
    pub ip: IpAddr,
    /// The port it is bound to.
    pub port: u16,
    /// Its number among the files of the kernel; 0 where nothing has it open.
    pub inode: u64,
}

/// Which table of `/proc/net` a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `tcp` or `tcp6`.
    Tcp,
    /// `udp` or `udp6`.
    Udp,
}

/// Tells whether a line is the head of such a table.
pub fn is_head(line: &str) -> bool {
    line.trim_start().starts_with("sl ")
}

/// Reads a line of a table; `None` for a socket that does not wait for anyone, and for a line in
/// another form.
///
/// Addresses are words in the byte order of the machine that wrote them, which is taken to be this
/// one's.
pub fn parse_line(line: &str, table: Table) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    let is_waiting = match table {
        Table::Tcp => state == TCP_LISTEN,
        Table::Udp => state == UDP_UNCONNECTED,
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    let inode = fields.nth(FIELDS_BEFORE_INODE)?.parse().ok()?;
    (is_waiting && port != 0).then_some(Socket {
        ip: parse_ip(ip)?,
        port,
        inode,
    })
}

fn parse_ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.as_flattened().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// Lists the listening sockets of a `/proc`; `programs` are the processes that may own one, the
/// lowest first, and `owners` remembers who did the last time.
pub fn collect(proc: &Path, programs: &[u32], owners: &mut SocketOwners) -> Found<Listener> {
    let (sockets, absent) = read_tables(proc);
    if absent.len() == TABLES.len() {
        return Found {
            items: Vec::new(),
            health: health::unavailable(COLLECTOR, "expected /proc/net/tcp in a known form"),
        };
    }
    let owned = owners.find(proc, &inodes(&sockets), programs);
    let mut items: Vec<Listener> = sockets
        .iter()
        .map(|socket| Listener {
            ip: socket.ip,
            port: socket.port,
            process: owned
                .as_ref()
                .ok()
                .and_then(|owned| owned.name(socket.inode))
                .cloned(),
        })
        .collect();
    items.sort_by(|a, b| key(a).cmp(&key(b)));
    items.dedup();
    let n_all = items.len();
    items.truncate(limit::ENDPOINT_LISTENERS_MAX);
    let n_unknown = items.iter().filter(|item| item.process.is_none()).count();
    let mut reasons = Vec::new();
    if n_all > items.len() {
        reasons.push(format!("{} of {n_all} sockets", items.len()));
    }
    if !absent.is_empty() {
        reasons.push(format!("expected /proc/net/{}", absent.join(", ")));
    }
    match owned {
        Ok(owned) if owned.n_hidden == 0 || n_unknown == 0 => {}
        Ok(_) => reasons.push(format!("process of {n_unknown} sockets needs {PRIVILEGES}")),
        Err(error) => reasons.push(format!("expected /proc: {}", health::fault(&error.into()))),
    }
    Found {
        items,
        health: health_of(&reasons),
    }
}

/// The numbers of sockets that someone has open, sorted.
fn inodes(sockets: &[Socket]) -> Vec<u64> {
    let mut inodes: Vec<u64> = sockets.iter().map(|socket| socket.inode).collect();
    inodes.sort_unstable();
    inodes.dedup();
    inodes.retain(|inode| *inode != 0);
    inodes
}

fn health_of(reasons: &[String]) -> CollectorHealth {
    if reasons.is_empty() {
        health::ok(COLLECTOR)
    } else {
        health::degraded(COLLECTOR, &reasons.join("; "))
    }
}

fn key(listener: &Listener) -> (IpAddr, u16, Option<&EndpointText>) {
    (listener.ip, listener.port, listener.process.as_ref())
}

/// Reads every table; also returns the names of those that are not there.
fn read_tables(proc: &Path) -> (Vec<Socket>, Vec<&'static str>) {
    let (mut sockets, mut absent) = (Vec::new(), Vec::new());
    let asked = (proc == Path::new("/proc")).then(|| sock_diag::listeners(SOCKETS_MAX));
    let asked = asked.flatten();
    let is_asked = asked.is_some();
    sockets.extend(asked.into_iter().flatten());
    for (name, table) in TABLES {
        if is_asked && table == Table::Tcp {
            continue;
        }
        if read_table(&proc.join("net").join(name), table, &mut sockets).is_none() {
            absent.push(name);
        }
    }
    (sockets, absent)
}

/// Reads a table line by line: with many connections it is large, and none of them matters here.
fn read_table(path: &Path, table: Table, sockets: &mut Vec<Socket>) -> Option<()> {
    let file = File::open(path).ok()?.take(FILE_BYTES_MAX);
    let mut lines = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut line = String::new();
    lines.read_line(&mut line).ok().filter(|_| is_head(&line))?;
    loop {
        line.clear();
        if lines.read_line(&mut line).ok()? == 0 {
            return Some(());
        }
        sockets.extend(parse_line(&line, table));
    }
}

/// The name of this collector in `health`.
pub const COLLECTOR: &str = "listeners";
const TABLES: [(&str, Table); 4] = [
    ("tcp", Table::Tcp),
    ("tcp6", Table::Tcp),
    ("udp", Table::Udp),
    ("udp6", Table::Udp),
];
const TCP_LISTEN: &str = "0A";
const UDP_UNCONNECTED: &str = "07";
/// Queues, timer, retransmissions, user, timeout.
const FIELDS_BEFORE_INODE: usize = 5;
/// Listing the open files of others needs the one, reading where they lead the other.
const PRIVILEGES: &str = "CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE";
/// The kernel lists sockets that listen before those that are connected, so that some 7,000 of them
/// are read before the cut.
const FILE_BYTES_MAX: u64 = 1 << 20;
const SOCKETS_MAX: usize = 7_000;
const BUFFER_BYTES: usize = 8_192;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TempDir;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const SSH: &str = "   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 00000000a1f22a36 100 0 0 10 0\n";
    const SSH6: &str = "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 78 1 0 100 0 0 10 0\n";
    const MAPPED: &str = "   1: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 79 1 0 100 0 0 10 0\n";
    const CONNECTED: &str = "   2: 0100007F:80BB 0100007F:D97C 01 00000000:00000000 03:00000A1D 00000000     0        0 80 3 0\n";
    const DNS: &str = "  316: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 81 2 0 0\n";

    fn parsed(line: &str, table: Table) -> Option<(String, u16, u64)> {
        let socket = parse_line(line, table)?;
        Some((socket.ip.to_string(), socket.port, socket.inode))
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn captured_lines_are_read_and_connections_left_out() {
        let of = |ip: &str, port, inode| Some((ip.to_owned(), port, inode));
        assert_eq!(parsed(SSH, Table::Tcp), of("127.0.0.1", 22, 77));
        assert_eq!(parsed(SSH6, Table::Tcp), of("::1", 22, 78));
        assert_eq!(
            parsed(MAPPED, Table::Tcp),
            of("::ffff:127.0.0.1", 8_080, 79)
        );
        assert_eq!(parsed(DNS, Table::Udp), of("127.0.0.53", 53, 81));
        for (line, table) in [
            (CONNECTED, Table::Tcp),
            (CONNECTED, Table::Udp),
            (DNS, Table::Tcp),
            (SSH, Table::Udp),
        ] {
            assert_eq!(parsed(line, table), None);
        }
    }

    #[test]
    fn lines_in_another_form_are_left_out() {
        for n_bytes in 0..SSH.find(" 1 0").unwrap() - 1 {
            let part = parsed(&SSH[..n_bytes], Table::Tcp);
            assert!(part.is_none(), "{part:?}");
        }
        for (from, to) in [
            ("0100007F:0016", "0100007F:0000"),
            ("0100007F", "0100007G"),
            ("0100007F", "é100007"),
            ("0016", "10016"),
            (" 77 ", " x "),
        ] {
            assert_eq!(parsed(&SSH.replace(from, to), Table::Tcp), None, "{to}");
        }
    }

    /// A captured `/proc` in which process 1 and, behind it, process 7 have socket 77 open.
    fn captured() -> TempDir {
        let dir = TempDir::new();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (name, line) in [("tcp", SSH), ("tcp6", SSH6), ("udp", ""), ("udp6", "")] {
            write(&format!("net/{name}"), &format!("{HEAD}{line}"));
        }
        for (pid, name) in [("7", "worker"), ("1", "master")] {
            write(&format!("{pid}/comm"), &format!("{name}\n"));
            fs::create_dir(dir.path().join(pid).join("fd")).unwrap();
            symlink("socket:[77]", dir.path().join(pid).join("fd/3")).unwrap();
            symlink("/dev/null", dir.path().join(pid).join("fd/0")).unwrap();
        }
        dir
    }

    fn plain(found: &Found<Listener>) -> Vec<(String, u16, Option<&str>)> {
        let mut plain = Vec::new();
        for Listener { ip, port, process } in &found.items {
            let process = process.as_ref().map(EndpointText::as_str);
            plain.push((ip.to_string(), *port, process));
        }
        plain
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_socket_belongs_to_the_lowest_process_that_has_it_open() {
        let dir = captured();
        let found = collect(dir.path(), &[1, 7], &mut SocketOwners::default());
        let expected = [
            ("127.0.0.1".to_owned(), 22, Some("master")),
            ("::1".to_owned(), 22, None),
        ];
        assert_eq!(plain(&found), expected);
        assert_eq!(
            found.health,
            health::ok(COLLECTOR),
            "a socket of the kernel has no owner"
        );
    }

    #[test]
    fn e5_tables_that_are_not_there_are_named() {
        let dir = captured();
        fs::remove_file(dir.path().join("net/tcp6")).unwrap();
        fs::write(dir.path().join("net/udp"), "garbage\n").unwrap();
        let found = collect(dir.path(), &[1, 7], &mut SocketOwners::default());
        assert_eq!(
            found.health,
            health::degraded(COLLECTOR, "expected /proc/net/tcp6, udp")
        );
        assert_eq!(found.items.len(), 1);
        let found = collect(
            &dir.path().join("absent"),
            &[],
            &mut SocketOwners::default(),
        );
        let reason = "expected /proc/net/tcp in a known form";
        assert_eq!(found.health, health::unavailable(COLLECTOR, reason));
    }

    #[test]
    fn more_sockets_than_a_snapshot_holds_are_cut_and_counted() {
        let dir = captured();
        let line = |port: usize| SSH.replace("0016", &format!("{port:04X}"));
        let lines: String = (1..=limit::ENDPOINT_LISTENERS_MAX + 5).map(line).collect();
        fs::write(dir.path().join("net/tcp"), format!("{HEAD}{lines}")).unwrap();
        let found = collect(dir.path(), &[1, 7], &mut SocketOwners::default());
        assert_eq!(found.items.len(), limit::ENDPOINT_LISTENERS_MAX);
        assert_eq!(
            found.health,
            health::degraded(COLLECTOR, "1024 of 1030 sockets")
        );
    }

    #[test]
    fn sockets_of_this_process_are_found_with_its_name() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let found = collect(
            Path::new("/proc"),
            &[std::process::id()],
            &mut SocketOwners::default(),
        );
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        for port in [
            tcp.local_addr().unwrap().port(),
            udp.local_addr().unwrap().port(),
        ] {
            let expected = ("127.0.0.1".to_owned(), port, Some(own.trim_end()));
            assert!(
                plain(&found).contains(&expected),
                "{expected:?} in {found:?}"
            );
        }
    }
}
