//! Cookies: three of them, by names that say over what they may travel.
//!
//! On HTTPS each name begins with `__Host-`, which browsers take only with `Secure`, `Path=/` and no
//! domain, so that no other host under the same domain and nobody on the way can plant one. On plain
//! HTTP, which is for this machine, they stand without. What came twice is nobody's: somebody planted
//! one of the two.

use axum::http::{HeaderMap, HeaderValue, header};

use super::transport::Transport;

/// What a cookie holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jar {
    /// The secret of a session.
    Session,
    /// What the login form belongs to.
    Login,
    /// That a person logged in here before.
    Device,
}

impl Jar {
    /// Returns the name.
    pub(crate) const fn name(self, transport: Transport) -> &'static str {
        match (self, transport.is_https) {
            (Self::Session, true) => "__Host-monsys",
            (Self::Session, false) => "monsys",
            (Self::Login, true) => "__Host-monsys-login",
            (Self::Login, false) => "monsys-login",
            (Self::Device, true) => "__Host-monsys-device",
            (Self::Device, false) => "monsys-device",
        }
    }

    /// Reads the value that a request brings; none where it brings several.
    pub(crate) fn read(self, headers: &HeaderMap, transport: Transport) -> Option<&str> {
        let name = self.name(transport);
        let lines = headers.get_all(header::COOKIE).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        let mut found = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value);
        let only = found.next()?;
        found.next().is_none().then_some(only)
    }

    /// Makes the header value that gives a browser a cookie for so many seconds. The value must be
    /// one of ours: letters, digits and the signs of base64url, or a point.
    pub(crate) fn set(self, value: &str, seconds: i64, transport: Transport) -> HeaderValue {
        let name = self.name(transport);
        let secure = if transport.is_https { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}; Max-Age={seconds}");
        // Cannot be empty: all of it is printable ASCII.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Makes the header value that takes it away.
    pub(crate) fn clear(self, transport: Transport) -> HeaderValue {
        self.set("", 0, transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn transport(is_https: bool) -> Transport {
        Transport {
            client: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            is_https,
            is_local: true,
        }
    }

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let pair = |line: &&'static str| (header::COOKIE, HeaderValue::from_static(line));
        lines.iter().map(pair).collect()
    }

    #[test]
    fn a8_a_cookie_that_came_twice_or_under_the_other_name_is_none() {
        for (lines, on_http, on_https) in [
            (&["monsys=a"][..], Some("a"), None),
            (&["__Host-monsys=a"], None, Some("a")),
            (&["monsys=a; __Host-monsys=b"], Some("a"), Some("b")),
            (&["x=1; monsys=a ;y=2"], Some("a"), None),
            (&["monsys=a; monsys=a"], None, None),
            (&["monsys=a", "monsys=b"], None, None),
            (&["__Host-monsys=a", "__Host-monsys=b"], None, None),
            (&["Monsys=a; monsysx=b; monsys-login=c"], None, None),
            (&["monsys"], None, None),
            (&[], None, None),
        ] {
            let headers = headers(lines);
            let read = |is_https| Jar::Session.read(&headers, transport(is_https));
            assert_eq!((read(false), read(true)), (on_http, on_https), "{lines:?}");
        }
    }

    #[test]
    fn a8_on_https_a_cookie_is_bound_to_the_host() {
        assert_eq!(
            Jar::Session.set("a-_.", 60, transport(true)),
            "__Host-monsys=a-_.; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60"
        );
        assert_eq!(
            Jar::Session.clear(transport(false)),
            "monsys=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }
}
