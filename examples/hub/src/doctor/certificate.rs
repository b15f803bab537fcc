//! The certificate that the hub serves with: readable, of its key, and not about to end.

use std::path::Path;
use std::sync::Arc;

use monsys_core::time::{Span, Timestamp};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::check::Check;
use crate::clock::wall_now;
use crate::config::serving::ServingConfig;

const NAME: &str = "tls_certificate";
/// How long before its end a certificate should be replaced: a month is what renewal tools leave.
const SOON: Span = Span::from_secs(30 * 86_400);

/// Makes the check of the certificate.
pub(super) fn examine(serving: &ServingConfig) -> Check {
    let Some(files) = &serving.tls else {
        return Check::skip(NAME, "a proxy ends TLS, if anybody does");
    };
    match read(&files.certificates, &files.key) {
        Ok(ends) => judge(ends, wall_now()),
        Err(found) => Check::fail(NAME, found, "name a certificate and its key, in PEM"),
    }
}

fn judge(ends: Timestamp, now: Timestamp) -> Check {
    let left = ends.since(now);
    let days = left.millis() / 86_400_000;
    let found = format!("it ends on {}, in {days} days", ends.to_rfc3339());
    if left.micros() <= 0 {
        Check::fail(
            NAME,
            format!("it ended on {}", ends.to_rfc3339()),
            "replace it",
        )
    } else if left.micros() < SOON.micros() {
        Check::warn(NAME, found, "replace it")
    } else {
        Check::ok(NAME, found)
    }
}

/// When the first of the chain to end ends.
fn read(certificates: &Path, key: &Path) -> Result<Timestamp, String> {
    let about = |path: &Path, what: String| format!("{}: {what}", path.display());
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| about(certificates, error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| about(key, error.to_string()))?;
    let ends = chain.iter().map(end_of).collect::<Option<Vec<_>>>();
    let ends = ends.and_then(|ends| ends.into_iter().min());
    let ends = ends.ok_or_else(|| about(certificates, "it holds no certificate".to_owned()))?;
    let provider = Arc::new(ring::default_provider());
    let fits = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|config| {
            config
                .with_no_client_auth()
                .with_single_cert(chain, private)
        });
    match fits {
        Ok(Ok(_)) => Ok(ends),
        Ok(Err(error)) | Err(error) => Err(about(key, error.to_string())),
    }
}

fn end_of(der: &CertificateDer<'_>) -> Option<Timestamp> {
    let certificate = Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate.validity.not_after;
    let micros = i64::try_from(end.to_unix_duration().as_micros()).ok()?;
    Timestamp::from_unix_micros(micros).ok()
}
