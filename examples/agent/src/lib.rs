//! The reference agent of monsys: measures, signs, spools and sends.
//!
//! A thin program around the pure crates: sockets, files, clocks and processes are here, the layout
//! of what is sent is in `monsys-wire`, and nothing judges a value. It measures every 15 s, makes
//! each sample durable before it is sent, and delivers it to one hub however long that takes. A hub
//! can answer with a closed set of words ([`send::answer::Answer`]) and command nothing.
//!
//! # What it sends
//! | payload | when | holds |
//! |---|---|---|
//! | `metrics` | every 15 s | processor, load, memory, disks, networks |
//! | `agent_signals` | every 5 min, and within a minute of a change | posture, clock, backups |
//! | `endpoint` | every 5 min | processes, listeners, counts of logins, places from which programs start, and how every collector fares |
//!
//! `run-once --print` shows the bytes. What cannot be read is `null` or left out, with a reason in
//! `health`; it never ends the program, and only without a processor figure there are no metrics.
//!
//! # What this program does not do
//! It sends no command lines, host names or file contents, starts no other program, and has no port
//! open.
//!
//! # Other systems
//! Linux is where it is built, measured and used. On macOS it is built; there is no `/proc`, so it
//! has no metrics to send, and every collector says `unavailable`. On Windows only the parsers are
//! built and tested: keys and spool rely on permissions, locks and directory syncs of Unix.
//!
//! # For programs that run an agent of their own
//! [`run`] is the whole command line. [`daemon::Daemon`] is the agent at work, with a clock of the
//! caller's choosing.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use monsys_agent::clock::Clock;
//! use monsys_agent::config::DataDir;
//! use monsys_agent::daemon::{Daemon, DaemonOptions};
//!
//! let data = DataDir::at(Path::new("/var/lib/monsys-agent"));
//! let daemon = Daemon::open(&data, DaemonOptions::standard(Clock::system()))?;
//! let stop = daemon.stop_handle();
//! std::thread::spawn(move || stop.stop());
//! let report = daemon.run()?;
//! assert!(report.spool.pending < 100_000);
//! # Ok::<(), monsys_agent::error::AgentError>(())
//! ```

#[cfg(unix)]
mod cli;
pub mod clock;
pub mod collect;
#[cfg(unix)]
pub mod command;
#[cfg(unix)]
pub mod config;
#[cfg(unix)]
pub mod daemon;
#[cfg(unix)]
pub mod device_probe;
#[cfg(unix)]
pub mod durable;
#[cfg(unix)]
pub mod enrolment;
#[cfg(unix)]
pub mod error;
#[cfg(unix)]
pub mod hub_url;
#[cfg(unix)]
pub mod key;
#[cfg(unix)]
pub mod live;
#[cfg(unix)]
mod log;
#[cfg(unix)]
pub mod output;
#[cfg(unix)]
pub mod rotation;
#[cfg(unix)]
pub mod sampling;
pub mod schedule;
#[cfg(unix)]
mod secret;
#[cfg(unix)]
pub mod send;
#[cfg(unix)]
pub mod sender;
#[cfg(unix)]
pub mod service_manager;
#[cfg(unix)]
pub mod spool;
#[cfg(test)]
mod testing;

// The public interface is
#[cfg(unix)]
pub use cli::run;
pub use clock::Clock;
#[cfg(unix)]
pub use daemon::{Daemon, DaemonOptions};
