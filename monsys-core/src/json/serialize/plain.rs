//! Texts in memory, eight bytes at a time: whether they need an escape, how they sort, and a copy.
//!
//! The scans of received text read past the end of a name into what follows it. A text in memory
//! has nothing behind it, so its last word overlaps the one before, and is written over it.

use alloc::vec::Vec;

use super::super::word;

/// Appends a text that stands for itself between quotes: no quote, backslash or control character.
/// The answer is its first seven bytes as [`name::key`](super::super::name::key) has them; None,
/// and nothing is appended, if the text needs an escape.
#[inline(always)]
pub(super) fn push(text: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) if text.len() <= 16 => {
            let marks = word::string_marks(u64::from_le_bytes(*first))
                | word::string_marks(u64::from_le_bytes(*last));
            if marks != 0 {
                return None;
            }
            let last_start = out.len() + text.len() - 8;
            out.extend_from_slice(first);
            out.truncate(last_start);
            out.extend_from_slice(last);
            Some(key_of(*first))
        }
        (Some(first), Some(last)) => push_long(text, last, out).then_some(key_of(*first)),
        _ => push_below_eight(text, out),
    }
}

/// The key of a text of eight bytes or more.
#[inline(always)]
const fn key_of(first: [u8; 8]) -> u64 {
    u64::from_be_bytes(first) & !0xFF
}

#[inline(always)]
fn push_below_eight(text: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let both =
            u64::from(u32::from_le_bytes(*first)) | (u64::from(u32::from_le_bytes(*last)) << 32);
        if word::string_marks(both) != 0 {
            return None;
        }
        let last_start = out.len() + text.len() - 4;
        out.extend_from_slice(first);
        out.truncate(last_start);
        out.extend_from_slice(last);
        let last = u64::from(u32::from_be_bytes(*last)) << (8 * (8 - text.len()));
        return Some((u64::from(u32::from_be_bytes(*first)) << 32) | last);
    }
    let mut key = 0;
    for byte in text.iter().rev() {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            return None;
        }
        key = (key >> 8) | (u64::from(*byte) << 56);
    }
    for byte in text {
        out.push(*byte);
    }
    Some(key)
}

/// Appends a text of more than sixteen bytes, whose last ones are `last`.
#[inline]
fn push_long(text: &[u8], last: &[u8; 8], out: &mut Vec<u8>) -> bool {
    let (words, _) = text.as_chunks::<8>();
    let marks = words.iter().chain([last]).fold(0, |marks, word| {
        marks | word::string_marks(u64::from_le_bytes(*word))
    });
    if marks == 0 {
        out.extend_from_slice(text);
    }
    marks == 0
}

#[cfg(test)]
mod tests {
    use super::super::super::name;
    use super::*;

    /// Each byte in each place of texts of each length up to six words.
    #[test]
    fn a_text_is_appended_when_a_plain_scan_finds_no_escape() {
        for length in 0..50 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text: Vec<u8> = (b'a'..b'a' + length).collect();
                    text[usize::from(place)] = byte;
                    let mut out = alloc::vec![b'{'];
                    let is_plain = !matches!(byte, b'"' | b'\\' | 0..0x20);
                    assert_eq!(push(&text, &mut out).is_some(), is_plain, "{text:?}");
                    let expected: &[u8] = if is_plain { &text } else { &[] };
                    assert_eq!(out, [b"{", expected].concat());
                }
            }
        }
        assert_eq!(push(b"", &mut Vec::new()), Some(0));
    }

    #[test]
    fn keys_are_those_of_received_names() {
        for length in 0..20_u8 {
            let text: Vec<u8> = (0..length).map(|n| b'a' + n).collect();
            let received = [&text, "\":1234567".as_bytes()].concat();
            let expected = name::key(&received, 0, text.len(), false);
            assert_eq!(push(&text, &mut Vec::new()), Some(expected), "{length}");
        }
    }
}
