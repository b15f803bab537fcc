//! What an operator can choose, and where it comes from: flag, environment, file, default.

mod file;
pub(crate) mod names;
pub(crate) mod secrets;
pub(crate) mod serving;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory;
use monsys_core::time::Span;
use monsys_wire::envelope::BodyForm;
use serde::Deserialize;

use self::names::find_secret;
use self::secrets::Secrets;
use self::serving::{ServingChoices, ServingConfig};
use crate::cli::Cli;
use crate::drain::DrainChoices;
use crate::error::{Failure, FailureKind};
use crate::integrity_choice::IntegrityChoices;
use crate::scan::{ScanChoices, ScanConfig};
use crate::security::metrics_token::MetricsToken;

/// Payloads a second of one organisation, unless configured (contract §3).
const ORG_RATE: u32 = 1_000;
/// Unauthenticated requests a second of one address, unless configured (contract §3).
const ADDRESS_RATE: u32 = 100;
/// Where the hub listens, unless configured.
const ADDR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// A complete configuration.
#[derive(Debug, Clone)]
pub(crate) struct HubConfig {
    /// Where to listen.
    pub(crate) addr: SocketAddr,
    /// Directory of the store; `None` is the usual one. A hub on PostgreSQL needs none.
    pub(crate) data: Option<PathBuf>,
    /// Connections to PostgreSQL at most; `None` is as many as are usual.
    pub(crate) pg_connections: Option<NonZeroU16>,
    /// Payloads a second of an organisation; 0 lifts the limit.
    pub(crate) org_rate: u32,
    /// Unauthenticated requests a second of an address; 0 lifts the limit.
    pub(crate) address_rate: u32,
    /// Which spellings of a payload are taken.
    pub(crate) body_form: BodyForm,
    /// Whether people may log in over plain HTTP from elsewhere than this machine.
    pub(crate) allow_plain_login: bool,
    /// What reads the metrics; without one only this machine does.
    pub(crate) metrics_token: Option<MetricsToken>,
    /// By which rules agents are judged.
    pub(crate) integrity: monsys_integrity::Config,
    /// Which certificates are watched, and how.
    pub(crate) scan: ScanConfig,
    /// How the hub faces the network.
    pub(crate) serving: ServingConfig,
    /// What signs what people carry.
    pub(crate) secrets: Secrets,
    /// How long a hub that ends still accepts connections.
    pub(crate) drain_delay: Duration,
    /// Whether this is a demonstration.
    pub(crate) is_demo: bool,
}

/// Choices of which each may be absent; flags and environment on top, the file below.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choices {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, env = "MONSYS_ADDR", value_name = "ADDR")]
    pub(crate) addr: Option<SocketAddr>,
    /// Directory of the store [default: $XDG_STATE_HOME/monsys-hub or ~/.local/state/monsys-hub]
    #[arg(long, env = "MONSYS_DATA", value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// Connections to PostgreSQL at most [default: 16]
    #[arg(long, env = "MONSYS_PG_CONNECTIONS", value_name = "N")]
    pub(crate) pg_connections: Option<NonZeroU16>,
    /// Payloads a second of an organisation, 0 for no limit [default: 1000]
    #[arg(long, env = "MONSYS_ORG_RATE", value_name = "N")]
    pub(crate) org_rate: Option<u32>,
    /// Unauthenticated requests a second of an address, 0 for no limit [default: 100]
    #[arg(long, env = "MONSYS_ADDRESS_RATE", value_name = "N")]
    pub(crate) address_rate: Option<u32>,
    /// Spellings of a payload that are taken: any, or the canonical one only [default: accept]
    #[arg(long, env = "MONSYS_BODY_FORM", value_name = "FORM")]
    pub(crate) body_form: Option<BodyFormWord>,
    /// Allow logins over plain HTTP from other machines [default: false]
    #[arg(long, env = "MONSYS_ALLOW_PLAIN_LOGIN", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) allow_plain_login: Option<bool>,
    #[command(flatten)]
    #[serde(default)]
    pub(crate) integrity: IntegrityChoices,
    #[command(flatten)]
    #[serde(default)]
    pub(crate) scan: ScanChoices,
    #[command(flatten)]
    #[serde(default)]
    pub(crate) serving: ServingChoices,
    #[command(flatten)]
    #[serde(default)]
    pub(crate) drain: DrainChoices,
}

/// The word of a [`BodyForm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BodyFormWord {
    /// Any spelling; what is not canonical is made so
    Accept,
    /// The canonical spelling only
    Require,
}

impl From<BodyFormWord> for BodyForm {
    fn from(word: BodyFormWord) -> Self {
        match word {
            BodyFormWord::Accept => Self::Accept,
            BodyFormWord::Require => Self::Require,
        }
    }
}

impl Choices {
    /// Completes the choices with those of a file, if one is named, and the defaults.
    ///
    /// # Errors
    /// Configuration failures: a file that cannot be read or has a key that is not known.
    pub(crate) fn complete(self, file: Option<&Path>) -> Result<HubConfig, Failure> {
        names::refuse_contradictions()?;
        let file = file.map(file::read).transpose()?.unwrap_or_default();
        Ok(HubConfig {
            addr: self.addr.or(file.addr).unwrap_or(ADDR),
            data: self.data.or(file.data),
            pg_connections: self.pg_connections.or(file.pg_connections),
            org_rate: self.org_rate.or(file.org_rate).unwrap_or(ORG_RATE),
            address_rate: self
                .address_rate
                .or(file.address_rate)
                .unwrap_or(ADDRESS_RATE),
            body_form: self
                .body_form
                .or(file.body_form)
                .unwrap_or(BodyFormWord::Accept)
                .into(),
            allow_plain_login: self
                .allow_plain_login
                .or(file.allow_plain_login)
                .unwrap_or(false),
            metrics_token: metrics_token()?,
            integrity: self.integrity.complete(file.integrity),
            scan: self.scan.complete(file.scan)?,
            serving: self.serving.complete(file.serving)?,
            secrets: Secrets::read()?,
            drain_delay: self.drain.complete(file.drain)?,
            is_demo: false,
        })
    }
}

/// What is wrong with a configuration that could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Examination {
    /// What keeps the hub from serving; each names its setting and never a value.
    pub(crate) faults: Vec<String>,
    /// What the operator should know.
    pub(crate) warnings: Vec<String>,
}

impl HubConfig {
    /// Says what is not safe for what the hub is run for, and what is odd.
    pub(crate) fn examine(&self) -> Examination {
        let mut found = Examination::default();
        if std::env::var_os("REDIS_URL").is_some_and(|url| !url.is_empty()) {
            let ignored = "REDIS_URL is ignored: this hub needs no Redis";
            found.warnings.push(ignored.to_owned());
        }
        let known = names::known_variables(&Cli::command());
        found.warnings.extend(names::unknown_variables(&known));
        self.serving.examine(&mut found);
        self.secrets.examine(self.serving.environment, &mut found);
        found
    }
}

impl Examination {
    /// Logs the warnings.
    ///
    /// # Errors
    /// A configuration failure that names each fault.
    pub(crate) fn admit(&self) -> Result<(), Failure> {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        self.verdict()
    }

    /// Whether a hub may serve so.
    ///
    /// # Errors
    /// A configuration failure that names each fault.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let message = self.faults.join("\nmonsys-hub: ");
        Err(Failure::new(FailureKind::Configuration, message))
    }
}

/// Reads the token of the metrics: a secret, so no flag and no key of the file holds it.
fn metrics_token() -> Result<Option<MetricsToken>, Failure> {
    let Some(found) = find_secret("MONSYS_METRICS_TOKEN")? else {
        return Ok(None);
    };
    let source = found.source;
    let wrong = || format!("{source}: expected printable ASCII without spaces");
    let token = MetricsToken::parse(&found.text);
    let token = token.ok_or_else(|| Failure::new(FailureKind::Configuration, wrong()))?;
    Ok(Some(token))
}

/// Returns the directory of the store when none is named.
///
/// # Errors
/// A configuration failure when the environment names no home.
pub(crate) fn default_data_dir() -> Result<PathBuf, Failure> {
    let directory = |name: &str| {
        std::env::var_os(name)
            .filter(|d| !d.is_empty())
            .map(PathBuf::from)
    };
    let state = directory("XDG_STATE_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("monsys-hub")).ok_or_else(|| {
        Failure::new(
            FailureKind::Configuration,
            "no data directory: expected --data or MONSYS_DATA",
        )
    })
}

/// Reads a whole number of seconds, minutes, hours or days.
pub(crate) fn parse_span(text: &str) -> Option<Span> {
    let (number, unit_s) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) if text.ends_with('h') => (number, 3_600),
        Some(number) if text.ends_with('d') => (number, 86_400),
        Some(number) => (number, 1),
        None => return None,
    };
    let number: u32 = number.parse().ok()?;
    Some(Span::from_secs(i64::from(number) * unit_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_numbers_with_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1_800),
            ("24h", 86_400),
            ("7d", 604_800),
        ] {
            assert_eq!(parse_span(text), Some(Span::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "24", "-1h", "1.5h", "24 h", "99999999999d"] {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }
}
