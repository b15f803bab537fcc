//! What a service manager and the hub tell each other: a socket that is open already, readiness, life.
//!
//! What: the protocols of systemd for sockets (`LISTEN_FDS`) and notifications (`NOTIFY_SOCKET`);
//! without them nothing happens. A socket that the manager holds stays open while the hub restarts,
//! so that whoever connects meanwhile waits and is not refused. What not: whether the store
//! answers; a hub whose store is away says so to those who ask, and restarting it helps nobody.

use std::net::TcpListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

use crate::error::{Failure, FailureKind};

/// Takes the socket that the service manager listens on for this process. It changes the
/// environment, so nothing else may run yet.
///
/// # Errors
/// Configuration: when what was passed is no listening socket of TCP, or several are.
pub(crate) fn inherited_listener() -> Result<Option<TcpListener>, Failure> {
    let mut passed = ListenFd::from_env();
    let wrong = |what: String| Failure::new(FailureKind::Configuration, what);
    match passed.len() {
        0 => Ok(None),
        1 => {
            let taken = passed.take_tcp_listener(0);
            taken.map_err(|error| wrong(format!("LISTEN_FDS: {error}: expected a socket of TCP")))
        }
        n => Err(wrong(format!("LISTEN_FDS: {n} sockets: expected one"))),
    }
}

/// Says that the hub serves, or works.
pub(crate) fn tell_ready() {
    tell(&[NotifyState::Ready]);
}

/// Says that the hub ends in order.
pub(crate) fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the hub lives, twice as often as the service manager wants to hear it; never returns.
pub(crate) async fn tell_life() {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else {
        return std::future::pending().await;
    };
    let mut beat = tokio::time::interval((within / 2).max(BEAT_MIN));
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

/// Shortest time between two signs of life.
const BEAT_MIN: Duration = Duration::from_millis(10);
