//! Names that are checked once and carried as types.
//!
//! What: the forms of contract §6 as hand-written scanners, no regular-expression engine. What
//! not: which names are allowed where; that is the catalogue's business. Cost: one pass over the
//! bytes; owning one costs one allocation.

use alloc::string::String;
use core::fmt;

use thiserror::Error;

use crate::limit;

/// Says which rule a name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not lower-case words joined by single underscores, 1 to 64 bytes.
    #[error("expected lower-case words joined by single underscores, 1 to 64 bytes")]
    SnakeCase,
    /// Not two or more lower-case segments joined by dots, at most 128 bytes.
    #[error("expected two or more lower-case segments joined by dots, at most 128 bytes")]
    DottedKey,
    /// Empty, too long, or with control characters.
    #[error("expected 1 to {max} bytes without control characters")]
    Line {
        /// The most bytes allowed.
        max: usize,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// The [`NameError`] that names the broken rule.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text)?;
                Ok(Self(String::from(text)))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// Who found it: `cert_scan`, `integrity_check`.
    Source, check_snake
}
name! {
    /// What it is about: `agent`, `endpoint`, `domain`.
    SubjectType, check_snake
}
name! {
    /// What was looked at: `cert.expiry_days`.
    SignalKey, check_key
}
name! {
    /// Which one: an agent's identifier, a host name.
    SubjectId, |text| check_line(text, limit::SUBJECT_ID_BYTES_MAX)
}
name! {
    /// What people call an agent or an organisation.
    DisplayName, |text| check_line(text, limit::DISPLAY_NAME_BYTES_MAX)
}
name! {
    /// The version an agent says it has, as sent.
    AgentVersion, |text| check_line(text, limit::AGENT_VERSION_BYTES_MAX)
}

/// Tells whether the bytes are lower-case words joined by single underscores:
/// `^[a-z][a-z0-9]*(_[a-z0-9]+)*$`, 1 to 64 bytes.
pub fn is_snake_case(text: &str) -> bool {
    text.len() <= limit::SIGNAL_NAME_BYTES_MAX && starts_with_letter(text) && is_segment(text)
}

/// Tells whether the text may name an organisation or device in the hmac profile:
/// `[A-Za-z0-9._-]{1,64}`.
pub fn is_device_word(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=limit::DEVICE_WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Tells whether the text is a dotted key of two or more segments, at most 128 bytes:
/// `^[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z0-9]+(_[a-z0-9]+)*)+$`.
pub fn is_dotted_key(text: &str) -> bool {
    text.len() <= limit::SIGNAL_KEY_BYTES_MAX
        && text.contains('.')
        && starts_with_letter(text)
        && text.split('.').all(is_segment)
}

/// Tells whether the text is 1 to `bytes_max` bytes long and free of control characters (C0, DEL
/// and C1).
pub fn is_line(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && !has_control(text)
}

fn has_control(text: &str) -> bool {
    if text.is_ascii() {
        text.bytes().any(|b| b.is_ascii_control())
    } else {
        text.chars().any(char::is_control)
    }
}

fn starts_with_letter(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
}

fn is_segment(text: &str) -> bool {
    let mut last = b'_';
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !is_plain && (byte != b'_' || last == b'_') {
            return false;
        }
        last = byte;
    }
    last != b'_'
}

fn check_snake(text: &str) -> Result<(), NameError> {
    if is_snake_case(text) {
        Ok(())
    } else {
        Err(NameError::SnakeCase)
    }
}

fn check_key(text: &str) -> Result<(), NameError> {
    if is_dotted_key(text) {
        Ok(())
    } else {
        Err(NameError::DottedKey)
    }
}

fn check_line(text: &str, max: usize) -> Result<(), NameError> {
    if is_line(text, max) {
        Ok(())
    } else {
        Err(NameError::Line { max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_follows_row_s1() {
        for good in ["cert_scan", "dns_check", "a1", "a", &"a".repeat(64)] {
            assert!(is_snake_case(good), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "", "Cert", "1a", "_a", "a_", "a__b", "a-b", "a.b", "é", "a\n", "a ", &long,
        ] {
            assert!(!is_snake_case(bad), "{bad}");
        }
    }

    #[test]
    fn dotted_keys_follow_row_s3() {
        let longest = alloc::format!("a.{}", "b".repeat(126));
        for good in [
            "cert.expiry_days",
            "dns.dmarc_present",
            "tls.1_2",
            "a.b.c",
            &longest,
        ] {
            assert!(is_dotted_key(good), "{good}");
        }
        let long = alloc::format!("a.{}", "b".repeat(127));
        for bad in [
            "", "cert", "a..b", ".a", "a.", "A.b", "1a.b", "a._b", "a.b\n", "a. b", &long,
        ] {
            assert!(!is_dotted_key(bad), "{bad}");
        }
    }

    #[test]
    fn lines_have_no_control_characters() {
        assert!(is_line("shop.example:443", 256));
        for bad in ["", "a\n", "a\u{0}", "\u{7f}", "\u{85}"] {
            assert!(!is_line(bad, 256), "{bad:?}");
        }
        assert!(!is_line("abc", 2));
    }
}
