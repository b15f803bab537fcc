//! Two hubs on one store behind one address are restarted in turn while agents send: nothing fails
//! that a client would not send again by itself, and nothing that was acknowledged is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]
#![allow(clippy::print_stdout, reason = "how often a client had to come again")]

mod support;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::store::rows;
use support::{DataDir, Hub, PATIENCE, TestAgent, pause, poll, raw};

/// How often the balancer asks whether a hub is ready.
const LOOK_EACH: Duration = Duration::from_millis(50);
/// How long a hub that ends goes on accepting: many looks.
const DRAIN_DELAY: &str = "1s";

/// A balancer of TCP: each connection goes to a hub that said it is ready when it was asked last.
struct Balancer {
    addr: SocketAddr,
    ready: Arc<Mutex<Vec<SocketAddr>>>,
    is_over: Arc<AtomicBool>,
}

impl Balancer {
    fn start(hubs: [SocketAddr; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let balancer = Self {
            addr: listener.local_addr().unwrap(),
            ready: Arc::default(),
            is_over: Arc::default(),
        };
        let (ready, is_over) = (Arc::clone(&balancer.ready), Arc::clone(&balancer.is_over));
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let found = hubs.into_iter().filter(|hub| is_ready(*hub)).collect();
                *ready.lock().unwrap() = found;
                pause(LOOK_EACH);
            }
        });
        let ready = Arc::clone(&balancer.ready);
        std::thread::spawn(move || {
            for (turn, client) in listener.incoming().map_while(Result::ok).enumerate() {
                let ready = ready.lock().unwrap().clone();
                let Some(hub) = ready.get(turn % ready.len().max(1)).copied() else {
                    continue;
                };
                std::thread::spawn(move || pass(&client, hub));
            }
        });
        balancer
    }

    /// Waits until these hubs, and no others, are ready.
    fn wait_for(&self, hubs: &[SocketAddr]) {
        poll("the hubs that are ready", PATIENCE, || {
            let ready: BTreeSet<_> = self.ready.lock().unwrap().iter().copied().collect();
            (ready == hubs.iter().copied().collect()).then_some(())
        });
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn is_ready(hub: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&hub, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&raw::request("GET", "/readyz", &[], b""))?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Passes bytes both ways until both sides are done.
fn pass(client: &TcpStream, hub: SocketAddr) {
    let Ok(hub) = TcpStream::connect_timeout(&hub, PATIENCE) else {
        return;
    };
    let copy = |mut from: &TcpStream, mut to: &TcpStream| {
        // Either side may go first; the other then sees the end of it.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(client, &hub));
        copy(&hub, client);
    });
}

/// What an agent saw of the restarts.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: BTreeSet<i64>,
    /// Payloads that were sent once more because a connection that was kept open ended.
    sent_again: u64,
}

/// Sends without end, each payload until it is acknowledged. A connection that is kept open may end
/// between two requests, and a client that keeps connections sends again on a new one (RFC 9112
/// §9.3.1); what fails on a new connection, or is answered by anything but an acknowledgement, is a
/// failure that somebody would have seen.
fn send(agent: &TestAgent, url: &str, is_over: &AtomicBool, n_sent: &AtomicU64) -> Seen {
    let mut seen = Seen::default();
    for seq in 1.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let body = agent.metrics((1, seq), 4.2);
        let answer = agent.try_send(url, body.as_bytes()).or_else(|error| {
            seen.sent_again += 1;
            println!("{}: {seq} is sent again: {error}", agent.name);
            agent.try_send(url, body.as_bytes())
        });
        let answer = answer.unwrap_or_else(|error| panic!("{} {seq}: {error}", agent.name));
        // A duplicate where the first try was stored and its answer lost.
        assert!(
            [200, 202].contains(&answer.status),
            "{} {seq}: {answer:?}",
            agent.name
        );
        seen.acknowledged.insert(seq);
        n_sent.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

#[test]
fn a19_hubs_restart_in_turn_and_no_request_fails() {
    let data = DataDir::new();
    data.add_org("acme");
    let agents: Vec<_> = (0..4)
        .map(|n| data.enrol("acme", &format!("agent-{n}")))
        .collect();
    let settings = [
        ("MONSYS_DRAIN_DELAY", DRAIN_DELAY),
        ("MONSYS_ADDRESS_RATE", "0"),
        ("MONSYS_ORG_RATE", "0"),
    ];
    let mut hubs = [
        Hub::start_with(&data, &settings),
        Hub::start_with(&data, &settings),
    ];
    let addrs = hubs.each_ref().map(|hub| hub.addr);
    let balancer = Balancer::start(addrs);
    balancer.wait_for(&addrs);
    let (is_over, n_sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let url = format!("http://{}", balancer.addr);
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let senders: Vec<_> = agents
            .iter()
            .map(|agent| scope.spawn(|| send(agent, &url, &is_over, &n_sent)))
            .collect();
        let some_more = || {
            let until = n_sent.load(Ordering::Relaxed) + 40;
            poll("agents send", PATIENCE, || {
                let is_stuck = senders.iter().any(|sender| sender.is_finished());
                assert!(!is_stuck, "an agent gave up");
                (n_sent.load(Ordering::Relaxed) >= until).then_some(())
            });
        };
        // Twice each, so that each also begins anew while the other has all connections.
        for turn in [0, 1, 0, 1] {
            some_more();
            let (addr, other) = (addrs[turn], addrs[1 - turn]);
            hubs[turn].terminate();
            balancer.wait_for(&[other]);
            some_more();
            let ended = hubs[turn].wait(PATIENCE);
            assert!(ended.success(), "{}", hubs[turn].log());
            hubs[turn] = Hub::start_on(&data, addr, &settings);
            balancer.wait_for(&addrs);
        }
        some_more();
        is_over.store(true, Ordering::Relaxed);
        senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .collect()
    });
    let (mut n_acknowledged, mut n_again) = (0, 0);
    for (agent, seen) in agents.iter().zip(seen) {
        let sql = "SELECT seq FROM metrics WHERE agent_id = ?1";
        let stored = rows(&data, sql, [agent.id.to_string()], |row| {
            row.get::<_, i64>(0)
        });
        let n_stored = stored.len();
        let stored: BTreeSet<_> = stored.into_iter().collect();
        assert_eq!(stored.len(), n_stored, "nothing is stored twice");
        assert_eq!(stored, seen.acknowledged, "{}", agent.name);
        n_acknowledged += n_stored;
        n_again += seen.sent_again;
    }
    println!("{n_acknowledged} acknowledged over 4 restarts, {n_again} sent once more");
    assert!(n_acknowledged >= 200);
    hubs.iter_mut().for_each(Hub::assert_alive);
}
