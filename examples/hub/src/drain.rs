//! How a hub ends without a client noticing.
//!
//! In this order: `/readyz` says that it ends, so that a balancer sends nobody new, and answers ask
//! their clients to come again on another connection; after a delay that a balancer needs, nobody
//! is accepted any more; requests under way are answered; what was acknowledged is durable already.
//! Each step has an end. Whoever asks twice is obeyed at once: nothing that was acknowledged is
//! lost by that either.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::parse_span;
use crate::error::{Failure, FailureKind};

/// What an operator can choose about the end.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrainChoices {
    /// How long a hub that ends still accepts connections while /readyz says 503: behind a balancer,
    /// longer than two of its looks [default: 0s]
    #[arg(
        id = "drain_delay",
        long = "drain-delay",
        env = "MONSYS_DRAIN_DELAY",
        value_name = "SPAN"
    )]
    delay: Option<String>,
}

impl DrainChoices {
    /// Completes these choices with those of a file and the defaults.
    ///
    /// # Errors
    /// Configuration: what is no span, or longer than any manager waits.
    pub(crate) fn complete(self, file: Self) -> Result<Duration, Failure> {
        let Some(text) = self.delay.or(file.delay) else {
            return Ok(Duration::ZERO);
        };
        let seconds = parse_span(&text).and_then(|span| u64::try_from(span.millis() / 1_000).ok());
        let seconds = seconds.filter(|seconds| *seconds <= DELAY_S_MAX);
        seconds.map(Duration::from_secs).ok_or_else(|| {
            let expected = "drain delay: expected a span such as 5s, at most 5m";
            Failure::new(FailureKind::Configuration, expected)
        })
    }
}

/// Whether the hub ends.
#[derive(Debug, Default)]
pub(crate) struct Ending(AtomicBool);

impl Ending {
    /// From here on nobody new should come.
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Tells whether nobody new should come.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Asks the client of a hub that ends to come again on another connection, which a balancer leads
/// elsewhere.
pub(crate) fn close(response: &mut Response) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}

/// Ctrl-C and SIGTERM, caught from the moment this is made.
pub(crate) struct AskedToEnd {
    terminate: Signal,
    interrupt: Signal,
}

impl AskedToEnd {
    /// Catches both from here on.
    ///
    /// # Errors
    /// When the system lets nobody catch them.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for `end`, unless asked once more: then the program ends as it stands.
    pub(crate) async fn unless_asked_again(&mut self, end: impl Future<Output = ()>) {
        tokio::select! {
            () = end => {}
            () = self.wait() => {
                tracing::warn!("asked twice to end: what is under way is cut off");
                std::process::exit(CUT_OFF);
            }
        }
    }
}

/// Longest delay; a balancer that looks less often than every two minutes is none.
const DELAY_S_MAX: u64 = 300;
/// The exit code of a hub that was not given the time to end in order: inconclusive (contract §1).
const CUT_OFF: i32 = 69;

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(text: Option<&str>) -> DrainChoices {
        let delay = text.map(str::to_owned);
        DrainChoices { delay }
    }

    #[test]
    fn the_delay_is_a_span_of_at_most_five_minutes() {
        for (flag, file, expected) in [
            (None, None, Some(0)),
            (None, Some("5s"), Some(5)),
            (Some("2m"), Some("5s"), Some(120)),
            (Some("5m"), None, Some(300)),
            (Some("6m"), None, None),
            (Some("soon"), None, None),
        ] {
            let delay = choice(flag).complete(choice(file)).ok();
            assert_eq!(delay, expected.map(Duration::from_secs), "{flag:?}");
        }
    }
}
