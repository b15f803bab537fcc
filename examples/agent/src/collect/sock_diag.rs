//! Listening TCP sockets, asked of the kernel in its own words (`sock_diag(7)`).
//!
//! `/proc/net/tcp` lists listeners before connections, but the kernel goes through its whole table
//! of connections to find where the list ends, and once more to say so: with the 262,144 places of
//! a common machine that is milliseconds, however few connections there are. Asked for listeners
//! alone it looks at nothing else. What: the question ([`request`]), the answer ([`parse`]), and
//! asking ([`listeners`]). What not: UDP, whose table is small; who owns a socket. Where the kernel
//! does not answer, as in some containers, `/proc` is read. Cost: four system calls a family, and 72
//! bytes a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[cfg(target_os = "linux")]
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use super::listener::Socket;

/// A family of addresses; the kernel is asked for each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Version 4.
    V4,
    /// Version 6.
    V6,
}

/// What an answer, which may come in parts, says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More parts follow.
    More,
    /// It is whole.
    Done,
    /// The kernel refused, or the bytes are in another form.
    Refused,
}

/// Returns the question for the listening TCP sockets of a family.
pub fn request(family: Family) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    let mut put = |at: usize, part: &[u8]| {
        // Cannot fail: the offsets below are those of the structures, which fit.
        if let Some(place) = bytes.get_mut(at..at + part.len()) {
            place.copy_from_slice(part);
        }
    };
    let length = u32::try_from(REQUEST_BYTES).unwrap_or_default();
    put(0, &length.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    put(16, &[family.number(), IPPROTO_TCP]);
    put(20, &(1_u32 << TCP_LISTEN).to_ne_bytes());
    bytes
}

/// Reads one part of an answer and adds the sockets that it lists.
pub fn parse(mut bytes: &[u8], sockets: &mut Vec<Socket>) -> Progress {
    while !bytes.is_empty() {
        let Some(message) = Message::read(bytes) else {
            return Progress::Refused;
        };
        match message.kind {
            NLMSG_DONE => return Progress::Done,
            SOCK_DIAG_BY_FAMILY => match socket(message.body) {
                Some(socket) => sockets.push(socket),
                None => return Progress::Refused,
            },
            _ => return Progress::Refused,
        }
        bytes = bytes.get(message.n_bytes..).unwrap_or_default();
    }
    Progress::More
}

/// Asks this machine's kernel; `None` when it does not answer in full.
#[cfg(target_os = "linux")]
pub fn listeners(n_max: usize) -> Option<Vec<Socket>> {
    let mut sockets = Vec::new();
    for family in [Family::V4, Family::V6] {
        match ask(family, n_max, &mut sockets) {
            Ok(Progress::Done) => {}
            // A kernel without version 6 has no sockets of it.
            Ok(Progress::Refused) if family == Family::V6 => {}
            Ok(Progress::More | Progress::Refused) | Err(_) => return None,
        }
    }
    Some(sockets)
}

/// Asks this machine's kernel, which is not one that answers.
#[cfg(not(target_os = "linux"))]
pub const fn listeners(_n_max: usize) -> Option<Vec<Socket>> {
    None
}

#[cfg(target_os = "linux")]
fn ask(family: Family, n_max: usize, sockets: &mut Vec<Socket>) -> Result<Progress, Errno> {
    let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
    let protocol = Some(netlink::SOCK_DIAG);
    let kernel = socket_with(AddressFamily::NETLINK, kind, flags, protocol)?;
    send(&kernel, &request(family), SendFlags::empty())?;
    let mut part = [0; PART_BYTES];
    while sockets.len() < n_max {
        // The kernel has each part ready when it is asked for; nothing is waited for.
        let (_, n_bytes) = recv(&kernel, &mut part, RecvFlags::DONTWAIT)?;
        let received = part.get(..n_bytes).unwrap_or_default();
        let progress = parse(received, sockets);
        if progress != Progress::More || received.is_empty() {
            return Ok(progress);
        }
    }
    Ok(Progress::Done)
}

/// `struct nlmsghdr` and what follows it.
struct Message<'a> {
    kind: u16,
    body: &'a [u8],
    /// Up to where the next one begins.
    n_bytes: usize,
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(u32::from_ne_bytes(array(bytes, 0)?)).ok()?;
        Some(Self {
            kind: u16::from_ne_bytes(array(bytes, 4)?),
            body: bytes.get(HEADER_BYTES..length)?,
            n_bytes: length.next_multiple_of(4),
        })
    }
}

/// Reads `struct inet_diag_msg`.
fn socket(body: &[u8]) -> Option<Socket> {
    let [family, state]: [u8; 2] = array(body, 0)?;
    let ip = match family {
        _ if state != TCP_LISTEN => return None,
        AF_INET => IpAddr::V4(Ipv4Addr::from(array::<4>(body, 8)?)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(array::<16>(body, 8)?)),
        _ => return None,
    };
    Some(Socket {
        ip,
        port: u16::from_be_bytes(array(body, 4)?),
        inode: u64::from(u32::from_ne_bytes(array(body, 68)?)),
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

impl Family {
    const fn number(self) -> u8 {
        match self {
            Self::V4 => AF_INET,
            Self::V6 => AF_INET6,
        }
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
pub const REQUEST_BYTES: usize = HEADER_BYTES + 56;
const HEADER_BYTES: usize = 16;
#[cfg(target_os = "linux")]
const PART_BYTES: usize = 32_768;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// An answer with one socket, as this kernel writes it, and the end.
    fn answer() -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES + 72];
        bytes[..4].copy_from_slice(&88_u32.to_ne_bytes());
        bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        let body = &mut bytes[HEADER_BYTES..];
        body[..2].copy_from_slice(&[AF_INET, TCP_LISTEN]);
        body[4..6].copy_from_slice(&22_u16.to_be_bytes());
        body[8..12].copy_from_slice(&[127, 0, 0, 1]);
        body[68..72].copy_from_slice(&77_u32.to_ne_bytes());
        bytes.extend([20_u32.to_ne_bytes(), [3, 0, 2, 0], [0; 4], [0; 4], [0; 4]].concat());
        bytes
    }

    #[test]
    fn an_answer_lists_address_port_and_number() {
        let mut sockets = Vec::new();
        assert_eq!(parse(&answer(), &mut sockets), Progress::Done);
        let expected = Socket {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 22,
            inode: 77,
        };
        assert_eq!(sockets, [expected]);
        sockets.clear();
        assert_eq!(parse(&answer()[..88], &mut sockets), Progress::More);
        assert_eq!(sockets, [expected]);
    }

    #[test]
    fn an_answer_that_is_cut_or_in_another_form_is_refused() {
        let whole = answer();
        for n_bytes in (1..88).chain(89..whole.len()) {
            let progress = parse(&whole[..n_bytes], &mut Vec::new());
            assert_eq!(progress, Progress::Refused, "{n_bytes}");
        }
        for (at, byte) in [(4, 2), (16, 1), (17, 1), (0, 15), (0, 255)] {
            let mut other = whole.clone();
            other[at] = byte;
            assert_eq!(parse(&other, &mut Vec::new()), Progress::Refused, "{at}");
        }
    }

    #[test]
    fn the_kernel_names_the_listeners_of_this_process_and_no_connection() {
        let [v4, v6] = ["127.0.0.1:0", "[::1]:0"].map(TcpListener::bind);
        let Some(sockets) = listeners(100_000) else {
            panic!("sock_diag is not there: expected a Linux with tcp_diag")
        };
        for listener in [v4.ok(), v6.ok()].into_iter().flatten() {
            let addr = listener.local_addr().unwrap();
            let is_it = |socket: &&Socket| (socket.ip, socket.port) == (addr.ip(), addr.port());
            assert!(sockets.iter().find(is_it).is_some_and(|it| it.inode > 0));
            let client = std::net::TcpStream::connect(addr).unwrap();
            let own = client.local_addr().unwrap().port();
            let now = listeners(100_000).unwrap();
            assert!(now.iter().all(|socket| socket.port != own));
        }
    }

    #[test]
    fn no_more_than_asked_for_are_read_but_for_the_last_part() {
        let _held = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listeners(0), Some(Vec::new()));
    }
}
