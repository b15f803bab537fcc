//! Connections: accepted, bounded in number and time, drained at the end.
//!
//! What: HTTP/1.1 over TCP, one task a connection. A client that does not finish its headers in
//! time is cut off, and so is everyone beyond the most connections that one hub holds. What not:
//! TLS; a proxy in front ends it. Cost: one task and its buffers a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::security::transport::Arrival;
use crate::telemetry::Connections;

/// How long a client may take to send the headers of a request, idle time between two included.
const HEADERS_WITHIN: Duration = Duration::from_secs(20);
/// Most connections at once; one agent holds one.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;
/// How long to wait after the system could not accept a connection, such as for want of files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves until told to stop, and then until the requests under way are answered.
pub(crate) async fn serve(
    router: Router,
    listener: TcpListener,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Whoever finds no place is cut off; an agent tries again.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    connections.refuse();
                    continue;
                };
                let place = (place, connections.open());
                let connection = connect(router.clone(), stream, peer);
                let watched = graceful.watch(connection);
                tokio::spawn(async move {
                    // A connection that ends badly is its client's affair.
                    let _ = watched.await;
                    drop(place);
                });
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

fn connect(
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
) -> http1::Connection<
    TokioIo<TcpStream>,
    impl hyper::service::HttpService<
        Incoming,
        ResBody = axum::body::Body,
        Error = std::convert::Infallible,
        Future: Send,
    >,
> {
    // Answers are small; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arrival {
            peer,
            is_tls: false,
        });
        service.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
}
