//! The reference hub of monsys: verifies agents, judges their honesty, shows what it found.
//!
//! It assembles the pure crates: it owns sockets, files, clocks, randomness, SQL and HTML, and
//! decides nothing that they decide.
//!
//! # For programs that embed its parts
//! [`main`] is the whole command line. [`store`] holds the databases, each of which implements the
//! storage contract of `monsys-core`; [`GroupCommit`] is the queue before one.
//!
//! ```
//! use monsys_core::store::AgentStore;
//! use monsys_hub::store::SqliteStore;
//!
//! # let directory = std::env::temp_dir().join(format!("monsys-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! let store = SqliteStore::open(&directory.join("monsys.db"))?;
//! # let _: &dyn AgentStore = &store;
//! # drop(store);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(test)]
mod agent_outage_tests;
mod api;
mod app;
mod cli;
mod clock;
mod command;
mod config;
mod demo;
mod doctor;
mod drain;
mod error;
mod ingest;
mod integrity_choice;
mod listen;
mod live;
mod location;
mod log;
pub mod manual;
mod output;
mod pages;
mod random;
mod routes;
mod scan;
mod scores;
mod security;
mod seed;
mod server;
mod service_manager;
mod small_body;
mod standing;
pub mod store;
mod telemetry;
mod trend;
mod web;
mod worker;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::error::Failure;

// The public interface is
pub use crate::ingest::GroupCommit;

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::read();
    if let Command::AgentProcess { arguments } = cli.command {
        return demo::agent_process(arguments);
    }
    // What happens in a demo is on its screen already.
    let is_demo = matches!(cli.command, Command::Demo(_));
    log::start(if is_demo {
        "warn"
    } else {
        "monsys_hub=info,warn"
    });
    match run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    let may_inherit = matches!(command, Command::Run(_));
    let inherited = if may_inherit {
        service_manager::inherited_listener()?
    } else {
        None
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(command::run(command, inherited))
}
