//! The exact headers of contract §4 on every answer.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use super::transport::Transport;

/// Tells a browser to come over HTTPS only, for two years; said over HTTPS alone (RFC 6797 §7.2).
pub(crate) const HSTS: &str = "max-age=63072000; includeSubDomains";

/// Sets the headers; an answer's own `Cache-Control` stays, because fingerprinted assets have one.
pub(crate) fn set_headers(transport: Transport, response: &mut Response) {
    let headers = response.headers_mut();
    headers.reserve(EXACT.len() + 2);
    for (name, value) in EXACT {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if transport.is_https {
        let hsts = HeaderValue::from_static(HSTS);
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    let fallback = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(fallback);
}

/// Those that are the same on every answer.
pub(crate) const EXACT: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), \
         microphone=(), payment=(), usb=()",
    ),
];
