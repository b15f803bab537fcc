//! The agent at work: a sampler that never waits for the hub, and a sender that never gives up.
//!
//! Two threads share the spool. The sampler ticks every 15 s of clock time on the monotonic clock,
//! without drift, and each sample is durable before the sender sees it. Stopping wakes both: the
//! sender tries once more to deliver, for at most two seconds, and what stays is in the spool. What
//! not: signals and flags; the command line translates those into [`StopHandle::stop`]. Cost: two
//! sleeping threads between ticks, no polling.

use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use monsys_core::time::Span;

use crate::clock::{Clock, Deadline, Ticker};
use crate::collect::root::Root;
use crate::config::DataDir;
use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::sampling::{Sampler, health_of_spool};
use crate::send::client::REQUEST_TIMEOUT;
use crate::sender::{Sender, Step, lock};
use crate::spool::{Recovery, Spool, SpoolLimits, SpoolStatus, inspect};

/// How a daemon runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DaemonOptions {
    /// What stamps payloads and measures waits.
    pub clock: Clock,
    /// Time between two samples, in clock time.
    pub cadence: Span,
    /// How large the spool may grow.
    pub limits: SpoolLimits,
    /// Where the machine's files are.
    pub root: Root,
}

/// An agent that is ready to run: configuration, key and spool are in order.
#[derive(Debug)]
pub struct Daemon {
    data: DataDir,
    options: DaemonOptions,
    enrolment: Arc<Enrolment>,
    sender: Sender,
    spool: Arc<Mutex<Spool>>,
    switch: StopHandle,
}

/// Stops a running daemon from anywhere; a copy stops the same one.
#[derive(Debug, Clone, Default)]
pub struct StopHandle {
    inner: Arc<(Mutex<Flags>, Condvar)>,
}

/// How a daemon ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DaemonReport {
    /// Samples that became durable in this run.
    pub n_samples: u64,
    /// What the spool holds.
    pub spool: SpoolStatus,
}

impl DaemonOptions {
    /// A sample of this machine every 15 s of `clock`, and the standard spool.
    pub fn standard(clock: Clock) -> Self {
        Self {
            clock,
            cadence: CADENCE,
            limits: SpoolLimits::standard(),
            root: Root::system(),
        }
    }
}

impl Daemon {
    /// Takes up the agent of a data directory, of which it is the only owner from here on.
    ///
    /// # Errors
    /// [`AgentError`] for the configuration, the key, the certificates, or a spool that is in use.
    pub fn open(data: &DataDir, options: DaemonOptions) -> Result<Self, AgentError> {
        let enrolment = Enrolment::load(data)?;
        let sender = Sender::new(&enrolment, data, options.clock)?;
        let spool = Spool::open(&data.spool(), options.limits)?;
        Ok(Self {
            data: data.clone(),
            options,
            enrolment: Arc::new(enrolment),
            sender,
            spool: Arc::new(Mutex::new(spool)),
            switch: StopHandle::default(),
        })
    }

    /// Returns what stops this daemon.
    pub fn stop_handle(&self) -> StopHandle {
        self.switch.clone()
    }

    /// Samples and sends until it is stopped, then flushes for at most two seconds.
    ///
    /// # Errors
    /// [`AgentError::System`] when no thread can be started, [`AgentError::Spool`] when the spool
    /// cannot be read at the end.
    pub fn run(self) -> Result<DaemonReport, AgentError> {
        let Self {
            data,
            options,
            enrolment,
            sender,
            spool,
            switch,
        } = self;
        log_start(&enrolment, &lock(&spool), options.clock);
        let (ended, end) = mpsc::channel::<()>();
        let sending = {
            let (enrolment, spool) = (Arc::clone(&enrolment), Arc::clone(&spool));
            let (switch, mut sender) = (switch.clone(), sender);
            move || {
                send_until_stopped(&mut sender, &enrolment, &spool, &switch);
                // Dropped at the end, which is what the other side waits for.
                drop(ended);
            }
        };
        thread::Builder::new()
            .name("sender".to_owned())
            .spawn(sending)
            .map_err(|source| AgentError::System {
                what: "the sender cannot be started",
                source,
            })?;
        let n_samples = sample_until_stopped(&options, &enrolment, &spool, &switch);
        // A hub that hangs does not hold up the end; what it did not acknowledge stays spooled.
        let _ = end.recv_timeout(FLUSH_MAX);
        let spool = inspect(&data.spool(), options.limits)?;
        tracing::info!(n_samples, pending = spool.pending, "agent stopped");
        Ok(DaemonReport { n_samples, spool })
    }
}

impl StopHandle {
    /// Asks the daemon to flush and end.
    pub fn stop(&self) {
        self.flags().is_stopping = true;
        self.inner.1.notify_all();
    }

    /// Lets the sender look at the spool, in which there are `n_samples` more.
    fn announce(&self, n_samples: u64) {
        {
            let mut flags = self.flags();
            flags.n_samples += n_samples;
            flags.n_ticks += 1;
        }
        self.inner.1.notify_all();
    }

    /// Waits until a moment or the stop; returns whether it is the stop.
    fn wait_until(&self, deadline: Deadline) -> bool {
        let mut flags = self.flags();
        loop {
            if flags.is_stopping {
                return true;
            }
            let Some(left) = deadline.remaining() else {
                return false;
            };
            let waited = self.inner.1.wait_timeout(flags, left);
            flags = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a tick beyond the `n_seen`th, or the stop.
    fn wait_for_tick(&self, n_seen: u64) {
        let mut flags = self.flags();
        while !flags.is_stopping && flags.n_ticks == n_seen {
            flags = self
                .inner
                .1
                .wait(flags)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_stopping(&self) -> bool {
        self.flags().is_stopping
    }

    fn n_ticks(&self) -> u64 {
        self.flags().n_ticks
    }

    fn flags(&self) -> MutexGuard<'_, Flags> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how much real time the first processor figure covers.
pub fn first_interval(clock: Clock) -> Duration {
    if clock.rate() == 1 {
        FIRST_INTERVAL
    } else {
        FIRST_INTERVAL_ACCELERATED
    }
}

#[derive(Debug, Default)]
struct Flags {
    is_stopping: bool,
    /// Samples that became durable.
    n_samples: u64,
    /// Ticks at which something may have become durable.
    n_ticks: u64,
}

fn sample_until_stopped(
    options: &DaemonOptions,
    enrolment: &Enrolment,
    spool: &Mutex<Spool>,
    switch: &StopHandle,
) -> u64 {
    let mut sampler = Sampler::new(&options.root, options.clock, options.cadence);
    sampler.prime();
    let mut is_stopped = switch.wait_until(Deadline::after(first_interval(options.clock)));
    let mut ticker = Ticker::start(options.clock, options.cadence);
    let mut trouble = Trouble::default();
    while !is_stopped {
        let health = health_of_spool(&mut lock(spool));
        let measured = sampler.measure(ticker.n_ticks(), health);
        // Appended in one go, so that the sender sees metrics as the freshest.
        match sampler.spool(&measured, enrolment, &mut lock(spool)) {
            Ok(_) => {
                trouble.is_over();
                switch.announce(1);
            }
            Err(error) => {
                trouble.is(&error);
                switch.announce(0);
            }
        }
        is_stopped = switch.wait_until(Deadline::at(ticker.advance()));
    }
    switch.flags().n_samples
}

/// Logs a trouble when it begins, changes and ends, and not at every tick.
#[derive(Default)]
struct Trouble {
    text: String,
}

impl Trouble {
    fn is(&mut self, error: &AgentError) {
        let text = error.chain();
        if text != self.text {
            tracing::warn!(error = text, "no sample");
            self.text = text;
        }
    }

    fn is_over(&mut self) {
        if !self.text.is_empty() {
            tracing::info!("samples again");
            self.text.clear();
        }
    }
}

fn send_until_stopped(
    sender: &mut Sender,
    enrolment: &Enrolment,
    spool: &Mutex<Spool>,
    switch: &StopHandle,
) {
    while !switch.is_stopping() {
        // Read before the spool is, so that a tick in between ends the wait at once.
        let n_seen = switch.n_ticks();
        match sender.step(enrolment, spool, REQUEST_TIMEOUT) {
            Step::Idle => switch.wait_for_tick(n_seen),
            Step::Tried { wait, .. } | Step::Stalled { wait } => {
                let _ = switch.wait_until(Deadline::after(wait));
            }
        }
    }
    sender.flush(enrolment, spool, Deadline::after(FLUSH_MAX));
}

fn log_start(enrolment: &Enrolment, spool: &Spool, clock: Clock) {
    let (ledger, recovery) = (spool.ledger(), spool.recovery());
    tracing::info!(
        agent_id = %enrolment.config().agent_id,
        epoch = ledger.epoch(),
        pending = ledger.n_pending(),
        clock_rate = clock.rate(),
        "agent started"
    );
    if recovery != Recovery::default() {
        tracing::warn!(
            torn_bytes = recovery.torn_bytes,
            n_damaged = recovery.n_damaged,
            n_set_aside = recovery.n_set_aside,
            is_state_rebuilt = recovery.is_state_rebuilt,
            "spool recovered"
        );
    }
}

/// Time between two samples, in clock time.
pub const CADENCE: Span = Span::from_secs(15);
/// How long the end may take.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// The first processor figure covers this much of real time; later ones a whole cadence.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// The same where a cadence is shorter than a second.
const FIRST_INTERVAL_ACCELERATED: Duration = Duration::from_millis(250);
