//! Takes secrets out of a text that is about to be logged.
//!
//! What: the secrets that the operator configured, wherever they stand; and what looks like one by
//! its form (tokens, JSON Web Tokens, keys in hexadecimal, secrets of links and cookies, private
//! keys in PEM) or by what stands before it (`password=`, `Bearer`, the password of a URL). What not:
//! a secret in prose without either; those are kept out by not logging what people send. Cost: some
//! passes over a line of log.

use std::borrow::Cow;

/// What stands where a secret stood.
const GONE: &str = "[redacted]";
/// Shortest configured secret that is looked for, in bytes: shorter ones stand everywhere.
const KNOWN_BYTES_MIN: usize = 6;
/// Words in the name of a field or parameter whose value is a secret.
const SECRET_NAMES: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "csrf",
    "cookie",
    "authorization",
    "signature",
    "api_key",
];
/// What announces that the next word is a secret.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// Takes secrets out of texts.
pub(super) struct Redactor {
    known: Vec<String>,
}

impl Redactor {
    /// One that knows these secrets; of a URL, its password.
    pub(super) fn knowing(secrets: impl Iterator<Item = String>) -> Self {
        let mut known = Vec::new();
        for secret in secrets {
            if let Some(password) = password_of(&secret) {
                let decoded = percent_encoding::percent_decode_str(password).decode_utf8_lossy();
                known.push(decoded.into_owned());
                known.push(password.to_owned());
            }
            known.push(secret);
        }
        known.retain(|secret| secret.len() >= KNOWN_BYTES_MIN);
        // The longest first: one may be a part of another.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { known }
    }

    /// Takes the secrets out of the value of a field.
    pub(super) fn redact_field<'t>(&self, name: &str, text: &'t str) -> Cow<'t, str> {
        if is_secret_name(name) {
            return Cow::Borrowed(GONE);
        }
        self.redact(text)
    }

    /// Takes the secrets out of a text.
    pub(super) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.known {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), GONE));
            }
        }
        for pass in [without_private_keys, without_words] {
            if let Some(changed) = pass(&text) {
                text = Cow::Owned(changed);
            }
        }
        text
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_cookie = name == "monsys" || name.starts_with("__host-");
    is_cookie || SECRET_NAMES.iter().any(|word| name.contains(word))
}

/// The password of a URL.
fn password_of(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (person, _) = authority.rsplit_once('@')?;
    let (_, password) = person.split_once(':')?;
    Some(password)
}

/// Removes everything between the lines of PEM that enclose a private key.
fn without_private_keys(text: &str) -> Option<String> {
    let start = text.find("-----BEGIN ")?;
    let (before, rest) = text.split_at(start);
    if !rest.contains("PRIVATE KEY-----") {
        return None;
    }
    let after = rest.rfind("-----END ").and_then(|end| rest.get(end..));
    let after = after.and_then(|after| after.split_once("KEY-----"));
    let after = after.map_or("", |(_, after)| after);
    Some(format!("{before}{GONE}{after}"))
}

/// Removes words that are secrets by their form or by the word before them.
fn without_words(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut is_changed, mut is_value_secret, mut rest) = (false, false, text);
    while !rest.is_empty() {
        let length = rest.find(|c| !is_word_char(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        let is_named = ends_name(after);
        if word.is_empty() {
            let mut chars = after.chars();
            out.extend(chars.next());
            // A value ends where its line, its parameter or its member does.
            if after.starts_with(['&', ';', ',', '}', '\n']) {
                is_value_secret = false;
            }
            rest = chars.as_str();
            continue;
        }
        let is_gone = out.ends_with('[') && word == "redacted";
        let is_secret = (is_value_secret && !is_named)
            || is_secret_form(word)
            || is_password_of_url(&out, after);
        if is_secret && !is_gone {
            out.push_str(GONE);
            is_changed = true;
        } else {
            out.push_str(word);
        }
        let lower = word.to_ascii_lowercase();
        is_value_secret = (is_value_secret && !is_named)
            || SCHEMES.contains(&lower.as_str())
            || (is_named && is_secret_name(&lower));
        rest = after;
    }
    is_changed.then_some(out)
}

const fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '~' | '%')
}

/// Tells whether a word before this is the name of a value: `name=`, `name: `, `"name": "`.
fn ends_name(after: &str) -> bool {
    let after = after.trim_start_matches(['"', '\'', '\\']).trim_start();
    (after.starts_with('=') || after.starts_with(':')) && !after.starts_with("://")
}

/// Tells whether a word stands behind `://name:` and before `@`.
fn is_password_of_url(before: &str, after: &str) -> bool {
    let Some((_, person)) = before.rsplit_once("://") else {
        return false;
    };
    after.starts_with('@') && person.contains(':') && !person.contains(['/', ' ', '@'])
}

/// Tells whether a word, or what stands between the escapes of a URL in it, is a token, a key or the
/// secret of a link by its form.
fn is_secret_form(word: &str) -> bool {
    let mut pieces = word.split('%').enumerate();
    pieces.any(|(n, piece)| {
        // Behind the sign of an escape stand its two digits.
        let piece = if n == 0 {
            piece
        } else {
            piece.get(2..).unwrap_or("")
        };
        let piece = piece.trim_matches('.');
        let is_hex = piece.len() >= 64 && piece.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_link = piece.len() == 43 && piece.bytes().all(is_base64url);
        let is_jwt = piece.len() >= 16 && piece.contains("eyJ");
        let is_token = piece.len() >= 16 && piece.starts_with("ms") && piece.contains('_');
        is_hex || is_link || is_jwt || is_token
    })
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let secrets = [
            "configured secret with spaces",
            "postgres://hub:p%40ss-word@db/monsys",
            "short",
        ];
        Redactor::knowing(secrets.into_iter().map(str::to_owned))
    }

    #[test]
    fn secrets_are_known_by_value_form_and_place() {
        let hex = "0123456789abcdef".repeat(4);
        let link = "Aa0_-".repeat(9);
        let link = &link[..43];
        for (text, secret) in [
            ("x configured secret with spaces y".to_owned(), "configured"),
            ("the server said: p@ss-word".to_owned(), "ss-word"),
            ("p%40ss-word".to_owned(), "ss-word"),
            ("postgres://u:other-pass@h/db".to_owned(), "other-pass"),
            ("redis://:other-pass@h".to_owned(), "other-pass"),
            (format!("Bearer ms_{link}"), link),
            ("bearer some.opaque-thing".to_owned(), "opaque"),
            (
                "Authorization: Basic dXNlcjpwYXNz".to_owned(),
                "dXNlcjpwYXNz",
            ),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln".to_owned(),
                "c2ln",
            ),
            (format!("/login/{link}?x"), link),
            (format!("next=%2Flogin%2F{link}%3Fx"), link),
            (format!("key {hex}."), hex.as_str()),
            (
                r#"{"user":"a","password":"hunter2 x"}"#.to_owned(),
                "hunter2",
            ),
            (r#"{\"password\": \"hunter2\"}"#.to_owned(), "hunter2"),
            ("user=a&password=hunter2&b=c".to_owned(), "hunter2"),
            (
                "Cookie: __Host-monsys=hunter2; other=b".to_owned(),
                "hunter2",
            ),
            ("csrf_token=hunter2".to_owned(), "hunter2"),
            ("X-Metrics-Token: hunter2".to_owned(), "hunter2"),
            (
                "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n".to_owned(),
                "hunter2",
            ),
        ] {
            let redacted = redactor().redact(&text).into_owned();
            assert!(!redacted.contains(secret), "{text} -> {redacted}");
            assert!(redacted.contains(GONE), "{text} -> {redacted}");
            assert_eq!(
                redactor().redact(&redacted),
                redacted,
                "once more changes nothing"
            );
        }
        assert_eq!(redactor().redact_field("refresh_token", "x"), GONE);
    }

    #[test]
    fn what_an_operator_needs_stays() {
        for text in [
            "hub started",
            "agent 0190b5a8-7c3e-7def-8123-456789abcdef is quiet: short",
            "http://127.0.0.1:8080/agents/0190b5a8-7c3e-7def-8123-456789abcdef?since=1",
            "MONSYS_TLS_CERT: /etc/monsys/cert.pem: No such file or directory (os error 2)",
            "postgres://db.example:5432/monsys",
            "2026-11-21T01:15:41.123456Z code=not_canonical status=400",
        ] {
            assert_eq!(redactor().redact(text), text);
        }
    }
}
