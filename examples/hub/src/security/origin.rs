//! Refuses state changes that another site asks a browser for.
//!
//! Every current browser says with a POST where it comes from, in `Sec-Fetch-Site` or `Origin`. A
//! client that says neither is no browser, and no foreign site can make it send our cookie. Forms
//! carry the token of their session besides.

use axum::http::{HeaderMap, header};

/// Tells whether a request may change state as far as its origin goes.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else {
        return true;
    };
    let host = text(header::HOST.as_str()).unwrap_or("");
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    !host.is_empty() && of_origin == Some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()))
            .collect()
    }

    #[test]
    fn foreign_sites_are_refused_and_plain_clients_are_not() {
        for (pairs, expected) in [
            (vec![], true),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("origin", "http://a:1"), ("host", "a:1")], true),
            (vec![("origin", "http://evil"), ("host", "a:1")], false),
            (vec![("origin", "null"), ("host", "a:1")], false),
            (vec![("origin", "http://"), ("host", "")], false),
        ] {
            assert_eq!(is_same_origin(&headers(&pairs)), expected, "{pairs:?}");
        }
    }
}
