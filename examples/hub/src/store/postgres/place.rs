//! Where the database is: what `DATABASE_URL` says, without its secrets in any message.

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::Trust;

/// A PostgreSQL database.
#[derive(Clone)]
pub struct PostgresPlace {
    config: Config,
    connections_max: NonZeroU16,
    tls: MakeRustlsConnect,
}

/// Why a text names no database that this program can reach.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Another scheme, or a URL that is damaged. The text may hold a password, so it is not shown.
    #[error("expected postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE with known parameters")]
    Form,
    /// No host.
    #[error("expected a host, or the folder of a unix socket as ?host=")]
    Host,
    /// A way of TLS that there is not.
    #[error("expected sslmode to be disable, prefer, require or verify-full")]
    Mode,
    /// No certificates of authorities.
    #[error("sslrootcert: {file}: {reason}", file = file.display())]
    Roots {
        /// The file that should hold them.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl PostgresPlace {
    /// Reads a URL, and the file of certificates that it names in `sslrootcert`.
    ///
    /// # Errors
    /// When it is none of PostgreSQL, asks for what this program cannot do, or names a file that
    /// holds no certificates.
    pub fn parse(url: &str) -> Result<Self, PlaceError> {
        let is_postgres = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        if !is_postgres {
            return Err(PlaceError::Form);
        }
        let (url, trust) = Trust::named_in(url)?;
        let mut config: Config = url.parse().map_err(|_| PlaceError::Form)?;
        if config.get_hosts().is_empty() {
            return Err(PlaceError::Host);
        }
        config.ssl_mode(match trust {
            Trust::NoTls => SslMode::Disable,
            Trust::Browsers | Trust::File(_) => SslMode::Require,
        });
        config.application_name("monsys-hub");
        config.connect_timeout(CONNECT_TIMEOUT);
        config.tcp_user_timeout(ANSWER_TIMEOUT);
        config.keepalives_idle(ANSWER_TIMEOUT);
        Ok(Self {
            config,
            connections_max: CONNECTIONS_MAX,
            tls: trust.connector()?,
        })
    }

    /// Lets a store open so many connections at most.
    pub(crate) const fn limit_connections(&mut self, limit: NonZeroU16) {
        self.connections_max = limit;
    }

    /// How many connections a store may open.
    pub(super) fn connections_max(&self) -> usize {
        usize::from(self.connections_max.get())
    }

    /// How to speak TLS, where the configuration asks for it.
    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// How to connect.
    pub(super) const fn config(&self) -> &Config {
        &self.config
    }
}

impl fmt::Display for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => String::new(),
        };
        let database = self.config.get_dbname().unwrap_or("postgres");
        write!(f, "PostgreSQL {host} {database}")
    }
}

impl fmt::Debug for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Connections of one hub, unless configured. Beyond it they only wait for each other's commits.
const CONNECTIONS_MAX: NonZeroU16 = NonZeroU16::new(16).unwrap();
/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server on the network may be silent before it counts as gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_its_secrets() {
        let place = PostgresPlace::parse("postgres://hub:s3cret@db.example:5433/mon").unwrap();
        assert_eq!(place.to_string(), "PostgreSQL db.example mon");
        assert!(!format!("{place:?}").contains("s3cret"));
        let socket = PostgresPlace::parse("postgres:///mon?host=/run/postgresql&user=u").unwrap();
        assert_eq!(socket.to_string(), "PostgreSQL /run/postgresql mon");
    }

    #[test]
    fn tls_is_spoken_where_it_was_asked_for_and_then_always() {
        let mode = |query: &str| {
            let url = format!("postgres://u@h/d{query}");
            PostgresPlace::parse(&url).unwrap().config.get_ssl_mode()
        };
        for query in ["", "?sslmode=disable", "?connect_timeout=3&sslmode=prefer"] {
            assert_eq!(mode(query), SslMode::Disable, "{query}");
        }
        for query in [
            "?sslmode=require",
            "?ssl%6Dode=require",
            "?sslmode=verify-full&connect_timeout=3",
        ] {
            assert_eq!(mode(query), SslMode::Require, "{query}");
        }
    }

    #[test]
    fn what_cannot_be_reached_is_refused_without_repeating_it() {
        for (url, word) in [
            ("mysql://u:s3cret@h/d", "postgres://"),
            ("postgres://u:s3cret@h:port/d", "postgres://"),
            ("postgres:///d", "host"),
            ("postgres://u:s3cret@h/d?sslmode=verify-ca", "verify-full"),
            ("postgres://u:s3cret@h/d?sslmode=requir", "verify-full"),
            (
                "postgres://u:s3cret@h/d?sslrootcert=/absent.pem",
                "/absent.pem",
            ),
            ("postgres://u:s3cret@h/d?sslcert=/c.pem", "postgres://"),
        ] {
            let said = PostgresPlace::parse(url).unwrap_err().to_string();
            assert!(
                said.contains(word) && !said.contains("s3cret"),
                "{url}: {said}"
            );
        }
    }
}
