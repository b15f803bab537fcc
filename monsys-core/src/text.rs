//! Text hygiene: what foreign text must lose before it is stored or shown.
//!
//! Two different things (glossary): *sanitise* makes text safe (control and bidirectional
//! characters out, length bounded), *redact* replaces personal data (e-mail-like words). What not:
//! escaping for HTML or JSON; that belongs to the writer of each. Cost: linear, one allocation.

mod short;

use alloc::string::String;

pub use self::short::ShortText;

/// What stands in for a word that looks like an e-mail address.
pub const REDACTED_EMAIL: &str = "[redacted-email]";

/// Strips control and bidirectional characters, redacts e-mail-like words, and cuts to
/// `chars_max` characters (endpoint document, Privacy Model).
///
/// The result is a fixed point: cleaning it again changes nothing.
///
/// ```
/// use monsys_core::text::clean;
/// assert_eq!(clean("disk\n of bob@example.org", 40), "disk of [redacted-email]");
/// ```
pub fn clean(text: &str, chars_max: usize) -> String {
    if is_clean(text, chars_max) {
        return String::from(text);
    }
    clean_any(text, chars_max)
}

/// As [`clean`], for names that are kept by the dozen.
pub fn clean_short(text: &str, chars_max: usize) -> ShortText {
    if is_clean(text, chars_max) {
        return ShortText::from(text);
    }
    ShortText::from(clean_any(text, chars_max))
}

/// What devices are mostly called: nothing to strip, no address, short enough.
fn is_clean(text: &str, chars_max: usize) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'@';
    text.len() <= chars_max && text.bytes().all(is_plain)
}

fn clean_any(text: &str, chars_max: usize) -> String {
    let mut current = redact(&sanitise(text));
    loop {
        let cut: String = current.chars().take(chars_max).collect();
        let again = redact(&cut);
        if again == cut {
            return cut;
        }
        current = again;
    }
}

/// Removes C0, DEL, C1 and bidirectional control characters.
pub fn sanitise(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !is_bidi_control(*c))
        .collect()
}

/// Replaces every word in which an `@` stands between two non-empty parts, the latter with a dot.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(is_boundary) {
        let (word, rest) = match piece.char_indices().next_back() {
            Some((at, c)) if is_boundary(c) => piece.split_at(at),
            _ => (piece, ""),
        };
        out.push_str(if is_email_like(word) {
            REDACTED_EMAIL
        } else {
            word
        });
        out.push_str(rest);
    }
    out
}

fn is_boundary(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '<' | '>' | '(' | ')' | '[' | ']' | '"' | '\'' | ',' | ';' | ':' | '/' | '='
        )
}

fn is_email_like(word: &str) -> bool {
    // Of several at signs any may be the one of an address: `@a@b.example` hides it behind another.
    let mut parts = word.split('@');
    let mut has_local = parts.next().is_some_and(|local| !local.is_empty());
    parts.any(|domain| {
        let n_labels = domain.split('.').filter(|label| !label.is_empty()).count();
        let is_address = has_local && n_labels >= 2;
        has_local = true;
        is_address
    })
}

const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p2_addresses_are_redacted_inside_other_text() {
        assert_eq!(
            clean("/home/bob@example.org/x", 99),
            "/home/[redacted-email]/x"
        );
        assert_eq!(
            clean("mailto:<a.b+c@d.example.com>", 99),
            "mailto:<[redacted-email]>"
        );
        for hidden in [
            "@a@b.example",
            "a@b.example@",
            "a@@b.example",
            "@@b.example",
        ] {
            assert_eq!(clean(hidden, 99), REDACTED_EMAIL, "{hidden}");
        }
        for other in ["eth0@if5", "@b.example", "a@b", "a@.b"] {
            assert_eq!(clean(other, 99), other);
        }
    }

    #[test]
    fn p2_control_and_bidi_characters_are_stripped() {
        assert_eq!(clean("a\u{0}b\u{1b}[1m\u{202e}c\u{85}", 99), "ab[1mc");
    }

    proptest! {
        #[test]
        fn p2_clean_is_a_fixed_point_bounded_and_without_addresses_and_controls(text in "\\PC{0,40}|[a-z@. \\n]{0,60}", max in 0_usize..40) {
            let once = clean(&text, max);
            prop_assert_eq!(&clean(&once, max), &once);
            prop_assert_eq!(&clean_any(&text, max), &once);
            prop_assert!(once.chars().count() <= max);
            prop_assert!(!once.chars().any(|c| c.is_control() || is_bidi_control(c)));
            // Told apart from the code under test: a letter, an at sign, letters, a dot, a letter.
            let is_letter = |c: char| c.is_ascii_lowercase();
            for (at, _) in once.match_indices('@') {
                let (left, right) = (&once[..at], &once[at + 1..]);
                let domain = right.trim_start_matches(is_letter);
                let has_domain = domain.len() < right.len() && domain.starts_with('.');
                let has_label = domain.get(1..).is_some_and(|rest| rest.starts_with(is_letter));
                prop_assert!(!(left.ends_with(is_letter) && has_domain && has_label), "{}", once);
            }
        }
    }
}
