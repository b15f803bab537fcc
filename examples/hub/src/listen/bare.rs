//! Answers that hyper gives by itself to what is no HTTP: a status and nothing else.
//!
//! No request reaches the router then, so nothing there can add what each answer carries (contract
//! §4). They are known by their length: the headers of every other answer are longer than a whole
//! one of these.

use std::fmt::Write;

use crate::security::headers::{EXACT, HSTS};

/// Longest answer that is taken for one of hyper's own, in bytes; they have about 90.
const BARE_BYTES_MAX: usize = 256;

/// Tells whether bytes about to be written are such an answer.
pub(super) fn is_bare(bytes: &[u8]) -> bool {
    bytes.len() <= BARE_BYTES_MAX
        && bytes.starts_with(b"HTTP/1.1 4")
        && bytes.ends_with(b"\r\n\r\n")
}

/// Makes the whole answer of a bare one: the same status, as a problem, with the headers.
pub(super) fn completed(bytes: &[u8], is_tls: bool) -> Option<Vec<u8>> {
    if !is_bare(bytes) {
        return None;
    }
    let line = bytes.split(|byte| *byte == b'\r').next()?;
    let status = std::str::from_utf8(line.get(9..12)?).ok()?;
    let (title, code, detail) = match status {
        "414" => (
            "URI too long",
            "uri_too_long",
            "expected a shorter address of the request",
        ),
        "431" => (
            "Request header fields too large",
            "headers_too_large",
            "expected fewer and shorter headers",
        ),
        _ => (
            "Bad request",
            "bad_request",
            "expected a request in HTTP/1.1",
        ),
    };
    let body = format!(
        "{{\"type\":\"urn:monsys:error:{code}\",\"title\":\"{title}\",\"status\":{status},\
         \"detail\":\"{detail}\",\"code\":\"{code}\"}}"
    );
    let mut answer = String::from_utf8_lossy(line).into_owned();
    for (name, value) in EXACT {
        // A text takes whatever is written to it.
        let _ = write!(answer, "\r\n{name}: {value}");
    }
    if is_tls {
        let _ = write!(answer, "\r\nstrict-transport-security: {HSTS}");
    }
    let _ = write!(
        answer,
        "\r\ncache-control: no-store\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    Some(answer.into_bytes())
}
