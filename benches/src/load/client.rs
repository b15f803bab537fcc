//! HTTP/1.1 over keep-alive connections, many in one thread, written by hand so that it costs
//! little beside what it measures; what it costs is measured too.
//!
//! Requests go out in their order, each over the connection that has been idle for longest. Closed: a
//! connection sends its next request when it has the answer to the last. Open: requests are due at
//! fixed times, whatever has been answered, and their latency counts from when they were due; so a
//! hub that stands still for a second is charged for all that came in that second.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use super::answer::{Answer, Answers, Response};
use super::crowd::Requests;
use super::usage;

/// When requests go out.
#[derive(Debug, Clone, Copy)]
pub enum Arrivals {
    /// As soon as a connection is idle.
    Closed,
    /// So many a second, evenly.
    Open {
        /// Requests a second.
        a_second: f64,
    },
}

/// How requests are sent.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// To whom.
    pub addr: SocketAddr,
    /// Over how many connections.
    pub n_connections: usize,
    /// When.
    pub arrivals: Arrivals,
    /// For how long new ones go out; what is under way then is waited for.
    pub time: Duration,
}

/// Sends requests from the first on, until the time is up or none is left.
pub fn send(plan: &Plan, requests: &Requests) -> Answers {
    Client::new(plan, requests).run()
}

struct Client<'a> {
    plan: Plan,
    requests: &'a Requests,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    next: usize,
    start: Instant,
    answers: Answers,
}

struct Connection {
    stream: TcpStream,
    /// The request under way, when it was due, and how many of its bytes are out.
    sent: Option<(usize, Instant, usize)>,
    received: Vec<u8>,
}

impl<'a> Client<'a> {
    fn new(plan: &Plan, requests: &'a Requests) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        let connections: Vec<_> = (0..plan.n_connections)
            .map(|index| Connection::open(plan.addr, &epoll, index))
            .collect();
        Self {
            plan: *plan,
            requests,
            epoll,
            idle: (0..connections.len()).collect(),
            connections,
            next: 0,
            start: Instant::now(),
            answers: Answers::default(),
        }
    }

    fn run(mut self) -> Answers {
        let cpu = usage::cpu_of_thread();
        self.start = Instant::now();
        let mut events = Vec::with_capacity(1_024);
        loop {
            let wait = self.start_due();
            if wait == Some(Duration::ZERO) {
                continue;
            }
            let is_over = wait.is_none() && self.idle.len() == self.connections.len();
            if is_over {
                break;
            }
            let patience = wait.unwrap_or(PATIENCE).min(PATIENCE);
            let patience = Timespec::try_from(patience).expect("a short time");
            events.clear();
            let waited = epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&patience),
            );
            match waited {
                Ok(0) if wait.is_none_or(|wait| wait >= PATIENCE) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("epoll: {error}"),
            }
            for event in &events {
                let index = usize::try_from(event.data.u64()).expect("an index");
                self.proceed(index);
            }
        }
        self.answers.time = self.answers.last_at.max(Duration::from_micros(1));
        self.answers.n_sent = self.next;
        self.answers.n_due = self.n_due().max(self.next);
        self.answers.client_cpu = usage::cpu_of_thread() - cpu;
        self.answers
    }

    /// Sends what is due and finds an idle connection. Returns how long to wait for the next that
    /// has one; `None` when nothing more goes out but for an answer.
    fn start_due(&mut self) -> Option<Duration> {
        while let Some(connection) = self.idle.front().copied() {
            let now = Instant::now();
            let due = self.due()?;
            if due > now {
                return Some(due - now);
            }
            self.idle.pop_front();
            self.connections[connection].sent = Some((self.next, due, 0));
            self.next += 1;
            self.write(connection);
        }
        // All are busy: an answer comes first.
        self.due().map(|_| PATIENCE)
    }

    /// When the next request is due; `None` when there is none any more.
    fn due(&self) -> Option<Instant> {
        if self.next >= self.requests.n() {
            return None;
        }
        match self.plan.arrivals {
            Arrivals::Closed => {
                let now = Instant::now();
                (now - self.start < self.plan.time).then_some(now)
            }
            Arrivals::Open { a_second } => {
                let after = Duration::from_secs_f64(self.next as f64 / a_second);
                let is_hopeless = self.start.elapsed() > self.plan.time + GIVE_UP_AFTER;
                (after < self.plan.time && !is_hopeless).then(|| self.start + after)
            }
        }
    }

    fn n_due(&self) -> usize {
        match self.plan.arrivals {
            Arrivals::Closed => self.next,
            Arrivals::Open { a_second } => {
                let n = (a_second * self.plan.time.as_secs_f64()) as usize;
                n.min(self.requests.n())
            }
        }
    }

    fn proceed(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some((request, due, n_out)) = connection.sent else {
            // A hub that closes an idle connection.
            connection.reopen(self.plan.addr, &self.epoll, index);
            return;
        };
        if n_out < self.requests.bytes(request).len() {
            self.write(index);
            return;
        }
        let response = match connection.read() {
            Ok(Some(response)) => response,
            Ok(None) => return,
            Err(_) => {
                connection.reopen(self.plan.addr, &self.epoll, index);
                Response::NONE
            }
        };
        connection.sent = None;
        self.answer(index, (request, due), response);
    }

    fn answer(&mut self, index: usize, (request, due): (usize, Instant), response: Response) {
        let at = Instant::now();
        self.answers.last_at = at - self.start;
        self.answers.all.push(Answer {
            request: u32::try_from(request).expect("fewer than 2^32 requests"),
            micros: u32::try_from((at - due).as_micros()).unwrap_or(u32::MAX),
            response,
        });
        self.idle.push_back(index);
    }

    fn write(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some((request, due, n_out)) = &mut connection.sent else {
            return;
        };
        let bytes = self.requests.bytes(*request);
        let was_partial = *n_out > 0;
        while *n_out < bytes.len() {
            match connection.stream.write(&bytes[*n_out..]) {
                Ok(n) => *n_out += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
                    connection.watch(&self.epoll, index, flags);
                    return;
                }
                Err(_) => {
                    let place = (*request, *due);
                    connection.sent = None;
                    connection.reopen(self.plan.addr, &self.epoll, index);
                    self.answer(index, place, Response::NONE);
                    return;
                }
            }
        }
        if was_partial {
            connection.watch(&self.epoll, index, epoll::EventFlags::IN);
        }
    }
}

impl Connection {
    fn open(addr: SocketAddr, epoll: &OwnedFd, index: usize) -> Self {
        let stream = connect(addr);
        let connection = Self {
            stream,
            sent: None,
            received: Vec::new(),
        };
        connection.add(epoll, index);
        connection
    }

    fn reopen(&mut self, addr: SocketAddr, epoll: &OwnedFd, index: usize) {
        // The old one leaves the set by being closed.
        self.stream = connect(addr);
        self.received.clear();
        self.add(epoll, index);
    }

    fn add(&self, epoll: &OwnedFd, index: usize) {
        let data = epoll::EventData::new_u64(index as u64);
        let added = epoll::add(epoll, &self.stream, data, epoll::EventFlags::IN);
        added.expect("a place in the set");
    }

    fn watch(&self, epoll: &OwnedFd, index: usize, flags: epoll::EventFlags) {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::modify(epoll, &self.stream, data, flags).expect("a place in the set");
    }

    /// The answer, when it is complete.
    fn read(&mut self) -> Result<Option<Response>, std::io::Error> {
        let mut buffer = [0; 4_096];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.received.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let response = Response::parse(&self.received);
        if response.is_some() {
            self.received.clear();
        }
        Ok(response)
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("a connection");
    stream.set_nodelay(true).expect("an option");
    stream.set_nonblocking(true).expect("an option");
    stream
}

/// How long nothing may happen before what is under way counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(30);
/// For how long an open plan sends what found no connection while it was due.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
