//! The headers of both profiles, read from lines of the form `name: value`.

use monsys_wire::header::{
    AUTHORIZATION, BearerToken, DEVICE, DeviceHeaders, MAC, NONCE, ORG, RequestHeaders, SIGNATURE,
    SignatureHeader, SignedHeaders, TIMESTAMP,
};
use monsys_wire::{Code, Reject};

use super::verdict;

/// Names and values as they came.
type Pairs<'b> = Vec<(String, &'b [u8])>;

/// What is read is written back in the same bytes; neither the order of headers nor the case of
/// their names matters; no header may come twice; a token is never printed.
pub fn headers(bytes: &[u8]) {
    let pairs = pairs(bytes);
    ed25519(&pairs);
    hmac(&pairs);
}

fn pairs(bytes: &[u8]) -> Pairs<'_> {
    let lines = bytes.split(|byte| *byte == b'\n').take(LINES_MAX);
    let halves = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.strip_prefix(b":")?;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        Some((str::from_utf8(name).ok()?.to_owned(), value))
    });
    halves.collect()
}

fn ed25519(pairs: &Pairs<'_>) {
    let read = read_request(pairs);
    let code = read.as_ref().err().map(Reject::kind);
    for other in respelled(pairs) {
        let other = read_request(&other);
        assert_eq!(other.err().map(|reject| reject.kind()), code);
    }
    let headers = match read {
        Ok(headers) => headers,
        Err(reject) => {
            let known = [Code::Unauthorized, Code::UnsupportedMediaType];
            assert!(known.contains(&reject.kind()));
            return verdict::is_fair(&reject);
        }
    };
    let token = headers.token();
    assert!(!format!("{headers:?}").contains(token.expose_text()));
    let written = token.to_header_value();
    let again = BearerToken::parse(written.trim_start_matches("Bearer ").as_bytes());
    assert_eq!(again.map(|again| again.digest()), Some(token.digest()));
    let sent = value_of(pairs, AUTHORIZATION);
    let sent = sent.and_then(|sent| sent.get("Bearer ".len()..));
    assert_eq!(sent, Some(token.expose_text().as_bytes()));
    match headers.signature() {
        SignatureHeader::Present(signature) => {
            let written = signature.to_string();
            assert_eq!(value_of(pairs, SIGNATURE), Some(written.as_bytes()));
        }
        SignatureHeader::Absent => {
            assert!(value_of(pairs, SIGNATURE).unwrap_or_default().is_empty());
        }
        SignatureHeader::Malformed => assert!(value_of(pairs, SIGNATURE).is_some()),
    }
    let twice = read_request(&repeated(pairs, AUTHORIZATION));
    assert_eq!(
        twice.err().map(|reject| reject.kind()),
        Some(Code::Unauthorized)
    );
    if value_of(pairs, SIGNATURE).is_some() {
        let twice = read_request(&repeated(pairs, SIGNATURE));
        let twice = twice.map(|headers| headers.signature());
        assert_eq!(twice, Ok(SignatureHeader::Malformed));
    }
}

fn hmac(pairs: &Pairs<'_>) {
    let read = read_device(pairs);
    let code = read.as_ref().err().map(Reject::kind);
    for other in respelled(pairs) {
        let other = read_device(&other);
        assert_eq!(other.err().map(|reject| reject.kind()), code);
    }
    let headers = match read {
        Ok(headers) => headers,
        Err(reject) => {
            assert!(reject.header().is_some(), "the header at fault is named");
            return verdict::is_fair(&reject);
        }
    };
    for (name, written) in SignedHeaders::new(&headers.claim(), &headers.mac()).iter() {
        assert_eq!(value_of(pairs, name), Some(written.as_bytes()), "{name}");
    }
    for header in FIVE {
        let twice = read_device(&repeated(pairs, header)).map(|_| ());
        assert_eq!(twice, Err(Reject::BadHeader { header }));
        let mut without = pairs.clone();
        without.retain(|(name, _)| !name.eq_ignore_ascii_case(header));
        let without = read_device(&without).map(|_| ());
        assert_eq!(without, Err(Reject::MissingHeader { header }));
    }
}

fn read_request(pairs: &Pairs<'_>) -> Result<RequestHeaders, Reject> {
    RequestHeaders::parse(pairs.iter().map(|(name, value)| (name.as_str(), *value)))
}

fn read_device<'b>(pairs: &'b Pairs<'b>) -> Result<DeviceHeaders<'b>, Reject> {
    DeviceHeaders::parse(pairs.iter().map(|(name, value)| (name.as_str(), *value)))
}

/// The same headers in reverse, in capitals, and among others.
fn respelled<'b>(pairs: &Pairs<'b>) -> [Pairs<'b>; 3] {
    let reversed = pairs.iter().rev().cloned().collect();
    let capitals = pairs.iter();
    let capitals = capitals.map(|(name, value)| (name.to_ascii_uppercase(), *value));
    let mut among = pairs.clone();
    among.push(("x-forwarded-for".to_owned(), b"\xff"));
    [reversed, capitals.collect(), among]
}

fn repeated<'b>(pairs: &Pairs<'b>, header: &str) -> Pairs<'b> {
    let mut twice = pairs.clone();
    let value = value_of(pairs, header).unwrap_or_default();
    twice.push((header.to_owned(), value));
    twice
}

/// The first value of a header.
fn value_of<'b>(pairs: &Pairs<'b>, header: &str) -> Option<&'b [u8]> {
    let mut known = pairs.iter();
    let found = known.find(|(name, _)| name.eq_ignore_ascii_case(header));
    found.map(|(_, value)| *value)
}

const FIVE: [&str; 5] = [ORG, DEVICE, TIMESTAMP, NONCE, MAC];

/// Enough to repeat every header; more lines only slow a run down.
const LINES_MAX: usize = 16;
