//! The members behind the data, read from the end of the body.
//!
//! The data are nearly all of a body, and passing over them to see what follows costs as much as
//! reading them. In canonical text the members behind them are the last five, mostly spelled with no
//! escape, and can be read backwards without doubt. The text is a valid object, so its last byte
//! closes it. A quote that stands behind a comma or a colon is not escaped, and one behind which a
//! bare name or a bare value stands opens a string; so each suffix that matches is a member of the
//! outermost object, and so is the one before it.
//!
//! Whatever does not match is nobody's fault: the body is then walked from its beginning.
//!
//! Cost: the bytes of the five members.

/// The last five members of a body, and where the first of them begins.
pub(super) struct Tail<'a> {
    /// The comma before `epoch`.
    pub(super) start: usize,
    pub(super) epoch: i64,
    pub(super) sent_at: &'a str,
    /// From the comma before `sent_at` to behind its value.
    pub(super) sent_at_range: (usize, usize),
    pub(super) seq: i64,
    pub(super) kind: &'a str,
    pub(super) version: i64,
}

impl<'a> Tail<'a> {
    /// Reads the end of the canonical text of an object.
    pub(super) fn read(object: &'a str) -> Option<Self> {
        let text = object.strip_suffix('}')?;
        let (text, version) = integer(text, r#","v":"#)?;
        let (text, kind) = plain_text(text, r#","type":"#)?;
        let (text, seq) = integer(text, r#","seq":"#)?;
        let sent_at_end = text.len();
        let (text, sent_at) = plain_text(text, r#","sent_at":"#)?;
        let sent_at_range = (text.len(), sent_at_end);
        let (text, epoch) = integer(text, r#","epoch":"#)?;
        Some(Self {
            start: text.len(),
            epoch,
            sent_at,
            sent_at_range,
            seq,
            kind,
            version,
        })
    }
}

/// What stands before the last member, and its value: digits alone.
fn integer<'a>(text: &'a str, name: &str) -> Option<(&'a str, i64)> {
    let before = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let value = text.get(before.len()..)?.parse().ok()?;
    Some((before.strip_suffix(name)?, value))
}

/// What stands before the last member, and its value: a string without escapes.
fn plain_text<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let (before, value) = text.strip_suffix('"')?.rsplit_once('"')?;
    if value.contains('\\') {
        return None;
    }
    Some((before.strip_suffix(name)?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = r#","epoch":3,"sent_at":"2026","seq":17,"type":"metrics","v":1}"#;

    #[test]
    fn five_members_are_read_backwards() {
        let text = alloc::format!("{{\"data\":{{}}{TAIL}");
        let Some(tail) = Tail::read(&text) else {
            panic!("expected a tail")
        };
        assert_eq!(
            (tail.epoch, tail.seq, tail.version, tail.kind, tail.sent_at),
            (3, 17, 1, "metrics", "2026")
        );
        assert_eq!(&text[..tail.start], r#"{"data":{}"#);
        let (start, end) = tail.sent_at_range;
        assert_eq!(&text[start..end], r#","sent_at":"2026""#);
    }

    /// Each looks like a tail and is none, or one that the walk must judge.
    #[test]
    fn what_only_looks_like_a_tail_is_left_to_the_walk() {
        for (from, to) in [
            ("\"v\":1", "\"v\":-1"),
            ("\"v\":1", "\"v\":1.5"),
            ("\"v\":1", "\"v\":\"1\""),
            ("\"v\":1", "\"v\":99999999999999999999"),
            ("\"v\":1", "\"w\":1"),
            (",\"v\":1", ""),
            ("\"metrics\"", "\"met\\nrics\""),
            ("\"metrics\"", "\"metrics\\\"\""),
            ("\"2026\"", "null"),
            ("\"seq\"", "\"sep\""),
            (",\"epoch\":3", ""),
            ("\"epoch\"", "\"x\\\"epoch\""),
        ] {
            assert!(TAIL.contains(from), "{from}");
            let text = alloc::format!("{{\"data\":{{}}{}", TAIL.replacen(from, to, 1));
            assert!(Tail::read(&text).is_none(), "{text}");
        }
    }
}
