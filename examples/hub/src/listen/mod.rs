//! Connections: accepted, bounded in number and time, drained at the end.
//!
//! What: HTTP/1.1 over TCP, or over TLS where there is a certificate; one task a connection. Nobody
//! holds a connection for nothing: a handshake, the headers of a request, its body and the reading
//! of its answer each have a time limit, idle time between two requests included. Nobody holds all:
//! there are so many places, of which one address gets a share. Cost: one task and its buffers a
//! connection.

mod bare;
mod patient;
mod places;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use self::patient::Patient;
use self::places::Place;
pub(crate) use self::places::{Places, raise_file_limit};
use self::tls::Certificates;
use crate::security::transport::Arrival;
use crate::telemetry::{Connections, OpenConnection};

/// How long a client may take to send the headers of a request, idle time between two included.
const HEADERS_WITHIN: Duration = Duration::from_secs(20);
/// How long a client may take for a TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait after the system could not accept a connection, such as for want of files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Through what clients come in.
#[derive(Clone)]
pub(crate) struct Door {
    /// How many may be inside.
    pub(crate) places: Places,
    /// What the hub shows to those who come by TLS; without it they come by plain TCP.
    pub(crate) certificates: Option<Arc<Certificates>>,
}

/// Serves until told to stop, and then until the requests under way are answered.
pub(crate) async fn serve(
    router: Router,
    listener: TcpListener,
    door: Door,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    if let Some(certificates) = &door.certificates {
        tokio::spawn(Arc::clone(certificates).keep_fresh(stop.clone()));
    }
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Whoever finds no place is cut off; an agent tries again.
                let Some(place) = door.places.take(peer.ip()) else {
                    connections.refuse();
                    continue;
                };
                let place = (place, connections.open());
                let client = Client {
                    router: router.clone(),
                    peer,
                    watcher: graceful.watcher(),
                    place,
                };
                tokio::spawn(client.enter(stream, door.certificates.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Somebody who was let in.
struct Client {
    router: Router,
    peer: SocketAddr,
    watcher: Watcher,
    place: (Place, OpenConnection),
}

impl Client {
    async fn enter(self, stream: TcpStream, certificates: Option<Arc<Certificates>>) {
        // Answers are small; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let Some(certificates) = certificates else {
            return self.serve(stream, false).await;
        };
        let handshake = TlsAcceptor::from(certificates.current()).accept(stream);
        // A handshake that fails or takes too long is its client's affair.
        if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await {
            self.serve(stream, true).await;
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, is_tls: bool) {
        let arrival = Arrival {
            peer: self.peer,
            is_tls,
        };
        let service = TowerToHyperService::new(self.router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(arrival);
            service.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .serve_connection(TokioIo::new(Patient::new(stream, is_tls)), service);
        // A connection that ends badly is its client's affair.
        let _ = self.watcher.watch(connection).await;
        drop(self.place);
    }
}
