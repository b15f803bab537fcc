//! What an operator can choose, and where it comes from: flag, environment, file, default.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use monsys_core::time::Span;
use monsys_wire::envelope::BodyForm;
use serde::Deserialize;

use crate::drain::DrainChoices;
use crate::error::{Failure, FailureKind};
use crate::integrity_choice::IntegrityChoices;
use crate::location::secret_named;
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
        let file = file.map(read_file).transpose()?.unwrap_or_default();
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
            drain_delay: self.drain.complete(file.drain)?,
            is_demo: false,
        })
    }
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

/// Reads the token of the metrics: a secret, so no flag and no key of the file holds it. The name of
/// the endpoint document is taken too.
fn metrics_token() -> Result<Option<MetricsToken>, Failure> {
    for name in ["MONSYS_METRICS_TOKEN", "EM_METRICS_TOKEN"] {
        let Some(text) = secret_named(name)? else {
            continue;
        };
        let wrong = || format!("{name}: expected printable ASCII without spaces");
        let token = MetricsToken::parse(&text);
        let token = token.ok_or_else(|| Failure::new(FailureKind::Configuration, wrong()))?;
        return Ok(Some(token));
    }
    Ok(None)
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

fn read_file(path: &Path) -> Result<Choices, Failure> {
    let wrong = |what: String| {
        Failure::new(
            FailureKind::Configuration,
            format!("{}: {what}", path.display()),
        )
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| {
        let message = error.message().to_owned();
        let place = error
            .span()
            .map_or_else(String::new, |span| place_of(&text, span.start));
        wrong(match nearest_key(&message) {
            Some(near) => format!("{place}{message}; did you mean `{near}`?"),
            None => format!("{place}{message}"),
        })
    })
}

/// Names the line of a byte and the key that stands there, and never its value.
fn place_of(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    format!("line {}: {key}: ", number + 1)
}

/// Finds the known key that is nearest to the one a message names as unknown.
fn nearest_key(message: &str) -> Option<&str> {
    // serde lists the keys of the very table: unknown field `a`, expected one of `b`, `c`.
    let mut quoted = message.strip_prefix("unknown field `")?.split('`');
    let unknown = quoted.next()?;
    quoted
        .skip(1)
        .step_by(2)
        .map(|key| (edit_distance(unknown, key), key))
        .filter(|(distance, key)| *distance <= key.len() / 2)
        .min()
        .map(|(_, key)| key)
}

/// Levenshtein distance, by the textbook row method.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            left = (diagonal + usize::from(x != *y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let error = toml::from_str::<Choices>("org_rat = 5").unwrap_err();
        assert_eq!(nearest_key(error.message()), Some("org_rate"));
        let error = toml::from_str::<Choices>("zzzzzzzz = 5").unwrap_err();
        assert_eq!(nearest_key(error.message()), None);
        let error = toml::from_str::<Choices>("[scan]\nintervall = 5").unwrap_err();
        assert_eq!(nearest_key(error.message()), Some("interval"));
        let error = toml::from_str::<Choices>("[[scan.certs]]\nhots = 5").unwrap_err();
        assert_eq!(nearest_key(error.message()), Some("host"));
    }

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

    #[test]
    fn edit_distance_is_levenshtein() {
        for (a, b, d) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("data", "date", 1),
        ] {
            assert_eq!(edit_distance(a, b), d, "{a} {b}");
        }
    }
}
