//! `daemon`: the agent at work, until SIGTERM or SIGINT.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::thread;

use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::clock::Clock;
use crate::collect::root::Root;
use crate::config::DataDir;
use crate::daemon::{Daemon, DaemonOptions, StopHandle};
use crate::error::{AgentError, Outcome};
use crate::output::{self, Form};
use crate::spool::SpoolStatus;

#[derive(Serialize)]
struct Ended {
    samples: u64,
    spool: SpoolStatus,
}

/// Runs the daemon; with `--json` it tells at the end what it did.
///
/// # Errors
/// [`AgentError`] of opening and running the daemon.
pub fn run(data: &DataDir, root: Root, clock: Clock, form: Form) -> Result<Outcome, AgentError> {
    let options = DaemonOptions {
        root,
        ..DaemonOptions::standard(clock)
    };
    let daemon = Daemon::open(data, options)?;
    stop_on_signals(daemon.stop_handle())?;
    let report = daemon.run()?;
    if form == Form::Json {
        let ended = Ended {
            samples: report.n_samples,
            spool: report.spool,
        };
        output::show(form, &ended, &[]);
    }
    Ok(Outcome::Success)
}

/// Lets SIGTERM and SIGINT stop a daemon cleanly.
///
/// # Errors
/// [`AgentError::System`] when the operating system gives no pipe, handler or thread.
pub fn stop_on_signals(stop: StopHandle) -> Result<(), AgentError> {
    let system = |source| AgentError::System {
        what: "signals cannot be received",
        source,
    };
    let (mut receiver, sender) = UnixStream::pair().map_err(system)?;
    for signal in [SIGTERM, SIGINT] {
        pipe::register(signal, sender.try_clone().map_err(system)?).map_err(system)?;
    }
    let waiting = move || {
        // Whatever ends the wait, a byte or a broken pipe, the safe answer is to stop.
        let _ = receiver.read(&mut [0]);
        stop.stop();
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(waiting)
        .map_err(system)?;
    Ok(())
}
