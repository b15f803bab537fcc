//! Everything that can end a command, and the exit code that says so.
//!
//! What: one enum over the errors of the modules. What not: bad measurements and unreachable hubs
//! while the daemon runs; those end nothing.

use std::error::Error;
use std::fmt::Write;

use thiserror::Error as ThisError;

use crate::clock::RateError;
use crate::collect::CollectError;
use crate::config::ConfigError;
use crate::hub_url::HubUrlError;
use crate::key::KeyFileError;
use crate::send::client::{CaError, CallError};
use crate::spool::SpoolError;

/// Why a command ended without its result.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum AgentError {
    /// The command line asks for something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// A clock that cannot run.
    #[error(transparent)]
    Clock(#[from] RateError),
    /// The address of the hub.
    #[error(transparent)]
    HubUrl(#[from] HubUrlError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The signing key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The certificates to trust.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The hub, when its answer is the point.
    #[error(transparent)]
    Call(#[from] CallError),
    /// There is nothing to send.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The configuration belongs to another agent or hub.
    #[error("{} of the configuration is another one: expected a data directory of its own", .0)]
    OtherAgent(&'static str),
    /// Another key is pinned for this agent.
    #[error("another key is pinned for this agent: expected the one in the data directory")]
    OtherKey,
    /// The operating system refused something.
    #[error("{what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
}

/// How a command ends (contract §1). Closed: scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Success,
    /// A check found something.
    Finding,
    /// The command line is wrong.
    Usage,
    /// Something needed is unavailable, or a check could not be made.
    Unavailable,
    /// A file could not be read or written.
    InputOutput,
    /// The configuration is absent or wrong.
    Configuration,
}

impl Outcome {
    /// Returns the exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Finding => 1,
            Self::Usage => 2,
            Self::Unavailable => 69,
            Self::InputOutput => 74,
            Self::Configuration => 78,
        }
    }
}

impl AgentError {
    /// Returns how a command ends that met this.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Usage(_) | Self::Clock(_) | Self::HubUrl(_) => Outcome::Usage,
            Self::Config(ConfigError::Io { .. })
            | Self::Key(KeyFileError::Io { .. })
            | Self::Spool(SpoolError::Io { .. } | SpoolError::Held { .. } | SpoolError::Damaged)
            | Self::System { .. } => Outcome::InputOutput,
            Self::Spool(_)
            | Self::Call(CallError::Unreachable(_) | CallError::Busy)
            | Self::Collect(_) => Outcome::Unavailable,
            Self::Config(_)
            | Self::Key(_)
            | Self::Ca(_)
            | Self::Call(CallError::Denied { .. })
            | Self::OtherAgent(_)
            | Self::OtherKey => Outcome::Configuration,
        }
    }

    /// Returns the message with those of its causes.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // Cannot fail: writing to a string.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }
}
