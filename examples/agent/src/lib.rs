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

mod cli;
pub mod clock;
pub mod collect;
pub mod command;
pub mod config;
pub mod daemon;
pub mod device_probe;
pub mod durable;
pub mod enrolment;
pub mod error;
pub mod hub_url;
pub mod key;
pub mod live;
mod log;
pub mod output;
pub mod rotation;
pub mod sampling;
pub mod schedule;
mod secret;
pub mod send;
pub mod sender;
pub mod service_manager;
pub mod spool;
#[cfg(test)]
mod testing;

// The public interface is
pub use cli::run;
pub use clock::Clock;
pub use daemon::{Daemon, DaemonOptions};
