//! The agent at work: a sampler that never waits for the hub, and a sender that never gives up.
//!
//! Two threads share the spool. The sampler ticks every 15 s of clock time on the monotonic clock,
//! without drift, and each sample is durable before the sender sees it. Stopping wakes both: the
//! sender tries once more to deliver, for at most two seconds, and what stays is in the spool. The
//! configuration can be read again meanwhile; another key is noticed before the next payload. What
//! not: signals and flags; the command line translates those into [`StopHandle::stop`] and
//! [`ReloadHandle::reload`]. Cost: two sleeping threads between ticks, no polling.

use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use monsys_core::time::Span;

use crate::clock::{Clock, Deadline, HubClock, Ticker};
use crate::collect::root::Root;
use crate::config::DataDir;
use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::live::LiveEnrolment;
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
    live: Arc<LiveEnrolment>,
    sender: Sender,
    spool: Arc<Mutex<Spool>>,
    switch: StopHandle,
}

/// Lets a running daemon read its configuration and key again; a copy is for the same one.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    live: Arc<LiveEnrolment>,
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
        let live = LiveEnrolment::open(data)?;
        let sender = Sender::new(data, options.clock);
        let spool = Spool::open(&data.spool(), options.limits)?;
        Ok(Self {
            data: data.clone(),
            options,
            live: Arc::new(live),
            sender,
            spool: Arc::new(Mutex::new(spool)),
            switch: StopHandle::default(),
        })
    }

    /// Returns what stops this daemon.
    pub fn stop_handle(&self) -> StopHandle {
        self.switch.clone()
    }

    /// Returns what lets this daemon read its configuration again.
    pub fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle {
            live: Arc::clone(&self.live),
            switch: self.switch.clone(),
        }
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
            live,
            sender,
            spool,
            switch,
        } = self;
        log_start(&live.current(), &lock(&spool), options.clock);
        let hub_clock = sender.hub_clock();
        let (ended, end) = mpsc::channel::<()>();
        let sending = {
            let (live, spool) = (Arc::clone(&live), Arc::clone(&spool));
            let (switch, mut sender) = (switch.clone(), sender);
            move || {
                send_until_stopped(&mut sender, &live, &spool, &switch);
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
        let n_samples = sample_until_stopped(&options, hub_clock, &live, &spool, &switch);
        // A hub that hangs does not hold up the end; what it did not acknowledge stays spooled.
        let _ = end.recv_timeout(FLUSH_MAX);
        let spool = inspect(&data.spool(), options.limits)?;
        tracing::info!(n_samples, pending = spool.pending, "agent stopped");
        Ok(DaemonReport { n_samples, spool })
    }
}

impl ReloadHandle {
    /// Reads configuration and key again, and lets the sender try at once.
    ///
    /// # Errors
    /// Those of [`LiveEnrolment::reload`]; what was in force stays.
    pub fn reload(&self) -> Result<(), AgentError> {
        self.live.reload()?;
        self.switch.flags().n_reloads += 1;
        self.switch.inner.1.notify_all();
        Ok(())
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

    /// Returns whether the sampler came back from its last sample in time. Its state is what a
    /// watchdog watches: a hub that is away or a disk that is full stops neither.
    pub fn is_sampling(&self) -> bool {
        let expected_by = self.flags().expected_by;
        expected_by.is_none_or(|moment| Instant::now() <= moment)
    }

    /// Waits until a moment or the stop; returns whether it is the stop.
    fn wait_until(&self, deadline: Deadline) -> bool {
        self.wait_unless(deadline, |flags| flags.is_stopping);
        self.is_stopping()
    }

    /// Waits for the time of a sample or the stop; returns whether it is the stop.
    fn wait_to_sample(&self, tick: Instant) -> bool {
        self.flags().expected_by = Some(tick + SAMPLE_MAX);
        self.wait_until(Deadline::at(tick))
    }

    /// Waits until a moment, the stop, or a reload.
    fn wait_to_send(&self, deadline: Deadline) {
        let n_reloads = self.flags().n_reloads;
        self.wait_unless(deadline, |flags| {
            flags.is_stopping || flags.n_reloads != n_reloads
        });
    }

    fn wait_unless(&self, deadline: Deadline, is_over: impl Fn(&Flags) -> bool) {
        let mut flags = self.flags();
        while !is_over(&flags)
            && let Some(left) = deadline.remaining()
        {
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
    n_reloads: u64,
    /// When the sampler will have come back at the latest.
    expected_by: Option<Instant>,
}

fn sample_until_stopped(
    options: &DaemonOptions,
    hub_clock: HubClock,
    live: &LiveEnrolment,
    spool: &Mutex<Spool>,
    switch: &StopHandle,
) -> u64 {
    let mut sampler = Sampler::new(&options.root, options.clock, options.cadence);
    sampler.follow(hub_clock);
    sampler.prime();
    let mut is_stopped = switch.wait_until(Deadline::after(first_interval(options.clock)));
    let mut ticker = Ticker::start(options.clock, options.cadence);
    let mut trouble = Trouble::new("no sample", "samples again");
    while !is_stopped {
        let health = health_of_spool(&mut lock(spool));
        // A reload may have named others.
        sampler.watch(&live.current().config().backups);
        let measured = sampler.measure(ticker.n_ticks(), health);
        // Appended in one go, so that the sender sees metrics as the freshest.
        match sampler.spool(&measured, &live.current(), &mut lock(spool)) {
            Ok(_) => {
                trouble.is_over();
                switch.announce(1);
            }
            Err(error) => {
                trouble.is(&error);
                switch.announce(0);
            }
        }
        is_stopped = switch.wait_to_sample(ticker.advance());
    }
    switch.flags().n_samples
}

/// Logs a trouble when it begins, changes and ends, and not at every tick.
struct Trouble {
    begin: &'static str,
    end: &'static str,
    text: String,
}

impl Trouble {
    const fn new(begin: &'static str, end: &'static str) -> Self {
        Self {
            begin,
            end,
            text: String::new(),
        }
    }

    fn is(&mut self, error: &AgentError) {
        let text = error.chain();
        if text != self.text {
            tracing::warn!(error = text, "{}", self.begin);
            self.text = text;
        }
    }

    fn is_over(&mut self) {
        if !self.text.is_empty() {
            tracing::info!("{}", self.end);
            self.text.clear();
        }
    }
}

fn send_until_stopped(
    sender: &mut Sender,
    live: &LiveEnrolment,
    spool: &Mutex<Spool>,
    switch: &StopHandle,
) {
    // While the first processor figure is being measured.
    sender.learn_time(&live.current());
    let mut trouble = Trouble::new("no payload can be signed", "payloads are signed again");
    while !switch.is_stopping() {
        // Read before the spool is, so that a tick in between ends the wait at once.
        let n_seen = switch.n_ticks();
        let step = match live.hold() {
            Ok(held) => {
                trouble.is_over();
                sender.step(held.enrolment(), spool, REQUEST_TIMEOUT)
            }
            Err(error) => {
                trouble.is(&error);
                Step::Stalled {
                    wait: UNSIGNED_WAIT,
                }
            }
        };
        match step {
            Step::Idle => switch.wait_for_tick(n_seen),
            Step::Tried { wait, .. } | Step::Stalled { wait } => {
                switch.wait_to_send(Deadline::after(wait));
            }
        }
    }
    if let Ok(held) = live.hold() {
        sender.flush(held.enrolment(), spool, Deadline::after(FLUSH_MAX));
    }
}

fn log_start(enrolment: &Enrolment, spool: &Spool, clock: Clock) {
    let (ledger, recovery) = (spool.ledger(), spool.recovery());
    tracing::info!(
        agent_id = %enrolment.config().profile,
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

/// How long after its time a sample is there, on a machine that does not hang.
const SAMPLE_MAX: Duration = Duration::from_secs(15);
/// How long to wait when it is not known which key the hub has.
const UNSIGNED_WAIT: Duration = Duration::from_secs(5);
/// Time between two samples, in clock time.
pub const CADENCE: Span = Span::from_secs(15);
/// How long the end may take.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// The first processor figure covers this much of real time; later ones a whole cadence.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// The same where a cadence is shorter than a second.
const FIRST_INTERVAL_ACCELERATED: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_that_does_not_come_back_is_no_sign_of_life() {
        let switch = StopHandle::default();
        assert!(switch.is_sampling(), "it has not begun");
        let long_ago = Instant::now().checked_sub(SAMPLE_MAX + SAMPLE_MAX).unwrap();
        switch.stop();
        assert!(switch.wait_to_sample(Instant::now()));
        assert!(switch.is_sampling(), "its sample may take a while");
        assert!(switch.wait_to_sample(long_ago));
        assert!(!switch.is_sampling());
        assert!(switch.wait_to_sample(Instant::now()));
        assert!(switch.is_sampling(), "it came back");
    }
}
