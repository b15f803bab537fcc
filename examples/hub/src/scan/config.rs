//! Which endpoints are watched, how often, and how far a look may reach.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use monsys_core::time::Span;
use monsys_signals::scan::{Endpoint, Host};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Deserialize;

use crate::config::parse_span;
use crate::error::{Failure, FailureKind};

/// The section `[scan]` of the file, and what flags and environment say of it.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScanChoices {
    /// Time between two looks at a watched endpoint, 1m to 30d [default: 6h]
    #[arg(
        long = "scan-interval",
        env = "MONSYS_SCAN_INTERVAL",
        value_name = "SPAN"
    )]
    pub(crate) interval: Option<String>,
    /// Longest time of one look, 1s to 60s [default: 10s]
    #[arg(
        long = "scan-timeout",
        env = "MONSYS_SCAN_TIMEOUT",
        value_name = "SPAN"
    )]
    pub(crate) timeout: Option<String>,
    /// Longest time until an address answers, at most that of the look [default: 5s]
    #[arg(
        long = "scan-connect-timeout",
        env = "MONSYS_SCAN_CONNECT_TIMEOUT",
        value_name = "SPAN"
    )]
    pub(crate) connect_timeout: Option<String>,
    /// Looks at the same time, 1 to 256 [default: 16]
    #[arg(
        long = "scan-concurrency",
        env = "MONSYS_SCAN_CONCURRENCY",
        value_name = "N"
    )]
    pub(crate) concurrency: Option<usize>,
    /// Allow addresses that are not public, for all watched endpoints [default: false]
    #[arg(long = "scan-allow-private", env = "MONSYS_SCAN_ALLOW_PRIVATE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) allow_private: Option<bool>,
    /// More root certificates, in PEM, beside those of Mozilla [default: none]
    #[arg(
        long = "scan-ca-file",
        env = "MONSYS_SCAN_CA_FILE",
        value_name = "FILE"
    )]
    pub(crate) ca_file: Option<PathBuf>,
    /// The watched endpoints; in the file only.
    #[arg(skip)]
    #[serde(default)]
    pub(crate) certs: Vec<TargetEntry>,
}

/// One `[[scan.certs]]` of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetEntry {
    /// Organisation that gets the signals.
    pub(crate) org: String,
    /// Name or address.
    pub(crate) host: String,
    /// Port; 443 unless given.
    pub(crate) port: Option<u16>,
    /// Name that the certificate must be valid for; the host unless given.
    pub(crate) name: Option<String>,
    /// Whether its addresses may be others than public ones.
    #[serde(default)]
    pub(crate) allow_private: bool,
}

/// Which addresses a look may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those of the public internet.
    Public,
    /// Those inside as well.
    Anywhere,
}

/// An endpoint to look at.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Organisation that gets the signals.
    pub(crate) org: String,
    /// Where, and for which name.
    pub(crate) endpoint: Endpoint,
    /// That name, as TLS takes it.
    pub(crate) name: ServerName<'static>,
    /// How far the look may reach.
    pub(crate) reach: Reach,
}

/// A complete configuration of the scanner.
#[derive(Debug, Clone)]
pub(crate) struct ScanConfig {
    /// Time between two looks at an endpoint.
    pub(crate) interval: Span,
    /// Longest time of one look.
    pub(crate) within: Duration,
    /// Longest time until an address answers.
    pub(crate) connect_within: Duration,
    /// Looks at the same time.
    pub(crate) concurrency: usize,
    /// Whether all looks may reach inside.
    pub(crate) allow_private: bool,
    /// Whom the hub believes.
    pub(crate) roots: Arc<RootCertStore>,
    /// What is watched.
    pub(crate) targets: Vec<Target>,
}

impl ScanChoices {
    /// Completes the choices with those of the file and the defaults.
    ///
    /// # Errors
    /// Configuration failures, which name the setting and what was expected.
    pub(crate) fn complete(self, file: Self) -> Result<ScanConfig, Failure> {
        let span = |name, own: Option<String>, files: Option<String>, default, bounds| {
            let text = own.or(files).unwrap_or_else(|| String::from(default));
            bounded_span(name, &text, bounds)
        };
        let interval = span("interval", self.interval, file.interval, "6h", INTERVAL_S)?;
        let within = span("timeout", self.timeout, file.timeout, "10s", (1, 60))?;
        let connect = self.connect_timeout.or(file.connect_timeout);
        let connect_within = match connect {
            Some(text) => bounded_span("connect_timeout", &text, (1, within))?,
            None => within.min(5),
        };
        let concurrency = self.concurrency.or(file.concurrency).unwrap_or(16);
        if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
            return Err(wrong("concurrency: expected 1 to 256"));
        }
        let allow_private = self.allow_private.or(file.allow_private).unwrap_or(false);
        Ok(ScanConfig {
            interval: Span::from_secs(i64::from(interval)),
            within: Duration::from_secs(within.into()),
            connect_within: Duration::from_secs(connect_within.into()),
            concurrency,
            allow_private,
            roots: Arc::new(roots(self.ca_file.or(file.ca_file).as_deref())?),
            targets: targets(&file.certs, allow_private)?,
        })
    }
}

impl TargetEntry {
    /// Checks an entry; `allow_private` is the hub's own permission.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(&self, allow_private: bool) -> Result<Target, String> {
        let port = self.port.unwrap_or(PORT);
        let endpoint = Endpoint::parse(&self.host, port, self.name.as_deref());
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let name = match endpoint.name() {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| String::from("name: expected one that a certificate can hold"))?,
        };
        Ok(Target {
            org: self.org.clone(),
            endpoint,
            name,
            reach: if self.allow_private || allow_private {
                Reach::Anywhere
            } else {
                Reach::Public
            },
        })
    }
}

fn targets(entries: &[TargetEntry], allow_private: bool) -> Result<Vec<Target>, Failure> {
    if entries.len() > TARGETS_MAX {
        let n_targets = entries.len();
        return Err(wrong(format!(
            "certs: {n_targets}: expected at most {TARGETS_MAX}"
        )));
    }
    let mut seen = BTreeSet::new();
    let mut targets = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let number = index + 1;
        let target = entry
            .parse(allow_private)
            .map_err(|what| wrong(format!("certs, entry {number}: {what}")))?;
        if !seen.insert((target.org.clone(), target.endpoint.clone())) {
            let message = format!(
                "certs, entry {number}: {} stands here twice",
                target.endpoint
            );
            return Err(wrong(message));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// The roots of Mozilla, and those of a file.
fn roots(file: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let Some(file) = file else { return Ok(roots) };
    let about = |what: String| wrong(format!("ca_file: {}: {what}", file.display()));
    let text = std::fs::read(file).map_err(|error| about(error.to_string()))?;
    let n_before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| about(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| about(error.to_string()))?;
    }
    if roots.len() == n_before {
        return Err(about(String::from("expected certificates in PEM")));
    }
    Ok(roots)
}

/// Reads a span of whole seconds within bounds, both inclusive.
fn bounded_span(name: &str, text: &str, (min, max): (u32, u32)) -> Result<u32, Failure> {
    let seconds = parse_span(text).map(|span| span.micros() / 1_000_000);
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
    seconds
        .filter(|seconds| (min..=max).contains(seconds))
        .ok_or_else(|| {
            wrong(format!(
                "{name}: expected a span such as 90s, 30m, 24h or 7d, from {min}s to {max}s"
            ))
        })
}

fn wrong(what: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Configuration, format!("scan: {what}"))
}

/// Port of an entry without one.
pub(crate) const PORT: u16 = 443;
/// Least and most time between two looks, in seconds: more often than each minute is no watching
/// but a burden, and a finding of last month is none.
const INTERVAL_S: (u32, u32) = (60, 30 * 86_400);
/// Most looks at the same time: each holds a socket and a few kilobytes.
const CONCURRENCY_MAX: usize = 256;
/// Most watched endpoints: at the defaults a round of dead ones takes eleven minutes.
const TARGETS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str) -> Result<ScanConfig, String> {
        let file: ScanChoices = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        ScanChoices::default()
            .complete(file)
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn nothing_is_watched_unless_configured() {
        let config = complete("").unwrap();
        assert!(config.targets.is_empty());
        assert_eq!(config.interval, Span::from_secs(6 * 3_600));
        assert_eq!(config.within, Duration::from_secs(10));
        assert_eq!(config.connect_within, Duration::from_secs(5));
        assert_eq!(config.concurrency, 16);
        assert!(!config.allow_private);
        assert_eq!(config.roots.len(), webpki_roots::TLS_SERVER_ROOTS.len());
    }

    #[test]
    fn a_setting_out_of_its_bounds_is_named() {
        for (text, named) in [
            ("interval = '59s'", "scan: interval: expected"),
            ("interval = '31d'", "scan: interval: expected"),
            ("interval = 'soon'", "scan: interval: expected"),
            ("timeout = '0s'", "scan: timeout: expected"),
            ("timeout = '61s'", "scan: timeout: expected"),
            (
                "timeout = '2s'\nconnect_timeout = '3s'",
                "scan: connect_timeout: expected",
            ),
            ("concurrency = 0", "scan: concurrency: expected"),
            ("concurrency = 257", "scan: concurrency: expected"),
            ("ca_file = '/nowhere'", "scan: ca_file: /nowhere: "),
            (
                "[[certs]]\norg = 'a'\nhost = 'a b'",
                "scan: certs, entry 1: host: expected",
            ),
            (
                "[[certs]]\norg = 'a'\nhost = 'a'\nport = 0",
                "scan: certs, entry 1: port: ",
            ),
            (
                "[[certs]]\norg = 'a'\nhost = 'a'\nname = ''",
                "scan: certs, entry 1: name: ",
            ),
            (
                "[[certs]]\norg = 'a'\nhost = 'a'\nprot = 1",
                "unknown field `prot`",
            ),
            ("[[certs]]\nhost = 'a'", "missing field `org`"),
            (
                "[[certs]]\norg = 'a'\nhost = 'a'\n[[certs]]\norg = 'a'\nhost = 'A.'\nport = 443",
                "scan: certs, entry 2: a:443 stands here twice",
            ),
        ] {
            let refused = complete(text).unwrap_err();
            assert!(refused.starts_with(named), "{text}: {refused}");
        }
    }

    #[test]
    fn a_thousand_endpoints_are_watched_and_no_more() {
        let entries = |n: usize| {
            let entry = |n| format!("[[certs]]\norg = 'a'\nhost = 'h{n}'\n");
            (0..n).map(entry).collect::<String>()
        };
        let most = complete(&entries(TARGETS_MAX)).unwrap();
        assert_eq!(most.targets.len(), TARGETS_MAX);
        let refused = complete(&entries(TARGETS_MAX + 1)).unwrap_err();
        assert_eq!(refused, "scan: certs: 1001: expected at most 1000");
    }

    #[test]
    fn two_organisations_may_watch_one_endpoint_and_one_two_names_of_it() {
        let entry = |org, more| format!("[[certs]]\norg = '{org}'\nhost = 'a'\n{more}\n");
        let text = [entry("x", ""), entry("y", ""), entry("x", "name = 'b'")].concat();
        assert_eq!(complete(&text).unwrap().targets.len(), 3);
    }

    #[test]
    fn only_what_is_allowed_reaches_inside() {
        let entry = |more| format!("[[certs]]\norg = 'x'\nhost = 'a'\n{more}\n");
        let reach = |text: &str| complete(text).unwrap().targets[0].reach;
        assert_eq!(reach(&entry("")), Reach::Public);
        assert_eq!(reach(&entry("allow_private = false")), Reach::Public);
        assert_eq!(reach(&entry("allow_private = true")), Reach::Anywhere);
        let all = format!("allow_private = true\n{}", entry(""));
        assert_eq!(reach(&all), Reach::Anywhere);
    }

    #[test]
    fn a_flag_stands_above_the_file() {
        let file: ScanChoices = toml::from_str("timeout = '3s'\nconcurrency = 2").unwrap();
        let flags = ScanChoices {
            timeout: Some("4s".into()),
            ..ScanChoices::default()
        };
        let config = flags.complete(file).unwrap();
        assert_eq!(config.within, Duration::from_secs(4));
        assert_eq!(config.connect_within, Duration::from_secs(4));
        assert_eq!(config.concurrency, 2);
    }
}
