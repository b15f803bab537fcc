//! A client of HTTPS, byte by byte, and certificates for a hub on this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Answer, PATIENCE};

/// A certificate for 127.0.0.1 and its key.
pub(crate) struct Pair {
    pub(crate) der: CertificateDer<'static>,
    certificate: String,
    key: String,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::valid_until(2100)
    }

    /// One that was valid until the beginning of a year.
    pub(crate) fn valid_until(year: i32) -> Self {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            der: certificate.der().clone(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// The same certificate, and a key that is not its own.
    pub(crate) fn with_key_of(self, other: &Self) -> Self {
        Self {
            key: other.key.clone(),
            ..self
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Writes both files, each at once, as those who renew certificates do.
    pub(crate) fn write(&self, directory: &Path) -> Files {
        let files = Files {
            certificate: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        };
        replace(&files.certificate, &self.certificate);
        replace(&files.key, &self.key);
        files
    }
}

/// Where a pair stands.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    /// The settings that name them.
    pub(crate) fn settings(&self) -> [(&str, &str); 2] {
        [
            ("MONSYS_TLS_CERT", self.certificate.to_str().unwrap()),
            ("MONSYS_TLS_KEY", self.key.to_str().unwrap()),
        ]
    }
}

pub(crate) fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(&next, path).unwrap();
}

/// A connection over TLS.
pub(crate) struct TlsWire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    read: Vec<u8>,
}

impl TlsWire {
    /// Connects, if the hub shows one of these certificates.
    pub(crate) fn open(addr: SocketAddr, trusted: &[&Pair]) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for pair in trusted {
            roots.add(pair.der.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::from(addr.ip());
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Self {
            stream: StreamOwned::new(connection, stream),
            read: Vec::new(),
        })
    }

    /// The certificate that the hub showed.
    pub(crate) fn shown(&self) -> CertificateDer<'static> {
        let shown = self.stream.conn.peer_certificates().unwrap();
        shown[0].clone().into_owned()
    }

    /// Sends a request and reads its answer; the connection stays open.
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> std::io::Result<Answer> {
        self.stream.write_all(bytes)?;
        self.stream.flush()?;
        self.read.clear();
        let mut buffer = [0; 16_384];
        loop {
            if let Some(answer) = Answer::parse(&self.read)
                && let Some(length) = answer.header("content-length")
                && answer.body.len() >= length.parse().unwrap()
            {
                return Ok(answer);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                n => self.read.extend(&buffer[..n]),
            }
        }
    }
}
