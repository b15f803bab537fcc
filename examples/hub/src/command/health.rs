//! `health`: whether a hub answers that it can store, for probes where there is no curl.
//!
//! What: one request, over HTTPS where the hub's certificate is named, which the environment of a
//! hub that ends TLS itself does anyway. At an address of this machine any certificate will do:
//! nothing is sent that anybody may not see, whoever listens there could answer in the open as well,
//! and a certificate that was replaced and not yet read again is no reason to stop a hub. Elsewhere
//! the hub must show the first certificate of the file. What not: names and dates, which `doctor`
//! looks at. Cost: one connection, 5 s at most for each step of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    SignatureScheme, StreamOwned,
};
use serde_json::json;

use super::say;
use crate::cli::HealthArgs;
use crate::error::{Failure, FailureKind};

/// Carries out `health`.
pub(super) fn run(args: &HealthArgs) -> Result<ExitCode, Failure> {
    let is_well = match &args.tls_cert {
        None => connect(args.addr).and_then(|stream| is_ready(stream, args.addr)),
        Some(file) => {
            let config = config_for(args.addr, file)?;
            encrypted(args.addr, config).and_then(|stream| is_ready(stream, args.addr))
        }
    };
    let is_well = is_well.unwrap_or(false);
    let word = if is_well { "ok" } else { "unavailable" };
    say(args.json, &json!({"status": word}), word);
    if is_well {
        return Ok(ExitCode::SUCCESS);
    }
    let expected = "expected a hub that can store";
    Err(Failure::new(FailureKind::Unavailable, expected))
}

fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn encrypted(
    addr: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::from(addr.ip());
    let connection =
        ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    Ok(StreamOwned::new(connection, connect(addr)?))
}

fn is_ready(mut stream: impl Read + Write, addr: SocketAddr) -> std::io::Result<bool> {
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
    )?;
    stream.flush()?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(start == *b"HTTP/1.1 200")
}

/// How the hub at an address is known.
fn config_for(addr: SocketAddr, file: &Path) -> Result<ClientConfig, Failure> {
    let wrong = |what: &str| {
        let named = format!("{}: expected the hub's certificate: {what}", file.display());
        Failure::new(FailureKind::Configuration, named)
    };
    let provider = ring::default_provider();
    let is_here = addr.ip().is_loopback() || addr.ip().is_unspecified();
    let expected = if is_here {
        None
    } else {
        let first = CertificateDer::from_pem_file(file);
        Some(first.map_err(|error| wrong(&error.to_string()))?)
    };
    let verifier = Shown {
        algorithms: provider.signature_verification_algorithms,
        expected,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

/// Takes the certificate that is expected, or any whose key signed the handshake.
#[derive(Debug)]
struct Shown {
    algorithms: WebPkiSupportedAlgorithms,
    expected: Option<CertificateDer<'static>>,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.expected {
            Some(expected) if expected != end_entity => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Longest that each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elsewhere_only_the_certificate_of_the_file_is_taken() {
        let of = |n: u8| CertificateDer::from(vec![n; 3]);
        let judge = |expected: Option<CertificateDer<'static>>, shown: &CertificateDer<'_>| {
            let algorithms = ring::default_provider().signature_verification_algorithms;
            let verifier = Shown {
                algorithms,
                expected,
            };
            let name = ServerName::try_from("hub.example").unwrap();
            let now = UnixTime::since_unix_epoch(Duration::ZERO);
            let judged = verifier.verify_server_cert(shown, &[], &name, &[], now);
            judged.is_ok()
        };
        assert!(judge(None, &of(1)));
        assert!(judge(Some(of(1)), &of(1)));
        assert!(!judge(Some(of(2)), &of(1)));
    }

    #[test]
    fn elsewhere_the_file_must_hold_a_certificate() {
        let nothing = Path::new("/nowhere/cert.pem");
        let here: SocketAddr = ([0, 0, 0, 0], 8_443).into();
        let elsewhere: SocketAddr = ([192, 0, 2, 1], 8_443).into();
        assert!(config_for(here, nothing).is_ok());
        assert!(config_for(elsewhere, nothing).is_err());
    }
}
