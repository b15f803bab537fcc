//! A hub that takes everything at once: it answers 202 to what it has not even verified.
//!
//! So that what is measured is the agent, and not what it waits for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use monsys_core::id::AgentId;
use monsys_wire::answer::{Acknowledgement, AgentSelf};
use monsys_wire::{Audience, BearerToken};

use crate::store::server::now;

/// It listens as long as this process lives.
pub(super) struct Sink {
    pub(super) addr: SocketAddr,
    pub(super) token: String,
    arrivals: Receiver<Arrival>,
}

/// A payload that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    /// Whether it is a sample, and not a snapshot of processes or signals.
    pub(super) kind: Kind,
}

/// What a payload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Metrics,
    Endpoint,
    Other,
}

impl Sink {
    pub(super) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (sender, arrivals) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || serve(stream, &sender));
            }
        });
        Self {
            addr,
            token: BearerToken::from_random_bytes([7; 32])
                .expose_text()
                .to_owned(),
            arrivals,
        }
    }

    /// Waits for the next payload of a kind; those of other kinds are added to `seen`.
    pub(super) fn await_kind(&self, kind: Kind, seen: &mut Vec<Arrival>) -> Arrival {
        loop {
            let arrival = self.arrivals.recv_timeout(PATIENCE).expect("a payload");
            if arrival.kind == kind {
                return arrival;
            }
            seen.push(arrival);
        }
    }

    /// What comes until nothing has come for `quiet`.
    pub(super) fn until_quiet(&self, quiet: Duration) -> Vec<Arrival> {
        std::iter::from_fn(|| self.arrivals.recv_timeout(quiet).ok()).collect()
    }
}

fn serve(stream: TcpStream, arrivals: &Sender<Arrival>) {
    let _ = stream.set_nodelay(true);
    let mut writer = stream.try_clone().expect("a socket");
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    while let Some((line, body)) = read(&mut reader) {
        let (status, answer) = if line.starts_with("POST /api/v1/ingest ") {
            let arrival = Arrival {
                at: Instant::now(),
                kind: kind(&body),
            };
            let _ = arrivals.send(arrival);
            (202, Acknowledgement::Accepted.to_json(now()))
        } else if line.starts_with("GET /api/v1/agents/self ") {
            (200, known().to_json())
        } else {
            (200, "{}".to_owned())
        };
        let length = answer.len();
        let answer = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{answer}"
        );
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).ok().filter(|n| *n > 0)?;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

/// The member `type` is the last but one of a canonical body.
fn kind(body: &[u8]) -> Kind {
    let end = body.len().saturating_sub(TAIL);
    let tail = String::from_utf8_lossy(&body[end..]);
    if tail.contains(r#""type":"metrics""#) {
        Kind::Metrics
    } else if tail.contains(r#""type":"endpoint""#) {
        Kind::Endpoint
    } else {
        Kind::Other
    }
}

fn known() -> AgentSelf {
    AgentSelf {
        agent_id: AgentId::from_bytes([5; 16]),
        audience: Audience::parse("footprint").expect("a name"),
        org: "footprint".to_owned(),
        name: "this-machine".to_owned(),
        pinned: None,
        server_time: now(),
    }
}

/// Longer than any cadence.
const PATIENCE: Duration = Duration::from_secs(60);
const TAIL: usize = 40;
