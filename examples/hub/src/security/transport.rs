//! Over what a request came, and from whom: HTTPS or not, and which address.
//!
//! Both are facts of the connection, unless it comes from a proxy that the operator trusts: then
//! `X-Forwarded-Proto` says how the client came to the proxy, and `X-Forwarded-For` from where. From
//! anybody else these headers are what a stranger wrote, and are not read. `Host` is never believed:
//! redirects go to the configured address.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;

use crate::api::problem;
use crate::app::App;
use crate::small_body::let_pass;

/// What a proxy says of the client it passes on.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// What a proxy says of how the client came to it.
const FORWARDED_PROTO: &str = "x-forwarded-proto";
/// What tells whether the hub is well, without telling anything else: probes of orchestrators come
/// over plain HTTP.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// What monitoring on the same machine reads; what it may read is decided there.
const METRICS: &str = "/internal/metrics";
/// Where payloads arrive.
const INGEST: [&str; 2] = ["/ingest", "/api/v1/ingest"];

/// How a connection came to the hub itself; the listener knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
    /// Whether the hub itself ends TLS on it.
    pub(crate) is_tls: bool,
}

/// Over what a request came, and from whom. An extractor: each request has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transport {
    /// The client's address: that of the connection, or what the trusted proxies before it say.
    pub(crate) client: IpAddr,
    /// Whether the client came over HTTPS.
    pub(crate) is_https: bool,
    /// Whether the connection is one of this machine with itself that no proxy says it passed on.
    pub(crate) is_local: bool,
}

impl Transport {
    /// Reads what a connection and the headers of a request say.
    fn of(arrival: Arrival, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = arrival.peer.ip().to_canonical();
        let is_passed_on = headers.contains_key(FORWARDED_FOR) || headers.contains_key("forwarded");
        let is_local = peer.is_loopback() && !is_passed_on;
        if !is_trusted(peer, trusted) {
            return Self {
                client: peer,
                is_https: arrival.is_tls,
                is_local,
            };
        }
        Self {
            client: forwarded_for(headers, peer, trusted),
            is_https: arrival.is_tls || is_forwarded_https(headers),
            is_local,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Transport {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // Cannot be absent: `learn` is around every route.
        let known = parts.extensions.get::<Self>().copied();
        known.ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// Finds out over what a request came, and says so to everything behind: [`Transport`], and
/// `ConnectInfo` with the client's address, so that no limit is ever charged to a proxy. `None` where
/// the listener did not say, which it always does.
pub(crate) fn learn(app: &App, request: &mut Request) -> Option<Transport> {
    let arrival = *request.extensions().get::<Arrival>()?;
    let trusted = &app.config.serving.trusted_proxies;
    let transport = Transport::of(arrival, request.headers(), trusted);
    let client = SocketAddr::new(transport.client, arrival.peer.port());
    request.extensions_mut().insert(transport);
    request.extensions_mut().insert(ConnectInfo(client));
    Some(transport)
}

/// Refuses what does not come over HTTPS, where it is enforced: reads are redirected to the
/// configured address, and whatever carries a body is refused, because it has been sent in the open.
/// Gives back what may go on.
pub(crate) async fn enforce_https(
    app: &App,
    transport: Transport,
    request: Request,
) -> Result<Request, Response> {
    let serving = &app.config.serving;
    if !serving.enforce_https || transport.is_https || is_exempt(&request, transport) {
        return Ok(request);
    }
    let path = request.uri().path();
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let refused = match &serving.public_url {
        Some(url) if is_read && !INGEST.contains(&path) && target.starts_with('/') => {
            let location = format!("{}{target}", url.as_str());
            (
                StatusCode::PERMANENT_REDIRECT,
                [(header::LOCATION, location)],
            )
                .into_response()
        }
        None | Some(_) => {
            // Whoever still sends when the connection closes may never see why.
            let_pass(request.into_body()).await;
            problem::https_required()
        }
    };
    Err(refused)
}

fn is_exempt(request: &Request, transport: Transport) -> bool {
    let path = request.uri().path();
    PROBES.contains(&path) || (path == METRICS && transport.is_local)
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Walks from the hub outward: the first hop that is not a trusted proxy is the client. What is no
/// address ends the walk, because whoever wrote it did not say who comes.
fn forwarded_for(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let lines = headers.get_all(FORWARDED_FOR).iter();
    let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap_or("")).collect();
    let mut client = peer;
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(address) = parse_hop(hop.trim()) else {
            return client;
        };
        client = address;
        if !is_trusted(address, trusted) {
            return client;
        }
    }
    client
}

/// Reads an address, with a port as some proxies write one.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|hop| hop.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = address.or_else(bracketed);
    address.map(|address| address.to_canonical())
}

/// One line with one word: what was joined from several says that somebody else wrote too.
fn is_forwarded_https(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(FORWARDED_PROTO).iter();
    let (Some(only), None) = (lines.next(), lines.next()) else {
        return false;
    };
    only.as_bytes().eq_ignore_ascii_case(b"https")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(peer: &str, pairs: &[(&'static str, &str)]) -> (String, bool) {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8::/32"]
            .map(|network| network.parse().unwrap())
            .into();
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let arrival = Arrival {
            peer: SocketAddr::new(peer.parse().unwrap(), 4711),
            is_tls: false,
        };
        let found = Transport::of(arrival, &headers, &trusted);
        (found.client.to_string(), found.is_https)
    }

    #[test]
    fn a_stranger_says_nothing_about_itself() {
        let forged = [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(transport("192.0.2.1", &forged), ("192.0.2.1".into(), false));
    }

    #[test]
    fn the_client_is_the_rightmost_hop_that_is_not_trusted() {
        for (lines, expected) in [
            (vec!["192.0.2.9"], "192.0.2.9"),
            (vec!["127.0.0.1, 192.0.2.9"], "192.0.2.9"),
            (vec!["127.0.0.1, 192.0.2.9, 10.1.1.1"], "192.0.2.9"),
            (vec!["6.6.6.6", "192.0.2.9,10.1.1.1"], "192.0.2.9"),
            (vec!["192.0.2.9:51234"], "192.0.2.9"),
            (vec!["[2001:db9::1]:443"], "2001:db9::1"),
            (vec!["[2001:db9::1]"], "2001:db9::1"),
            (vec!["::ffff:192.0.2.9"], "192.0.2.9"),
            (vec!["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            (vec!["192.0.2.9, unknown"], "10.0.0.1"),
            (vec!["192.0.2.9, unknown, 10.3.3.3"], "10.3.3.3"),
            (vec![""], "10.0.0.1"),
            (vec![], "10.0.0.1"),
        ] {
            let pairs: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-for", *line))
                .collect();
            assert_eq!(transport("10.0.0.1", &pairs).0, expected, "{lines:?}");
        }
        let mapped = transport("::ffff:10.0.0.1", &[("x-forwarded-for", "192.0.2.9")]);
        assert_eq!(mapped.0, "192.0.2.9");
    }

    #[test]
    fn https_is_what_one_trusted_proxy_says_in_one_word() {
        for (lines, expected) in [
            (vec!["https"], true),
            (vec!["HTTPS"], true),
            (vec!["http"], false),
            (vec!["https, http"], false),
            (vec!["http, https"], false),
            (vec!["https", "http"], false),
            (vec!["https", "https"], false),
            (vec!["wss"], false),
            (vec![], false),
        ] {
            let pairs: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-proto", *line))
                .collect();
            assert_eq!(transport("10.0.0.1", &pairs).1, expected, "{lines:?}");
        }
    }
}
