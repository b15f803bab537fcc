//! `daemon`: the agent at work, until SIGTERM or SIGINT; SIGHUP lets it read its configuration again.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

use crate::clock::Clock;
use crate::collect::root::Root;
use crate::config::DataDir;
use crate::daemon::{Daemon, DaemonOptions, ReloadHandle, StopHandle};
use crate::error::{AgentError, Outcome};
use crate::output::{self, Form};
use crate::service_manager::ServiceManager;
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
    let manager = ServiceManager::from_env();
    let options = DaemonOptions {
        root,
        ..DaemonOptions::standard(clock)
    };
    let daemon = Daemon::open(data, options)?;
    obey_signals(daemon.stop_handle(), daemon.reload_handle(), manager)?;
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

/// Lets SIGTERM and SIGINT stop a daemon cleanly and SIGHUP reload it, and tells the service manager
/// what happens.
///
/// # Errors
/// [`AgentError::System`] when the operating system gives no pipe, handler or thread.
pub fn obey_signals(
    stop: StopHandle,
    reload: ReloadHandle,
    manager: ServiceManager,
) -> Result<(), AgentError> {
    let system = |source| AgentError::System {
        what: "signals cannot be received",
        source,
    };
    let (mut receiver, sender) = UnixStream::pair().map_err(system)?;
    let (is_ending, is_hung_up) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    for (signal, flag) in [
        (SIGTERM, &is_ending),
        (SIGINT, &is_ending),
        (SIGHUP, &is_hung_up),
    ] {
        // Handlers run in the order of their making, so the flag stands when the byte comes.
        flag::register(signal, Arc::clone(flag)).map_err(system)?;
        pipe::register(signal, sender.try_clone().map_err(system)?).map_err(system)?;
    }
    receiver.set_read_timeout(manager.beat()).map_err(system)?;
    let waiting = move || {
        manager.tell_ready();
        loop {
            match receiver.read(&mut [0]) {
                Ok(1..) => {}
                Err(error) if is_passing(&error) => {}
                // Whatever else ends the wait, the safe answer is to stop.
                Ok(_) | Err(_) => break,
            }
            if is_ending.load(Ordering::Acquire) {
                break;
            }
            if is_hung_up.swap(false, Ordering::AcqRel) {
                reload_once(&reload, &manager);
            }
            if stop.is_sampling() {
                manager.tell_life();
            }
        }
        manager.tell_stopping();
        stop.stop();
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(waiting)
        .map_err(system)?;
    Ok(())
}

fn reload_once(reload: &ReloadHandle, manager: &ServiceManager) {
    manager.tell_reloading();
    match reload.reload() {
        Ok(()) => tracing::info!("configuration read again"),
        Err(error) => tracing::warn!(error = error.chain(), "configuration not taken"),
    }
    manager.tell_ready();
}

/// Whether a wait ended because it was time for a sign of life.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
