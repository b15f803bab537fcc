//! The address of a hub.
//!
//! What: an `http` or `https` address without user, query or fragment; a path in front is kept, for
//! hubs behind a proxy. Plain HTTP carries the token in the clear, so it is taken for this very
//! machine only, or when the operator says so. What not: asking the name service.

use thiserror::Error;
use ureq::http::Uri;

/// A checked address without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubUrl {
    text: String,
    is_plain: bool,
    is_loopback: bool,
}

/// Says why a text is no address of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HubUrlError {
    /// Not an address, or one with parts that a hub has not.
    #[error("not a hub: expected {}", self.expected())]
    Malformed,
    /// The token would cross a network in the clear.
    #[error("not a safe hub: expected {}", self.expected())]
    PlainHttp,
}

impl HubUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`HubUrlError::Malformed`]; [`HubUrlError::PlainHttp`] for `http` to another machine.
    pub fn parse(text: &str) -> Result<Self, HubUrlError> {
        let url = Self::parse_with_plain_http(text)?;
        if url.is_plain_and_remote() {
            Err(HubUrlError::PlainHttp)
        } else {
            Ok(url)
        }
    }

    /// Reads an address, and takes `http` to another machine on the operator's word.
    ///
    /// # Errors
    /// [`HubUrlError::Malformed`].
    pub fn parse_with_plain_http(text: &str) -> Result<Self, HubUrlError> {
        let text = text.trim().trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_| HubUrlError::Malformed)?;
        let authority = uri.authority().ok_or(HubUrlError::Malformed)?;
        let is_plain = match uri.scheme_str() {
            Some("http") => true,
            Some("https") => false,
            Some(_) | None => return Err(HubUrlError::Malformed),
        };
        let has_extras = authority.as_str().contains('@') || uri.query().is_some();
        if has_extras || text.contains('#') || authority.host().is_empty() {
            return Err(HubUrlError::Malformed);
        }
        Ok(Self {
            text: text.to_owned(),
            is_plain,
            is_loopback: is_loopback(authority.host()),
        })
    }

    /// Returns the address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the address of a path of the hub.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// Returns whether the hub is on this machine, by its name.
    pub const fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Returns whether requests cross a network in the clear.
    pub const fn is_plain_and_remote(&self) -> bool {
        self.is_plain && !self.is_loopback
    }
}

impl HubUrlError {
    /// Says what was expected.
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Malformed => "an address such as https://hub.example",
            Self::PlainHttp => "https, or --allow-plain-http, because the token would be readable",
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_go_and_paths_stay() {
        let url = HubUrl::parse("https://hub.example/monsys/").unwrap();
        assert_eq!(url.join("/api"), "https://hub.example/monsys/api");
        assert!(!url.is_loopback());
    }

    #[test]
    fn plain_http_is_for_this_machine_or_on_demand() {
        for here in [
            "http://127.0.0.1:8080",
            "http://[::1]:1",
            "http://localhost",
            "http://127.9.9.9",
        ] {
            assert!(
                HubUrl::parse(here).is_ok_and(|url| url.is_loopback()),
                "{here}"
            );
        }
        for there in [
            "http://hub.example",
            "http://127.0.0.1.example",
            "http://10.0.0.1",
        ] {
            assert_eq!(HubUrl::parse(there), Err(HubUrlError::PlainHttp), "{there}");
            assert!(
                HubUrl::parse_with_plain_http(there).is_ok_and(|url| url.is_plain_and_remote())
            );
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "hub.example",
            "ftp://hub.example",
            "https://",
            "https://a@hub.example",
            "https://h?q=1",
            "https://h/#f",
            "https://h h",
        ] {
            assert_eq!(
                HubUrl::parse_with_plain_http(text),
                Err(HubUrlError::Malformed),
                "{text}"
            );
        }
    }
}
