//! What is measured and sent stays nowhere in memory.
//!
//! `benches/` shows the memory of the program over ten thousand samples; here allocations are
//! counted, so that even a few bytes a sample would show. A test program of its own, because it
//! counts with an allocator of its own.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by ending"
)]

use std::sync::Mutex;

use allocation_counter::measure;
use monsys_agent::Clock;
use monsys_agent::collect::root::Root;
use monsys_agent::config::DataDir;
use monsys_agent::enrolment::Enrolment;
use monsys_agent::error::AgentError;
use monsys_agent::sampling::{Sampler, health_of_spool};
use monsys_agent::send::client::REQUEST_TIMEOUT;
use monsys_agent::sender::{Sender, Step};
use monsys_agent::spool::{Spool, SpoolLimits};
use monsys_core::time::Span;

#[allow(dead_code, reason = "the other tests use other parts of it")]
#[path = "agent/hub.rs"]
mod hub;

use crate::hub::{Hub, TempDir};

#[test]
fn no_sample_and_no_snapshot_stays_in_memory() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let init = std::process::Command::new(env!("CARGO_BIN_EXE_monsys-agent"))
        .env_clear()
        .env("MONSYS_AGENT_DATA", dir.path())
        .args(["init", "--hub", hub.url(), "--token", &hub.token])
        .output()
        .unwrap();
    assert!(init.status.success(), "{init:?}");
    let mut agent = Agent::open(&DataDir::at(dir.path()));
    // Buffers, the connection, and what is kept of each thing that was seen once.
    agent.work(0..WARM_TICKS);
    let counted = measure(|| agent.work(WARM_TICKS..WARM_TICKS + TICKS));
    let arrived = hub.arrived();
    let n_snapshots = arrived
        .iter()
        .filter(|arrived| arrived.body.contains(r#""type":"endpoint""#));
    assert_eq!(n_snapshots.count(), 12, "three while warming up");
    assert!(counted.count_total > 10_000, "{counted:?}");
    // One that stayed for each sample, or for each process of one snapshot, would be more.
    assert!(counted.count_current < i64::from(TICKS / 4), "{counted:?}");
    assert!(counted.bytes_current < 32_768, "{counted:?}");
}

/// Sampler and sender in one thread, in turns.
struct Agent {
    enrolment: Enrolment,
    sampler: Sampler,
    sender: Sender,
    spool: Mutex<Spool>,
}

impl Agent {
    fn open(data: &DataDir) -> Self {
        let clock = Clock::system();
        let mut sampler = Sampler::new(&Root::system(), clock, Span::from_secs(15));
        sampler.prime();
        Self {
            enrolment: Enrolment::load(data).unwrap(),
            sampler,
            sender: Sender::new(data, clock),
            spool: Mutex::new(Spool::open(&data.spool(), SpoolLimits::standard()).unwrap()),
        }
    }

    fn work(&mut self, ticks: std::ops::Range<u32>) {
        for tick in ticks {
            let health = health_of_spool(&mut self.spool.lock().unwrap());
            let measured = self.sampler.measure(tick, health);
            let mut spool = self.spool.lock().unwrap();
            match self.sampler.spool(&measured, &self.enrolment, &mut spool) {
                // Where no tick of the processor's clock has passed there are no metrics.
                Ok(_) | Err(AgentError::Collect(_)) => {}
                Err(error) => panic!("{}", error.chain()),
            }
            drop(spool);
            loop {
                match self
                    .sender
                    .step(&self.enrolment, &self.spool, REQUEST_TIMEOUT)
                {
                    Step::Idle => break,
                    Step::Tried { answer, .. } => assert!(answer.is_delivered(), "{answer:?}"),
                    Step::Stalled { .. } => panic!("the spool is not usable"),
                }
            }
        }
    }
}

const WARM_TICKS: u32 = 60;
const TICKS: u32 = 180;
