//! TLS to the server: whom to trust.
//!
//! A server is always asked for a certificate of its host name by an authority that is trusted: TLS
//! with anybody is no protection. So `sslmode=require` means here what `verify-full` means to
//! libpq. Without a mode, and with `prefer`, nothing is encrypted unless `sslrootcert` names an
//! authority; an attacker between the two could take away what is only preferred. Where the server
//! offers SCRAM with channel binding, the password proves the certificate as well.

use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::place::PlaceError;

/// Whose word for a server is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nobody's: the connection is not encrypted.
    NoTls,
    /// That of the authorities which browsers trust.
    Browsers,
    /// That of the authorities whose certificates a file holds, and of no other.
    File(PathBuf),
}

impl Trust {
    /// Takes the parameters `sslmode` and `sslrootcert` out of a URL.
    ///
    /// # Errors
    /// [`PlaceError::Mode`] when the mode is none of those that there are here.
    pub(super) fn named_in(url: &str) -> Result<(String, Self), PlaceError> {
        let (mut rest, mut file, mut mode) = (Vec::new(), None, None);
        let (place, query) = url.rsplit_once('?').unwrap_or((url, ""));
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            // A name that is escaped is the same name, to the library too, whose mode is replaced.
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = percent_decode_str(name).decode_utf8();
            match name.as_deref().map_err(|_| PlaceError::Form)? {
                "sslmode" => mode = Some(value),
                "sslrootcert" => {
                    let path = percent_decode_str(value).decode_utf8();
                    let path = path.map_err(|_| PlaceError::Form)?;
                    file = Some(PathBuf::from(path.into_owned()));
                }
                _ => rest.push(parameter),
            }
        }
        let trust = match (mode, file) {
            (Some("disable"), _) | (None | Some("prefer"), None) => Self::NoTls,
            (None | Some("prefer" | "require" | "verify-full"), Some(file)) => Self::File(file),
            (Some("require" | "verify-full"), None) => Self::Browsers,
            (Some(_), _) => return Err(PlaceError::Mode),
        };
        let rest = rest.join("&");
        Ok((format!("{place}?{rest}"), trust))
    }

    /// Makes the connector that takes nobody else's word.
    ///
    /// # Errors
    /// [`PlaceError::Roots`] when the file holds no certificates.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, PlaceError> {
        let roots = match self {
            Self::NoTls => RootCertStore::empty(),
            Self::Browsers => RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            },
            Self::File(file) => {
                let wrong = |reason: String| PlaceError::Roots {
                    file: file.clone(),
                    reason,
                };
                let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(&bytes) {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    let added = roots.add(certificate);
                    added.map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("expected certificates in PEM".into()));
                }
                roots
            }
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        // Cannot fail: the provider has suites for both versions of the protocol.
        #[expect(clippy::expect_used, reason = "the line above")]
        let config = config
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3");
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }
}
