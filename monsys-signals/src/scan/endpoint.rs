//! A place that answers on a port, and the name that it should prove.
//!
//! What: host, port and expected name, each in one spelling, and the subject identifier made of
//! them. What not: looking a name up, and whether an address may be connected to. Cost: linear.

use alloc::string::{String, ToString};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::num::NonZeroU16;

use monsys_core::name::SubjectId;

/// A host: a name in lower case without the last dot, or an address. Closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An address, which needs no look-up.
    Address(IpAddr),
    /// A name of the DNS, in ASCII.
    Name(String),
}

impl Host {
    /// Reads a name or an address; one of IPv6 may stand in brackets.
    ///
    /// Names follow RFC 1123 §2.1 with the underscore that real hosts use, at most 253 bytes. A
    /// last label of digits alone is refused: resolvers read `10.1` as an address.
    ///
    /// # Errors
    /// [`EndpointError::Host`] for any other text, also for letters beyond ASCII, which a name
    /// spells in punycode.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Some(inside) = bracketed {
            let address: Ipv6Addr = inside.parse().map_err(|_| EndpointError::Host)?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
        if name.len() > NAME_BYTES_MAX || is_number || !name.split('.').all(is_label) {
            return Err(EndpointError::Host);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn is_label(label: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(is_word)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A place to watch.
///
/// Its text form is the subject identifier of its signals: `host:port`, an IPv6 address in
/// brackets, and `/name` behind it when the expected name is not the host.
///
/// ```
/// use monsys_signals::scan::{Endpoint, EndpointError};
///
/// let shop = Endpoint::parse("Shop.example.", 443, None)?;
/// assert_eq!(shop.to_string(), "shop.example:443");
/// let behind = Endpoint::parse("2001:db8::7", 8443, Some("shop.example"))?;
/// assert_eq!(behind.to_string(), "[2001:db8::7]:8443/shop.example");
/// assert_eq!(Endpoint::parse("a b", 443, None), Err(EndpointError::Host));
/// # Ok::<(), EndpointError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    host: Host,
    port: NonZeroU16,
    name: Host,
}

impl Endpoint {
    /// Takes host, port and expected name; the name is the host unless given.
    ///
    /// # Errors
    /// [`EndpointError`], which says the part that is wrong.
    pub fn parse(host: &str, port: u16, name: Option<&str>) -> Result<Self, EndpointError> {
        let host = Host::parse(host)?;
        let name = match name {
            Some(name) => Host::parse(name).map_err(|_| EndpointError::Name)?,
            None => host.clone(),
        };
        let port = NonZeroU16::new(port).ok_or(EndpointError::Port)?;
        let endpoint = Self { host, port, name };
        match SubjectId::parse(&endpoint.to_string()) {
            Ok(_) => Ok(endpoint),
            Err(_) => Err(EndpointError::TooLong),
        }
    }

    /// Returns where to connect to.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the port.
    pub const fn port(&self) -> u16 {
        self.port.get()
    }

    /// Returns the name that a certificate must be valid for.
    pub const fn name(&self) -> &Host {
        &self.name
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self.host, Host::Address(IpAddr::V6(_))) {
            write!(f, "[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "{}:{}", self.host, self.port)?;
        }
        if self.name == self.host {
            return Ok(());
        }
        write!(f, "/{}", self.name)
    }
}

/// Why texts are no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// The host is neither a name nor an address.
    Host,
    /// The expected name is neither a name nor an address.
    Name,
    /// The port is 0.
    Port,
    /// Host and name together are longer than a subject identifier may be.
    TooLong,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host: expected a DNS name in ASCII or an address",
            Self::Name => "name: expected a DNS name in ASCII or an address",
            Self::Port => "port: expected 1 to 65535",
            Self::TooLong => "host and name: expected at most 256 bytes together",
        })
    }
}

impl core::error::Error for EndpointError {}

/// Longest name of the DNS as text, in bytes (RFC 1035 §2.3.4, less length and root).
const NAME_BYTES_MAX: usize = 253;
/// Longest label, in bytes (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        for (text, spelled) in [
            ("Shop.Example.", "shop.example"),
            ("localhost", "localhost"),
            ("_sip.a-b.example", "_sip.a-b.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:DB8::0]", "2001:db8::"),
            ("2001:db8:0::1", "2001:db8::1"),
            ("3com.example", "3com.example"),
        ] {
            assert_eq!(Host::parse(text).unwrap().to_string(), spelled, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = format!("{}a.example", "a.".repeat(123));
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "-a.example",
            "a-.example",
            "a b",
            "bücher.example",
            "a/b",
            "a:443",
            "10.1",
            "0x7f.1",
            "127.1",
            "1.2.3.4.5",
            "[192.0.2.7]",
            "[::1",
            "fe80::1%eth0",
            "a\n",
            "a@b.example",
            &long,
            &longer,
        ] {
            assert_eq!(Host::parse(text), Err(EndpointError::Host), "{text:?}");
        }
    }

    #[test]
    fn an_endpoint_names_the_part_that_is_wrong() {
        let wrong = |host, port, name| Endpoint::parse(host, port, name).unwrap_err();
        assert_eq!(wrong("", 443, None), EndpointError::Host);
        assert_eq!(wrong("a", 443, Some("")), EndpointError::Name);
        assert_eq!(wrong("a", 0, None), EndpointError::Port);
        let half = format!("{}b", "a.".repeat(64));
        assert_eq!(wrong(&half, 443, Some(&half[2..])), EndpointError::TooLong);
        assert!(Endpoint::parse(&half, 443, Some(&half[8..])).is_ok());
    }

    #[test]
    fn the_name_stands_in_the_identifier_only_when_it_differs() {
        let text = |host, name| Endpoint::parse(host, 443, name).unwrap().to_string();
        assert_eq!(text("a.example", Some("A.example.")), "a.example:443");
        assert_eq!(text("a.example", Some("b")), "a.example:443/b");
        assert_eq!(text("192.0.2.7", Some("192.0.2.7")), "192.0.2.7:443");
        assert_eq!(text("::1", Some("192.0.2.7")), "[::1]:443/192.0.2.7");
    }
}
