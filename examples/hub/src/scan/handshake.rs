//! One connection, one handshake: what certificate does an endpoint show, and does it hold the key?

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use monsys_signals::scan::cert::Obstacle;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, InvalidMessage, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What an endpoint showed.
pub(super) struct Shown {
    /// Its certificate first, then what it sent along.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Whether it signed this handshake with the key of its certificate.
    pub(super) is_key_proved: bool,
    /// Where that was.
    pub(super) address: SocketAddr,
}

/// Connects to the first of some addresses that answers and has it show its certificate.
///
/// # Errors
/// Why no certificate came. The caller bounds the time of the whole.
pub(super) async fn shown_at(
    addresses: &[SocketAddr],
    name: ServerName<'static>,
    provider: &Arc<CryptoProvider>,
    connect_within: Duration,
) -> Result<Shown, Obstacle> {
    let (stream, address) = connect(addresses, connect_within).await?;
    let recorder = Arc::new(Recorder {
        algorithms: provider.signature_verification_algorithms,
        seen: Mutex::default(),
    });
    let mut connection = connection(name, provider, Arc::clone(&recorder))?;
    let outcome = shake(&stream, &mut connection, &recorder).await;
    take_leave(&stream, &mut connection);
    match recorder.take() {
        // What was proved stays proved, whatever the endpoint did then.
        Some((certificates, is_key_proved)) => Ok(Shown {
            certificates,
            is_key_proved,
            address,
        }),
        None => Err(outcome.err().unwrap_or(Obstacle::HandshakeFailed)),
    }
}

async fn connect(
    addresses: &[SocketAddr],
    within: Duration,
) -> Result<(TcpStream, SocketAddr), Obstacle> {
    let mut obstacle = Obstacle::NameNotResolved;
    for address in addresses {
        obstacle = match timeout(within, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Obstacle::Refused,
            Ok(Err(error)) if error.kind() == ErrorKind::TimedOut => Obstacle::TimedOut,
            Ok(Err(_)) => Obstacle::Unreachable,
            Err(_) => Obstacle::TimedOut,
        };
    }
    Err(obstacle)
}

fn connection(
    name: ServerName<'static>,
    provider: &Arc<CryptoProvider>,
    recorder: Arc<Recorder>,
) -> Result<ClientConnection, Obstacle> {
    let failed = |error: Error| {
        tracing::error!(%error, "no handshake could be begun");
        Obstacle::HandshakeFailed
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
    let config = builder
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_no_client_auth();
    // Used once: a session that is taken up again shows no certificate.
    ClientConnection::new(Arc::new(config), name).map_err(failed)
}

async fn shake(
    stream: &TcpStream,
    connection: &mut ClientConnection,
    recorder: &Recorder,
) -> Result<(), Obstacle> {
    let mut n_read = 0;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        send(stream, connection).await?;
        if recorder.is_complete() {
            return Ok(());
        }
        stream.readable().await.map_err(|_| Obstacle::Closed)?;
        let n_bytes = match stream.try_read(&mut buffer) {
            Ok(0) => return Err(Obstacle::Closed),
            Ok(n_bytes) => n_bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Obstacle::Closed),
        };
        n_read += n_bytes;
        if n_read > HANDSHAKE_BYTES_MAX {
            return Err(Obstacle::TooLarge);
        }
        take(connection, buffer.get(..n_bytes).unwrap_or_default())?;
    }
}

fn take(connection: &mut ClientConnection, mut bytes: &[u8]) -> Result<(), Obstacle> {
    while !bytes.is_empty() {
        match connection.read_tls(&mut bytes) {
            Ok(1..) => {}
            // Its buffer is full of something that is no message yet.
            Ok(0) | Err(_) => return Err(Obstacle::TooLarge),
        }
        connection
            .process_new_packets()
            .map_err(|error| obstacle_of(&error))?;
    }
    Ok(())
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else goes wrong is one obstacle"
)]
fn obstacle_of(error: &Error) -> Obstacle {
    match error {
        Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge
            | InvalidMessage::CertificatePayloadTooLarge
            | InvalidMessage::MessageTooLarge,
        )
        | Error::PeerSentOversizedRecord => Obstacle::TooLarge,
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload,
        ) => Obstacle::NotTls,
        _ => Obstacle::HandshakeFailed,
    }
}

async fn send(stream: &TcpStream, connection: &mut ClientConnection) -> Result<(), Obstacle> {
    while connection.wants_write() {
        stream.writable().await.map_err(|_| Obstacle::Closed)?;
        match connection.write_tls(&mut Socket(stream)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(Obstacle::Closed),
        }
    }
    Ok(())
}

/// Says why the connection ends, if the socket takes it at once.
fn take_leave(stream: &TcpStream, connection: &mut ClientConnection) {
    connection.send_close_notify();
    while connection.wants_write() {
        match connection.write_tls(&mut Socket(stream)) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Writes what the socket takes without waiting.
struct Socket<'a>(&'a TcpStream);

impl io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes every certificate, so that it can be judged, and checks the signature of the handshake.
///
/// It accepts what it must not trust, which is right here only because nothing is ever sent.
#[derive(Debug)]
struct Recorder {
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    certificates: Vec<CertificateDer<'static>>,
    is_key_proved: Option<bool>,
}

impl Recorder {
    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn is_complete(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_key_proved.is_some()
    }

    /// The certificates and whether the key was proved, when both are there.
    fn take(&self) -> Option<(Vec<CertificateDer<'static>>, bool)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_key_proved = seen.is_key_proved?;
        Some((std::mem::take(&mut seen.certificates), is_key_proved))
    }

    fn note_proof(
        &self,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.change(|seen| seen.is_key_proved = Some(checked.is_ok()));
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        let all = all.map(|certificate| certificate.clone().into_owned());
        self.change(|seen| seen.certificates = all.collect());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.algorithms;
        self.note_proof(verify_tls12_signature(
            message,
            certificate,
            signature,
            algorithms,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.algorithms;
        self.note_proof(verify_tls13_signature(
            message,
            certificate,
            signature,
            algorithms,
        ))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Most bytes taken before a certificate is there: four messages of 64 KiB, the largest that rustls
/// takes, and more than any chain in use. Its own limits come first; this one stands behind them.
const HANDSHAKE_BYTES_MAX: usize = 262_144;
/// Bytes of one read.
const READ_BYTES: usize = 4_096;
