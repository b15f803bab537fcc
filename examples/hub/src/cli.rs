//! The command line: contract §1, as far as it is built.

mod people;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use monsys_core::store::AuthProfile;

pub(crate) use self::people::{
    PersonArgs, TokenArgs, TokenCommand, UserAddArgs, UserCommand, UserLinkArgs,
};
use crate::config::{Choices, names};
use crate::integrity_choice::IntegrityChoices;
use crate::scan::ScanChoices;

/// Verifies agents, judges their honesty, shows what it found.
#[derive(Debug, Parser)]
#[command(name = "monsys-hub", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line of this process; what it says wrong ends the process with exit code 2.
    pub(crate) fn read() -> Self {
        let matches = names::with_aliases(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole system on this machine: a hub, a real agent, six labelled attackers
    Demo(DemoArgs),
    /// Serve
    ///
    /// Monitoring reads /internal/metrics: from this machine, or with the token in X-Metrics-Token
    /// that MONSYS_METRICS_TOKEN holds, or the file that MONSYS_METRICS_TOKEN_FILE names.
    Run(RunArgs),
    /// Run integrity cycles, sweeps and scans of a store that is there, without serving
    Worker(RunArgs),
    /// Bring the store to the schema of this program
    Migrate(MigrateArgs),
    /// Validate the configuration without listening
    Check(CheckArgs),
    /// Go through the checklist of a deployment: exit 1 when something is wrong
    ///
    /// What must be refused is tried, in transactions that are rolled back; nothing changes. A warning
    /// does not change the exit code; 69 says that nothing failed but something was not reached.
    Doctor(DoctorArgs),
    /// Ask a running hub whether it can store
    Health(HealthArgs),
    /// Organisations
    #[command(subcommand)]
    Org(OrgCommand),
    /// Agents
    #[command(subcommand)]
    Agent(AgentCommand),
    /// People
    #[command(subcommand)]
    User(UserCommand),
    /// API tokens, by which programs read or change things for a person
    #[command(subcommand)]
    Token(TokenCommand),
    /// Integrity checks
    #[command(subcommand)]
    Integrity(IntegrityCommand),
    /// Which organisations a login role of PostgreSQL may read
    #[command(subcommand)]
    Auditor(AuditorCommand),
    /// Signals: findings about agents, endpoints, domains and whatever else
    #[command(subcommand)]
    Signals(SignalsCommand),
    /// Looks at endpoints from this hub
    #[command(subcommand)]
    Scan(ScanCommand),
    /// What is kept, and for how long
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Copy the store to a new file, also while a hub runs on it (SQLite; PostgreSQL has pg_dump)
    Backup(ArchiveArgs),
    /// Put a backup into a data directory that has no store (SQLite; PostgreSQL has pg_restore)
    Restore(ArchiveArgs),
    /// Write the store as lines of JSON that any store can read; `-` is standard output. On
    /// PostgreSQL MONSYS_MIGRATE_URL logs in as the owner, as it does for import
    Export(ArchiveArgs),
    /// Read an export into an empty store; `-` is standard input
    Import(ArchiveArgs),
    /// Read the ledger of anomalies again; exit 1 names the first row that is not what was written
    Verify {
        /// What an earlier `verify --json` printed, kept elsewhere: the ledger must continue it
        #[arg(long, env = "MONSYS_VERIFY_SINCE", value_name = "FILE")]
        since: Option<PathBuf>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Print the version
    Version(JsonArgs),
    /// Print the description of the HTTP API: OpenAPI 3.1, as JSON
    Openapi(JsonArgs),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Runs the reference agent inside this program; the demo starts itself with it.
    #[command(hide = true, disable_help_flag = true)]
    AgentProcess {
        /// What the agent's own command line would be
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// End by itself after so many seconds
    #[arg(long, env = "MONSYS_DEMO_SECONDS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: Option<u32>,
    /// Print the outcome as one line of JSON at the end
    #[arg(long, env = "MONSYS_JSON")]
    pub(crate) json: bool,
    /// Where to listen [default: 127.0.0.1:8080, or a free port when that is taken]
    #[arg(long, env = "MONSYS_ADDR", value_name = "ADDR")]
    pub(crate) addr: Option<SocketAddr>,
    /// Which database; for postgres, DATABASE_URL names an empty one
    #[arg(
        long,
        env = "MONSYS_DEMO_STORE",
        value_name = "STORE",
        default_value = "sqlite"
    )]
    pub(crate) store: DemoStore,
    /// Directory of the demo store; empty, or that of an earlier demo, which is replaced
    /// [default: a temporary one, removed at the end]
    #[arg(long, env = "MONSYS_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoStore {
    /// A file in the directory
    Sqlite,
    /// The database that DATABASE_URL names
    Postgres,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// Configuration file in TOML
    #[arg(long, env = "MONSYS_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// Configuration file in TOML
    #[arg(long, env = "MONSYS_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, env = "MONSYS_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// Configuration file in TOML
    #[arg(long, env = "MONSYS_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A hub that runs, whose clock is compared with that of this machine
    #[arg(long, env = "MONSYS_AGAINST", value_name = "URL")]
    pub(crate) against: Option<String>,
    /// Print the result as JSON
    #[arg(long, env = "MONSYS_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    /// Only say what would be done
    #[arg(long, env = "MONSYS_DRY_RUN")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// Directory of the store [default: $XDG_STATE_HOME/monsys-hub or ~/.local/state/monsys-hub]
    #[arg(long, env = "MONSYS_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, env = "MONSYS_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ArchiveArgs {
    /// The copy; it holds secrets
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct JsonArgs {
    /// Print the result as JSON
    #[arg(long, env = "MONSYS_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// Address of the hub
    #[arg(
        long,
        env = "MONSYS_ADDR",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) addr: SocketAddr,
    /// Certificate of the hub where it ends TLS itself: asks over HTTPS. At an address of this
    /// machine any certificate is taken, elsewhere only the first of the file
    #[arg(long, env = "MONSYS_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, env = "MONSYS_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// Add an organisation
    Add {
        /// Its name
        name: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List organisations
    List {
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Enrol an agent; its token or shared key is printed once
    Enrol(EnrolArgs),
    /// List agents
    List {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Revoke an agent
    Revoke {
        /// Its identifier, or ORG/DEVICE of a device
        id: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Give an agent another bearer token, printed once; the one before is void
    RotateToken {
        /// Its identifier
        id: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Give an agent another key, whichever it had, or a device another shared key, printed once
    ///
    /// The positions of an agent begin anew, as after pinning.
    RotateKey {
        /// Its identifier, or ORG/DEVICE of a device
        id: String,
        /// The public key of an agent, as `monsys-agent keygen` prints it; a device has none
        #[arg(long, env = "MONSYS_PUBLIC_KEY", value_name = "HEX64")]
        public_key: Option<String>,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct EnrolArgs {
    /// Organisation it belongs to
    #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
    pub(crate) org: String,
    /// What people call it
    #[arg(long, env = "MONSYS_NAME", value_name = "NAME")]
    pub(crate) name: String,
    /// Its public key, as `monsys-agent keygen` prints it (ed25519 only)
    #[arg(long, env = "MONSYS_PUBLIC_KEY", value_name = "HEX64")]
    pub(crate) public_key: Option<String>,
    /// How it proves who it is
    #[arg(
        long,
        env = "MONSYS_PROFILE",
        value_name = "PROFILE",
        default_value = "ed25519"
    )]
    pub(crate) profile: Profile,
    /// How long it may pin a key by itself, such as 90s, 30m, 24h or 7d
    /// [default: 24h; ed25519 only]
    #[arg(long, env = "MONSYS_PIN_WITHIN", value_name = "SPAN")]
    pub(crate) pin_within: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Bearer token and Ed25519 signatures
    Ed25519,
    /// A shared key per device
    Hmac,
}

impl From<Profile> for AuthProfile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Ed25519 => Self::Ed25519,
            Profile::Hmac => Self::Hmac,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum IntegrityCommand {
    /// Run one cycle now
    ///
    /// Exit 0 when every agent was judged, 69 when some were not, or when another hub has the lease
    /// of the cycle, which is then not run. With --json one object: `at` (when it began),
    /// `took_ms`, `evaluated` (agents judged), `transitions` (verdicts stored), `opened` and
    /// `resolved` (anomalies), `missed` (cycles that should have run before and did not),
    /// `failed_agents`, `failed_pages`, `lost_lease` (before the end), and `faults`, the
    /// first of what failed: `agent_id`, `kind` (null: not judged at all), `message`.
    Run {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        choices: IntegrityChoices,
        /// Configuration file in TOML: that of the server, so that both judge by the same rules
        #[arg(long, env = "MONSYS_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditorCommand {
    /// Let a role read the ledger of an organisation, what it was judged from, and who closed what;
    /// MONSYS_MIGRATE_URL logs in as the owner
    Grant(AuditorArgs),
    /// Take that back; the role itself stays
    Revoke(AuditorArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditorArgs {
    /// The login role of the auditor
    #[arg(long, env = "MONSYS_ROLE", value_name = "NAME")]
    pub(crate) role: String,
    /// The organisation
    #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
    pub(crate) org: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SignalsCommand {
    /// Store the signals of a file, all or nothing
    Emit {
        /// Organisation they belong to
        #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
        org: String,
        /// One JSON object a line, with the members of a signal in a payload; `-` is standard input
        #[arg(long, env = "MONSYS_FILE", value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List signals, the newest first
    Query(SignalsQueryArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SignalsQueryArgs {
    /// Organisation they belong to
    #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
    pub(crate) org: String,
    /// About this kind of thing only, such as agent or domain
    #[arg(long, env = "MONSYS_SUBJECT_TYPE", value_name = "WORDS")]
    pub(crate) subject_type: Option<String>,
    /// About this thing only
    #[arg(long, env = "MONSYS_SUBJECT_ID", value_name = "ID")]
    pub(crate) subject_id: Option<String>,
    /// From this source only
    #[arg(long, env = "MONSYS_SOURCE", value_name = "WORDS")]
    pub(crate) source: Option<String>,
    /// Of this key only
    #[arg(long, env = "MONSYS_KEY", value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Observed at this time or later
    #[arg(long, env = "MONSYS_SINCE", value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Go on behind this `next_cursor`
    #[arg(long, env = "MONSYS_CURSOR", value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
    /// How many, 1 to 200 [default: 50]
    #[arg(long, env = "MONSYS_LIMIT", value_name = "N")]
    pub(crate) limit: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScanCommand {
    /// Look at the certificates of the configured endpoints, or of one, and store what is found
    Certs(ScanCertsArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ScanCertsArgs {
    /// Only this endpoint, whether it is configured or not; an IPv6 address in brackets
    #[arg(
        long,
        env = "MONSYS_TARGET",
        value_name = "HOST:PORT",
        requires = "org"
    )]
    pub(crate) target: Option<String>,
    /// Name that its certificate must be valid for [default: the host]
    #[arg(long, env = "MONSYS_NAME", value_name = "NAME", requires = "target")]
    pub(crate) name: Option<String>,
    /// Organisation that gets the signals; without --target, only its endpoints
    #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
    pub(crate) org: Option<String>,
    /// Configuration file in TOML
    #[arg(long, env = "MONSYS_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) scan: ScanChoices,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RetentionCommand {
    /// Remove what is no longer kept: signals after 180 days, raw metrics after 14
    Run {
        /// Only count what would be removed
        #[arg(long, env = "MONSYS_DRY_RUN")]
        dry_run: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
}
