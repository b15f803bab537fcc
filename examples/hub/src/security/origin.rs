//! Refuses state changes that another site asks a browser for.
//!
//! Every current browser says with a POST where it comes from, in `Sec-Fetch-Site` or `Origin`. A
//! client that says neither is no browser, and no foreign site can make it send our cookie. Forms
//! carry the token of their session besides.

use axum::http::{HeaderMap, header};

/// Where a request comes from, as far as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// From our own pages, or from a client that is no browser.
    Own,
    /// From a page that keeps its address to itself, as ours do on plain HTTP; a token tells.
    Unknown,
    /// From another site.
    Foreign,
}

impl Site {
    /// Reads where a request comes from.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        if let Some(site) = text("sec-fetch-site") {
            return if site == "same-origin" || site == "none" {
                Self::Own
            } else {
                Self::Foreign
            };
        }
        let Some(origin) = text(header::ORIGIN.as_str()) else {
            return Self::Own;
        };
        if origin == "null" {
            return Self::Unknown;
        }
        let host = text(header::HOST.as_str()).unwrap_or("");
        let of_origin = origin.split_once("://").map(|(_, host)| host);
        let is_own = !host.is_empty() && of_origin == Some(host);
        if is_own { Self::Own } else { Self::Foreign }
    }
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
            (vec![], Site::Own),
            (vec![("sec-fetch-site", "same-origin")], Site::Own),
            (vec![("sec-fetch-site", "none")], Site::Own),
            (vec![("sec-fetch-site", "cross-site")], Site::Foreign),
            (vec![("sec-fetch-site", "same-site")], Site::Foreign),
            (vec![("origin", "http://a:1"), ("host", "a:1")], Site::Own),
            (
                vec![("origin", "http://evil"), ("host", "a:1")],
                Site::Foreign,
            ),
            (vec![("origin", "null"), ("host", "a:1")], Site::Unknown),
            (vec![("origin", "http://"), ("host", "")], Site::Foreign),
        ] {
            assert_eq!(Site::of(&headers(&pairs)), expected, "{pairs:?}");
        }
    }
}
