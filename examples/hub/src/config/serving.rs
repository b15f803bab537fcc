//! How the hub faces the network: what it is run for, who stands before it, under which name.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use axum::http::Uri;
use ipnet::IpNet;
use serde::Deserialize;

use super::Examination;
use crate::error::{Failure, FailureKind};
use crate::listen::tls::Certificates;
use crate::listen::{Door, Places, raise_file_limit};

/// Connections at the same time, unless configured; one agent holds one.
const CONNECTIONS: u32 = 16_384;

/// The section `[serving]` of the file, and what flags and environment say of it.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServingChoices {
    /// What this hub is run for; production refuses what is not safe [default: development]
    #[arg(
        long,
        env = "MONSYS_ENV",
        value_name = "ENVIRONMENT",
        ignore_case = true
    )]
    pub(crate) environment: Option<Environment>,
    /// Refuse what does not come over HTTPS [default: true in staging and production]
    #[arg(long, env = "MONSYS_ENFORCE_HTTPS", value_name = "BOOL", num_args = 0..=1,
          default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) enforce_https: Option<bool>,
    /// Serve the description of the API at /openapi.json; never in production
    /// [default: true in development]
    #[arg(long, env = "MONSYS_DEV_ENABLE_DOCS", value_name = "BOOL", num_args = 0..=1,
          default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) dev_enable_docs: Option<bool>,
    /// Where people reach this hub, such as `https://monsys.example.org`: redirects and links name it
    #[arg(long, env = "MONSYS_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<PublicUrl>,
    /// Networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as
    /// 10.0.0.0/8,::1 [default: none]
    #[arg(
        long,
        env = "MONSYS_TRUSTED_PROXIES",
        value_name = "NETWORKS",
        value_delimiter = ','
    )]
    pub(crate) trusted_proxies: Option<Vec<Network>>,
    /// Certificates to serve HTTPS with, in PEM, the hub's own first; read again when it changes
    #[arg(long, env = "MONSYS_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, env = "MONSYS_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Connections at the same time at most, as far as the limit of open files allows
    /// [default: 16384]
    #[arg(long, env = "MONSYS_CONNECTIONS", value_name = "N")]
    pub(crate) connections: Option<NonZeroU32>,
    /// Connections of one address at the same time, trusted proxies aside, 0 for no limit
    /// [default: a quarter of all]
    #[arg(long, env = "MONSYS_ADDRESS_CONNECTIONS", value_name = "N")]
    pub(crate) address_connections: Option<u32>,
}

/// What a hub is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Environment {
    /// Somebody tries it on their own machine
    #[value(alias = "dev")]
    Development,
    /// As in production, as far as it is told
    Staging,
    /// What is not safe is refused
    #[value(alias = "prod")]
    Production,
}

impl Environment {
    /// Returns the word of it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// The address under which people reach a hub: scheme and authority, nothing behind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PublicUrl(Arc<str>);

impl PublicUrl {
    /// Returns the text, without a slash at the end.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether it is one of HTTPS.
    pub(crate) fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            String::from(
                "expected https://HOST or https://HOST:PORT (http:// in development only), \
                 without a path",
            )
        };
        let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let is_plain = ["http", "https"].contains(&scheme)
            && !authority.is_empty()
            && !authority.contains('@')
            && text == format!("{scheme}://{authority}");
        if is_plain {
            Ok(Self(text.into()))
        } else {
            Err(expected())
        }
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Network(pub(crate) IpNet);

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let network = match text.parse() {
            Ok(address) => Ok(IpNet::from(std::net::IpAddr::to_canonical(&address))),
            Err(_) => text.parse::<IpNet>(),
        };
        network
            .map(Self)
            .map_err(|_| String::from("expected an address or a network such as 10.0.0.0/8"))
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A complete configuration of how the hub faces the network.
#[derive(Debug, Clone)]
pub(crate) struct ServingConfig {
    /// What it is run for.
    pub(crate) environment: Environment,
    /// Whether what does not come over HTTPS is refused.
    pub(crate) enforce_https: bool,
    /// Whether the description of the API is served.
    pub(crate) serves_docs: bool,
    /// Where people reach it.
    pub(crate) public_url: Option<PublicUrl>,
    /// Whose word about where a request comes from is believed.
    pub(crate) trusted_proxies: Arc<[IpNet]>,
    /// The certificate and its key, where the hub serves HTTPS itself.
    pub(crate) tls: Option<TlsFiles>,
    /// Connections at the same time, if the system allows so many.
    pub(crate) connections: u32,
    /// How many of them one address may hold; 0 is no limit, `None` a share of what there are.
    pub(crate) address_connections: Option<u32>,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Certificates, the hub's own first.
    pub(crate) certificates: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}

impl ServingChoices {
    /// Completes the choices with those of the file and the defaults.
    ///
    /// # Errors
    /// A configuration failure for a certificate without a key, or a key without one.
    pub(super) fn complete(self, file: Self) -> Result<ServingConfig, Failure> {
        let environment = self.environment.or(file.environment);
        let environment = environment.unwrap_or(Environment::Development);
        let certificates = self.tls_cert.or(file.tls_cert);
        let tls = match (certificates, self.tls_key.or(file.tls_key)) {
            (Some(certificates), Some(key)) => Some(TlsFiles { certificates, key }),
            (None, None) => None,
            (Some(_), None) => return Err(half("MONSYS_TLS_CERT", "MONSYS_TLS_KEY")),
            (None, Some(_)) => return Err(half("MONSYS_TLS_KEY", "MONSYS_TLS_CERT")),
        };
        let proxies = self.trusted_proxies.or(file.trusted_proxies);
        Ok(ServingConfig {
            environment,
            enforce_https: self
                .enforce_https
                .or(file.enforce_https)
                .unwrap_or(environment != Environment::Development),
            serves_docs: self
                .dev_enable_docs
                .or(file.dev_enable_docs)
                .unwrap_or(environment == Environment::Development),
            public_url: self.public_url.or(file.public_url),
            trusted_proxies: proxies
                .unwrap_or_default()
                .into_iter()
                .map(|network| network.0)
                .collect(),
            tls,
            connections: self
                .connections
                .or(file.connections)
                .map_or(CONNECTIONS, NonZeroU32::get),
            address_connections: self.address_connections.or(file.address_connections),
        })
    }
}

impl ServingConfig {
    /// The scheme of the hub's own address, which is not that of a proxy before it.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Opens the door: reads the certificate, if there is one, and counts the places.
    ///
    /// # Errors
    /// A configuration failure for a certificate or key that cannot be used.
    pub(crate) fn door(&self) -> Result<Door, Failure> {
        let certificates = self.tls.clone().map(Certificates::open).transpose()?;
        let wanted = usize::try_from(self.connections).unwrap_or(usize::MAX);
        let n_places = raise_file_limit(wanted);
        let of_address = match self.address_connections {
            Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
            None => n_places.div_ceil(4),
        };
        let proxies = Arc::clone(&self.trusted_proxies);
        Ok(Door {
            places: Places::new(n_places, of_address, proxies),
            certificates: certificates.map(Arc::new),
        })
    }

    /// Says what is not safe in production, and what is odd elsewhere.
    pub(super) fn examine(&self, found: &mut Examination) {
        let is_production = self.environment == Environment::Production;
        if is_production && !self.enforce_https {
            found.faults.push(String::from(
                "MONSYS_ENFORCE_HTTPS (EM_ENFORCE_HTTPS) is off: expected it on in production",
            ));
        }
        if is_production && self.serves_docs {
            found.faults.push(String::from(
                "MONSYS_DEV_ENABLE_DOCS (EM_DEV_ENABLE_DOCS) is on: expected it off in production",
            ));
        }
        match &self.public_url {
            None if is_production => found.faults.push(String::from(
                "MONSYS_PUBLIC_URL is not set: expected the address that redirects and links name",
            )),
            None if self.enforce_https => found.warnings.push(String::from(
                "MONSYS_PUBLIC_URL is not set: what comes over plain HTTP is refused, because there \
                 is no address to redirect to",
            )),
            Some(url) if self.enforce_https && !url.is_https() => {
                found.faults.push(String::from(
                    "MONSYS_PUBLIC_URL: expected https://, because HTTPS is enforced",
                ));
            }
            None | Some(_) => {}
        }
        if self.enforce_https && self.tls.is_none() && self.trusted_proxies.is_empty() {
            found.warnings.push(String::from(
                "HTTPS is enforced and nothing can be HTTPS: expected MONSYS_TLS_CERT and \
                 MONSYS_TLS_KEY, or MONSYS_TRUSTED_PROXIES",
            ));
        }
    }
}

fn half(set: &str, missing: &str) -> Failure {
    let message = format!("{set} is set and {missing} is not: expected both or none");
    Failure::new(FailureKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_scheme_and_an_authority() {
        for (text, expected) in [
            ("https://hub.example.org", "https://hub.example.org"),
            ("https://Hub.Example.org/", "https://hub.example.org"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().as_str(), expected);
        }
        for text in [
            "",
            "hub.example.org",
            "ftp://hub",
            "https://",
            "https://hub/path",
            "https://hub?q",
            "https://user@hub",
            "https://hub//",
            "https://hub\r\nX: y",
            "https:hub",
        ] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_network_may_be_one_address() {
        let network = |text: &str| text.parse::<Network>().map(|network| network.0);
        let contains = |text, address: &str| {
            network(text).is_ok_and(|network| {
                network.contains(&address.parse::<std::net::IpAddr>().unwrap())
            })
        };
        assert!(contains("10.0.0.0/8", "10.9.9.9"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("::1", "::1"));
        assert!(contains(" 192.0.2.1", "192.0.2.1"));
        assert!(!contains("192.0.2.1", "192.0.2.2"));
        for text in ["", "10.0.0.0/33", "hub", "10.0.0.0/", "*"] {
            assert!(network(text).is_err(), "{text:?}");
        }
    }
}
