//! The hub's own certificate: read at the start, and again when its files change or on SIGHUP.
//!
//! A pair that is no pair, cannot be read or has expired does not take the place of one that works:
//! the old one stays, and the log says why. Connections go on with what they began with. Cost: two
//! small files are read every two seconds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use monsys_core::time::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use crate::clock::wall_now;
use crate::config::serving::TlsFiles;
use crate::error::{Failure, FailureKind};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What the hub shows to those who come by TLS.
pub(crate) struct Certificates {
    files: TlsFiles,
    shown: Mutex<Shown>,
}

struct Shown {
    config: Arc<ServerConfig>,
    /// The digest of the files that were read last, good or bad, so that each is told of once.
    seen: [u8; 32],
}

/// What stands in the files.
struct Pair {
    certificates: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Certificates {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// A configuration failure that says which file is wrong, and never what stands in it.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, Failure> {
        let wrong = |what| Failure::new(FailureKind::Configuration, what);
        let pair = Pair::read(&files).map_err(wrong)?;
        let (config, expires_at) = pair.config(&files).map_err(wrong)?;
        if expires_at.is_some_and(|at| at <= wall_now()) {
            tracing::warn!("MONSYS_TLS_CERT has expired: expected a certificate that is valid");
        }
        let shown = Mutex::new(Shown {
            config,
            seen: pair.digest(),
        });
        Ok(Self { files, shown })
    }

    /// What a connection that begins is shown.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&shown.config)
    }

    /// Reads the files again whenever they change, until told to stop.
    pub(super) async fn keep_fresh(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut asked = match signal(SignalKind::hangup()) {
            Ok(asked) => asked,
            Err(error) => {
                tracing::error!(%error, "SIGHUP is not heard: certificates are not read again");
                return;
            }
        };
        loop {
            let is_asked = tokio::select! {
                _ = asked.recv() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
                _ = stop.changed() => return,
            };
            let own = Arc::clone(&self);
            // A panic there would be told by the log; the old pair stays.
            let _ = tokio::task::spawn_blocking(move || own.look(is_asked)).await;
        }
    }

    fn look(&self, is_asked: bool) {
        let pair = match Pair::read(&self.files) {
            Ok(pair) => pair,
            Err(error) if is_asked => return refused(&error),
            // Files that are replaced one after the other are missing for a moment.
            Err(_) => return,
        };
        let digest = pair.digest();
        {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if shown.seen == digest && !is_asked {
                return;
            }
            shown.seen = digest;
        }
        let (config, expires_at) = match pair.config(&self.files) {
            Ok(read) => read,
            Err(error) => return refused(&error),
        };
        if expires_at.is_some_and(|at| at <= wall_now()) {
            return refused("MONSYS_TLS_CERT has expired: expected a certificate that is valid");
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.config = config;
        let expires_at = expires_at.map(|at| at.to_rfc3339());
        tracing::info!(expires_at, "a new certificate is shown");
    }
}

impl Pair {
    fn read(files: &TlsFiles) -> Result<Self, String> {
        let about = |setting: &str, path: &std::path::Path, error: std::io::Error| {
            format!("{setting}: {}: {error}", path.display())
        };
        let certificates = std::fs::read(&files.certificates)
            .map_err(|error| about("MONSYS_TLS_CERT", &files.certificates, error))?;
        let key = std::fs::read(&files.key)
            .map_err(|error| about("MONSYS_TLS_KEY", &files.key, error))?;
        Ok(Self {
            certificates,
            key: Zeroizing::new(key),
        })
    }

    fn digest(&self) -> [u8; 32] {
        let digest = Sha256::new()
            .chain_update(Sha256::digest(&self.certificates))
            .chain_update(Sha256::digest(&*self.key));
        digest.finalize().into()
    }

    /// Makes what is shown, and tells until when the hub's own certificate is valid.
    fn config(&self, files: &TlsFiles) -> Result<(Arc<ServerConfig>, Option<Timestamp>), String> {
        let certificates = CertificateDer::pem_slice_iter(&self.certificates);
        let certificates: Result<Vec<_>, _> = certificates.collect();
        let certificates = certificates.unwrap_or_default();
        let own = certificates.first().ok_or_else(|| {
            let path = files.certificates.display();
            format!("MONSYS_TLS_CERT: {path}: expected certificates in PEM")
        })?;
        let expires_at = expiry(own);
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            let path = files.key.display();
            format!("MONSYS_TLS_KEY: {path}: expected a private key in PEM")
        })?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(certificates, key)
            });
        let mut config = config.map_err(|error| {
            format!("MONSYS_TLS_CERT and MONSYS_TLS_KEY: {error}: expected a pair")
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Arc::new(config), expires_at))
    }
}

/// Until when a certificate is valid; one that cannot be read says nothing, and clients refuse it.
fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let until = certificate.tbs_certificate.validity.not_after;
    let micros = i64::try_from(until.to_unix_duration().as_micros()).ok()?;
    Timestamp::from_unix_micros(micros).ok()
}

fn refused(reason: &str) {
    tracing::error!(
        reason,
        "a new certificate was refused; the old one is shown"
    );
}
