//! Ingest while everybody tries passwords.
//!
//! Payloads are due at half the capacity, first alone, then while 32 connections log in with wrong
//! passwords, each for another name and from another address of this machine: the bounds on
//! failures of one person and of one address must not be what saves the hub. Each costs a hash of
//! Argon2, whether or not there is such a person. Quiet and stormy drives take turns.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::net;

use super::answer::{Answers, Response};
use super::scene::Scene;
use super::{Options, say};
use crate::report::Figure;
use crate::report::Target::AtMost;
use crate::store::server::runtime;
use crate::store::{median, progress};

/// The figure of the login storm.
pub(super) fn run(options: &Options) {
    progress("ingest on SQLite at half the capacity, without and with 32 connections that log in");
    let mut scene = Scene::on_sqlite(&runtime(), &options.program, "login", &[]);
    let time = options.time / N_TURNS;
    drop(scene.closed(time));
    let a_second = scene.closed(time).0.rate_of(202) / 2.0;
    let [mut quiet, mut stormy] = [const { Vec::new() }; 2];
    let storm = Storm::default();
    let p99 = |answers: &Answers| {
        answers.assert_nearly_all(202, "ingest beside logins");
        answers.millis_of(202, 0.99)
    };
    for _ in 0..N_TURNS {
        quiet.push(p99(&scene.open(a_second, time)));
        let addr = scene.hub.addr;
        let answers = storm.around(addr, || scene.open(a_second, time));
        stormy.push(p99(&answers));
    }
    let counts = [&storm.n_compared, &storm.n_refused, &storm.n_other];
    let [n_compared, n_refused, n_other] = counts.map(|count| count.load(Ordering::Relaxed));
    assert!(
        n_compared > 0,
        "no password was compared: {n_refused} refused, {n_other} other"
    );
    let (stormy, quiet) = (median(&mut stormy), median(&mut quiet));
    let detail = format!(
        "ns, p99 from when a payload was due, {a_second:.0}/s; {stormy:.1} ms against {quiet:.1}; \
         {:.0} passwords compared a second (401), {n_refused} refused (429 or 503), {n_other} other",
        n_compared as f64 / options.time.as_secs_f64(),
    );
    let figure = Figure::new(
        "login storm/p99 of ingest",
        stormy * 1e6,
        quiet * 1e6,
        AtMost(2.0),
    );
    say(options, &figure.with_detail(detail));
    scene.kill().remove();
}

/// People who try passwords, and what they were told.
#[derive(Default)]
struct Storm {
    n_tried: AtomicU64,
    n_compared: AtomicU64,
    n_refused: AtomicU64,
    n_other: AtomicU64,
}

impl Storm {
    /// Does something while passwords are tried.
    fn around<T>(&self, addr: SocketAddr, work: impl FnOnce() -> T) -> T {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..N_CONNECTIONS {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        self.try_one(addr);
                    }
                });
            }
            let done = work();
            is_over.store(true, Ordering::Relaxed);
            done
        })
    }

    fn try_one(&self, addr: SocketAddr) {
        let n = self.n_tried.fetch_add(1, Ordering::Relaxed);
        let count = match attempt(addr, n).map(|response| response.status) {
            Some(401) => &self.n_compared,
            Some(429 | 503) => &self.n_refused,
            _ => &self.n_other,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Tries one wrong password of somebody.
fn attempt(hub: SocketAddr, n: u64) -> Option<Response> {
    let body =
        format!(r#"{{"org":"ed25519","username":"nobody-{n}@example","password":"wrong {n}"}}"#);
    let request = format!(
        "POST /auth/api/login HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect_from(hub, n)?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Response::parse(&answer)
}

/// Connects from an address of this machine that nobody used lately.
fn connect_from(hub: SocketAddr, n: u64) -> Option<TcpStream> {
    let [.., a, b, c] = (n % ADDRESSES).to_be_bytes();
    let from = SocketAddrV4::new(Ipv4Addr::new(127, a | 0x40, b, c), 0);
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).ok()?;
    net::bind(&socket, &from).ok()?;
    net::connect(&socket, &hub).ok()?;
    Some(socket.into())
}

const N_TURNS: u32 = 3;
const N_CONNECTIONS: usize = 32;
/// 127.64.0.0 to 127.127.255.255.
const ADDRESSES: u64 = 1 << 22;
