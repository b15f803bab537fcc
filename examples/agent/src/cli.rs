//! The command line: flags, their environment twins, and which command they start.
//!
//! What: parsing and dispatch ([`run`]); each command has its own file in [`crate::command`]. What
//! not: printing results. Every flag `--x` has a twin `MONSYS_X` (`--data` has
//! `MONSYS_AGENT_DATA`, because a hub on the same machine has data too); the token also one with
//! `_FILE`, so that it need not stand in a process list. The key of a device has no flag at all: it
//! comes from a file, standard input or the environment.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use monsys_core::time::Timestamp;
use monsys_wire::{Audience, BearerToken, DeviceIdentity, DeviceKey};

use crate::clock::Clock;
use crate::collect::root::Root;
use crate::command;
use crate::command::init::{Enrollee, Target};
use crate::config::DataDir;
use crate::error::{AgentError, Outcome};
use crate::log;
use crate::output::{self, Form};
use crate::secret;

/// Measures this machine, signs what it measured, and sends it to a monsys hub.
#[derive(Debug, Parser)]
#[command(
    name = "monsys-agent",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
struct Cli {
    /// Directory of key, configuration and spool [default: $XDG_STATE_HOME/monsys-agent]
    #[arg(long, global = true, env = "MONSYS_AGENT_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true, env = "MONSYS_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// Directory in which the machine's proc, etc and var are, as for a container that measures its host
    #[arg(
        long,
        global = true,
        env = "MONSYS_ROOT",
        value_name = "DIR",
        default_value = "/"
    )]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the signing key unless there is one, and print its public half
    Keygen,
    /// Enrol at a hub: pin the key, write the configuration
    Init(Box<InitFlags>),
    /// Go to another key: a new one of the agent's own, or one that the hub made for a device
    RotateKey(KeyFlags),
    /// Measure once, send it and what is spooled, and end
    RunOnce(RunOnceFlags),
    /// Measure every 15 s and send, until told to stop
    Daemon(ClockFlags),
    /// Look at undelivered payloads
    Spool {
        #[command(subcommand)]
        command: SpoolCommand,
    },
    /// Print who this agent is
    Identity,
    /// Check everything that sending needs, without sending
    Doctor,
    /// Print the version
    Version,
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum SpoolCommand {
    /// How much is undelivered
    Status,
}

#[derive(Debug, Args)]
struct InitFlags {
    /// Address of the hub
    #[arg(long, env = "MONSYS_HUB", value_name = "URL")]
    hub: String,
    /// How the agent proves who it is
    #[arg(
        long,
        env = "MONSYS_PROFILE",
        default_value = "ed25519",
        value_name = "PROFILE"
    )]
    profile: ProfileName,
    /// Token that `monsys-hub agent enrol` printed
    #[arg(
        long,
        env = "MONSYS_TOKEN",
        hide_env_values = true,
        value_name = "ms_…"
    )]
    token: Option<String>,
    /// File that holds the token
    #[arg(
        long,
        env = "MONSYS_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "token"
    )]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceFlags,
    /// Certificates (PEM) to trust for this hub in place of the built-in ones
    #[arg(long, env = "MONSYS_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Send the token unencrypted to another machine
    #[arg(long, env = "MONSYS_ALLOW_PLAIN_HTTP", value_parser = FalseyValueParser::new())]
    allow_plain_http: bool,
    #[command(flatten)]
    clock: ClockFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProfileName {
    Ed25519,
    Hmac,
}

/// What `monsys-hub agent enrol --profile hmac` printed.
#[derive(Debug, Args)]
struct DeviceFlags {
    /// Organisation of the device (profile hmac)
    #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
    org: Option<String>,
    /// Name of the device (profile hmac)
    #[arg(long, env = "MONSYS_DEVICE", value_name = "NAME")]
    device: Option<String>,
    /// Identifier of the hub (profile hmac)
    #[arg(long, env = "MONSYS_AUD", value_name = "ID")]
    aud: Option<String>,
    #[command(flatten)]
    key: KeyFlags,
}

/// Where the key of a device comes from.
#[derive(Debug, Args)]
struct KeyFlags {
    /// File that holds the key of the device (profile hmac); MONSYS_DEVICE_KEY may hold it too
    #[arg(long, env = "MONSYS_DEVICE_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Read the key of the device from standard input (profile hmac)
    #[arg(long, env = "MONSYS_KEY_STDIN", conflicts_with = "key_file", value_parser = FalseyValueParser::new())]
    key_stdin: bool,
}

#[derive(Debug, Args)]
struct RunOnceFlags {
    /// Print exactly the bytes that would be sent, and send nothing
    ///
    /// One body a line: metrics, signals of checks, snapshot of the endpoint.
    #[arg(long, env = "MONSYS_PRINT", value_parser = FalseyValueParser::new())]
    print: bool,
}

/// The clock of a demonstration; of no use with a real hub, whose clock is not accelerated.
#[derive(Debug, Args)]
struct ClockFlags {
    #[arg(
        long,
        hide = true,
        env = "MONSYS_CLOCK_ORIGIN",
        requires = "clock_rate"
    )]
    clock_origin: Option<String>,
    #[arg(
        long,
        hide = true,
        env = "MONSYS_CLOCK_RATE",
        requires = "clock_origin"
    )]
    clock_rate: Option<u32>,
}

/// Runs a command line, of which the first argument is the program's name.
///
/// Results go to standard output, logs and complaints to standard error. Never panics and never
/// ends the process, so that another program can offer the agent as one of its own commands.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. A closed output is no error of ours.
            let _ = error.print();
            let outcome = if error.use_stderr() {
                Outcome::Usage
            } else {
                Outcome::Success
            };
            return ExitCode::from(outcome.code());
        }
    };
    log::start();
    let outcome = dispatch(cli).unwrap_or_else(|error| {
        output::complain(&error.chain());
        error.outcome()
    });
    ExitCode::from(outcome.code())
}

fn dispatch(cli: Cli) -> Result<Outcome, AgentError> {
    let form = if cli.json { Form::Json } else { Form::Text };
    let root = Root::at(&cli.root);
    // Asked for by the commands that have one, so that the others work without.
    let data = || data_dir(cli.data.clone());
    match cli.command {
        Command::Keygen => command::identity::keygen(&data()?, form),
        Command::Init(flags) => {
            let enrollee = flags.enrollee()?;
            command::init::init(&data()?, flags.into_target()?, enrollee, form)
        }
        Command::RotateKey(flags) => {
            command::rotate_key::run(&data()?, flags.read()?.as_ref(), form)
        }
        Command::RunOnce(RunOnceFlags { print: true }) => command::run_once::print(&data()?, &root),
        Command::RunOnce(RunOnceFlags { print: false }) => {
            command::run_once::send(&data()?, &root, form)
        }
        Command::Daemon(flags) => command::daemon::run(&data()?, root, flags.clock()?, form),
        Command::Spool {
            command: SpoolCommand::Status,
        } => command::spool::status(&data()?, form),
        Command::Identity => command::identity::show(&data()?, form),
        Command::Doctor => command::doctor::run(&data()?, &root, form),
        Command::Version => Ok(command::identity::version(form)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "monsys-agent", &mut script);
            output::bytes(&script);
            Ok(Outcome::Success)
        }
    }
}

fn data_dir(named: Option<PathBuf>) -> Result<DataDir, AgentError> {
    let path = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    match named {
        Some(root) => Ok(DataDir::at(&root)),
        None => Ok(DataDir::default_in(path("XDG_STATE_HOME"), path("HOME"))?),
    }
}

impl InitFlags {
    fn into_target(self) -> Result<Target, AgentError> {
        let clock = self.clock.clock()?;
        Target::new(&self.hub, self.allow_plain_http, self.ca, clock)
    }

    fn enrollee(&self) -> Result<Enrollee, AgentError> {
        let of_device = &self.device;
        let is_device = of_device.org.is_some() || of_device.device.is_some();
        match self.profile {
            ProfileName::Ed25519 if is_device => Err(usage(
                "--org and --device belong to --profile hmac: expected --token",
            )),
            ProfileName::Ed25519 => self.agent(),
            ProfileName::Hmac if self.token.is_some() || self.token_file.is_some() => Err(usage(
                "a token belongs to --profile ed25519: expected --org, --device and --aud",
            )),
            ProfileName::Hmac => of_device.enrollee(),
        }
    }

    fn agent(&self) -> Result<Enrollee, AgentError> {
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(path)) => secret::read_file(path)?,
            (None, None) => {
                let text = "no token: expected --token, --token-file or MONSYS_TOKEN";
                return Err(usage(text));
            }
        };
        let token = BearerToken::parse(token.trim().as_bytes());
        let token =
            token.ok_or_else(|| usage("not a token: expected ms_ and 43 base64url characters"))?;
        Ok(Enrollee::Agent {
            token: Arc::new(token),
        })
    }
}

impl DeviceFlags {
    fn enrollee(&self) -> Result<Enrollee, AgentError> {
        let given = |value: &Option<String>, flag| {
            let value = value.clone();
            value.ok_or_else(|| usage(&format!("no {flag}: expected it with --profile hmac")))
        };
        let (org, device) = (given(&self.org, "--org")?, given(&self.device, "--device")?);
        let identity = DeviceIdentity::parse(&org, &device)
            .map_err(|error| usage(&format!("--org and --device: {error}")))?;
        let audience = Audience::parse(&given(&self.aud, "--aud")?)
            .map_err(|_| usage("--aud: expected the identifier that the hub printed"))?;
        Ok(Enrollee::Device {
            identity,
            audience,
            key: self.key.read()?.map(Box::new),
        })
    }
}

impl KeyFlags {
    /// Reads the key, if there is one.
    fn read(&self) -> Result<Option<DeviceKey>, AgentError> {
        let of_environment = || env::var(DEVICE_KEY).ok().filter(|key| !key.is_empty());
        let digits = match (&self.key_file, self.key_stdin) {
            (Some(path), _) => Some(secret::read_file(path)?),
            (None, true) => Some(secret::read_stdin()?),
            (None, false) => of_environment(),
        };
        let key = digits.map(|digits| DeviceKey::parse_secret_hex(digits.trim()));
        key.transpose()
            .map_err(|_| usage("not a key: expected 64 lower-case hexadecimal digits"))
    }
}

fn usage(text: &str) -> AgentError {
    AgentError::Usage(text.to_owned())
}

impl ClockFlags {
    fn clock(&self) -> Result<Clock, AgentError> {
        let (Some(origin), Some(rate)) = (&self.clock_origin, self.clock_rate) else {
            return Ok(Clock::system());
        };
        let origin = Timestamp::parse_rfc3339(origin)
            .map_err(|error| AgentError::Usage(format!("--clock-origin: {error}")))?;
        Ok(Clock::accelerated(origin, rate)?)
    }
}

/// Holds the key of a device, for containers that are given secrets no other way.
const DEVICE_KEY: &str = "MONSYS_DEVICE_KEY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_twin() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            for flag in command
                .get_arguments()
                .filter(|flag| flag.get_long().is_some())
            {
                let long = flag.get_long().unwrap().replace('-', "_").to_uppercase();
                let prefix = match long.as_str() {
                    "DATA" => "MONSYS_AGENT",
                    "KEY_FILE" => "MONSYS_DEVICE",
                    _ => "MONSYS",
                };
                let twin = flag
                    .get_env()
                    .and_then(|name| name.to_str().map(str::to_owned));
                assert_eq!(twin, Some(format!("{prefix}_{long}")), "--{long}");
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn a_clock_needs_origin_and_a_rate_from_1_to_60() {
        let flags = |rate| ClockFlags {
            clock_origin: Some("2026-11-21T01:00:00Z".to_owned()),
            clock_rate: Some(rate),
        };
        assert_eq!(flags(40).clock().map(|clock| clock.rate()).ok(), Some(40));
        for rate in [0, 61] {
            assert!(
                flags(rate)
                    .clock()
                    .is_err_and(|e| e.outcome() == Outcome::Usage)
            );
        }
        let line = ["monsys-agent", "daemon", "--clock-rate", "40"];
        assert!(Cli::try_parse_from(line).is_err());
    }
}
