//! Who may read the metrics of this hub.
//!
//! With a token, whoever shows it. Without one, only the machine itself: a request from a loopback
//! address that no proxy passed on, because behind a proxy on the same machine everybody's address
//! is loopback.

use std::net::IpAddr;

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header that carries the token (endpoint document).
const HEADER: &str = "x-metrics-token";
/// What proxies add to what they pass on.
const PASSED_ON: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// The token that reads the metrics, as its digest.
#[derive(Clone)]
pub(crate) struct MetricsToken([u8; 32]);

impl std::fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsToken(…)")
    }
}

impl MetricsToken {
    /// Takes a token; `None` when it is blank or no header could carry it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        is_plain.then(|| Self(Sha256::digest(text).into()))
    }

    /// Tells in constant time whether a request shows the token, once.
    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(HEADER).iter();
        let (Some(only), None) = (shown.next(), shown.next()) else {
            return false;
        };
        let digest: [u8; 32] = Sha256::digest(only.as_bytes()).into();
        bool::from(digest.ct_eq(&self.0))
    }
}

/// Tells whether a request may read the metrics.
pub(crate) fn may_read(token: Option<&MetricsToken>, peer: IpAddr, headers: &HeaderMap) -> bool {
    match token {
        Some(token) => token.is_shown(headers),
        None => {
            let is_passed_on = PASSED_ON.iter().any(|name| headers.contains_key(*name));
            peer.to_canonical().is_loopback() && !is_passed_on
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn with_a_token_whoever_shows_it_once_reads_and_nobody_else() {
        let token = MetricsToken::parse("open-sesame\n").unwrap();
        for (pairs, expected) in [
            (vec![], false),
            (vec![("x-metrics-token", "open-sesame")], true),
            (vec![("x-metrics-token", "open-sesam")], false),
            (vec![("x-metrics-token", "")], false),
            (
                vec![
                    ("x-metrics-token", "open-sesame"),
                    ("x-metrics-token", "open-sesame"),
                ],
                false,
            ),
        ] {
            for peer in ["127.0.0.1", "203.0.113.9"] {
                let peer = peer.parse().unwrap();
                let may = may_read(Some(&token), peer, &headers(&pairs));
                assert_eq!(may, expected, "{pairs:?}");
            }
        }
    }

    #[test]
    fn without_a_token_only_the_machine_itself_reads() {
        for (peer, pairs, expected) in [
            ("127.0.0.1", vec![], true),
            ("127.9.9.9", vec![], true),
            ("::1", vec![], true),
            ("::ffff:127.0.0.1", vec![], true),
            ("192.0.2.1", vec![], false),
            ("::ffff:192.0.2.1", vec![], false),
            ("127.0.0.1", vec![("x-forwarded-for", "192.0.2.1")], false),
            ("::1", vec![("forwarded", "for=192.0.2.1")], false),
            ("192.0.2.1", vec![("x-metrics-token", "guess")], false),
        ] {
            let may = may_read(None, peer.parse().unwrap(), &headers(&pairs));
            assert_eq!(may, expected, "{peer} {pairs:?}");
        }
    }

    #[test]
    fn a_token_is_never_blank_and_never_printed() {
        for bad in ["", " \n", "two words", "tab\there", "caf\u{e9}"] {
            assert!(MetricsToken::parse(bad).is_none(), "{bad:?}");
        }
        let token = MetricsToken::parse("open-sesame").unwrap();
        assert_eq!(format!("{token:?}"), "MetricsToken(…)");
    }
}
