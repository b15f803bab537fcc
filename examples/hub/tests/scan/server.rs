//! Endpoints that behave in every way: real TLS servers, and what only looks like one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rustls::crypto::ring;
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion, WantsVerifier};

use crate::authority::{Authority, Identity};
use crate::support::PATIENCE;

/// A listener whose threads end with their connections.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    seen: Arc<Seen>,
}

/// What a server saw.
#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    closed: AtomicU64,
    farewells: AtomicU64,
    application_bytes: AtomicU64,
}

impl Server {
    /// A TLS server of this identity.
    pub(crate) fn tls(identity: &Identity) -> Self {
        Self::tls_of(identity, rustls::ALL_VERSIONS)
    }

    pub(crate) fn tls_of(
        identity: &Identity,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let builder = builder(versions).with_no_client_auth();
        let config = Arc::new(builder.with_cert_resolver(resolver(identity)));
        Self::start(move |stream, seen| serve_tls(stream, &config, seen))
    }

    /// A TLS server that talks to clients of this authority only.
    pub(crate) fn tls_for_clients_of(authority: &Authority, identity: &Identity) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        let builder = builder(rustls::ALL_VERSIONS);
        let resolver = resolver(identity);
        let config = builder.with_client_cert_verifier(clients.build().unwrap());
        let config = Arc::new(config.with_cert_resolver(resolver));
        Self::start(move |stream, seen| serve_tls(stream, &config, seen))
    }

    /// A server that writes this and then waits for the other to go.
    pub(crate) fn saying(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self::start(move |mut stream, _| {
            // The other may have gone already.
            let _ = stream.write_all(&bytes);
            wait_for_the_end(stream);
        })
    }

    /// A server that writes the same again and again for as long as it is listened to.
    pub(crate) fn repeating(bytes: &[u8]) -> Self {
        let bytes = bytes.repeat(1_000);
        Self::start(move |mut stream, _| while stream.write_all(&bytes).is_ok() {})
    }

    /// A server that closes each connection at once.
    pub(crate) fn closing() -> Self {
        Self::start(|stream, _| drop(stream.shutdown(Shutdown::Both)))
    }

    fn start(serve: impl Fn(TcpStream, &Seen) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (counted, serve) = (Arc::clone(&seen), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.connections.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                let (seen, serve) = (Arc::clone(&counted), Arc::clone(&serve));
                thread::spawn(move || {
                    serve(stream, &seen);
                    seen.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { addr, seen }
    }

    pub(crate) fn target(&self) -> String {
        self.addr.to_string()
    }

    /// Connections so far.
    pub(crate) fn n_connections(&self) -> u64 {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Connections that have ended.
    pub(crate) fn n_closed(&self) -> u64 {
        self.seen.closed.load(Ordering::SeqCst)
    }

    /// Connections that ended with a word, and bytes that came above TLS.
    pub(crate) fn farewells_and_bytes(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        (
            load(&self.seen.farewells),
            load(&self.seen.application_bytes),
        )
    }
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder.with_protocol_versions(versions).unwrap()
}

/// Takes a key that does not fit, which a careful server would not.
fn resolver(identity: &Identity) -> Arc<SingleCertAndKey> {
    let keys = ring::default_provider().key_provider;
    let key = keys.load_private_key(identity.key()).unwrap();
    let certified = CertifiedKey::new(identity.chain.clone(), key);
    Arc::new(SingleCertAndKey::from(certified))
}

fn serve_tls(mut stream: TcpStream, config: &Arc<ServerConfig>, seen: &Seen) {
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut said = Vec::new();
    loop {
        while connection.wants_write() {
            if connection.write_tls(&mut stream).is_err() {
                return;
            }
        }
        if !matches!(connection.read_tls(&mut stream), Ok(1..)) {
            return;
        }
        let Ok(state) = connection.process_new_packets() else {
            return;
        };
        let n_bytes = u64::try_from(state.plaintext_bytes_to_read()).unwrap();
        seen.application_bytes.fetch_add(n_bytes, Ordering::SeqCst);
        said.resize(state.plaintext_bytes_to_read(), 0);
        connection.reader().read_exact(&mut said).unwrap();
        if state.peer_has_closed() {
            seen.farewells.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

fn wait_for_the_end(mut stream: TcpStream) {
    let mut buffer = [0; 4_096];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}
