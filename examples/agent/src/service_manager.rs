//! What the agent tells a service manager: readiness, reloading, life, the end.
//!
//! What: the notification protocol of systemd (`sd_notify(3)`), one datagram a message, and the
//! watchdog (`WATCHDOG_USEC`); without the variables nothing is sent. It is forty lines by hand
//! because the agent's binary is small on purpose. What not: when to say what; the command `daemon`
//! decides. Cost: one socket, made at the first message.

use std::env;
use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The service manager that started this process, if one did.
#[derive(Debug, Default)]
pub struct ServiceManager {
    at: Option<SocketAddr>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Reads what the service manager left in the environment.
    pub fn from_env() -> Self {
        let at = env::var_os("NOTIFY_SOCKET").and_then(|name| address(&name).ok());
        let micros = read_number("WATCHDOG_USEC").filter(|micros| *micros > 0);
        let is_ours =
            read_number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        Self {
            watchdog: micros
                .filter(|_| is_ours && at.is_some())
                .map(Duration::from_micros),
            at,
        }
    }

    /// Returns how often it wants a sign of life: twice within its limit.
    pub fn beat(&self) -> Option<Duration> {
        Some((self.watchdog? / 2).max(BEAT_MIN))
    }

    /// Says that the agent works.
    pub fn tell_ready(&self) {
        self.tell("READY=1");
    }

    /// Says that the agent reads its configuration again; [`Self::tell_ready`] ends it.
    pub fn tell_reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// Says that the agent ends in order.
    pub fn tell_stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says that the agent lives.
    pub fn tell_life(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, message: &str) {
        let Some(at) = &self.at else { return };
        let sent =
            UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(message.as_bytes(), at));
        if let Err(error) = sent {
            tracing::warn!(%error, "the service manager was not told");
        }
    }
}

/// A path, or a name of the abstract namespace behind an `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        // Only Linux has one, and only Linux has systemd.
        #[cfg(target_os = "linux")]
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn read_number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Shortest time between two signs of life.
const BEAT_MIN: Duration = Duration::from_millis(10);
