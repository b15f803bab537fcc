//! Strings: finding their end, resolving escapes, writing the canonical spelling.
//!
//! The canonical spelling (RFC 8785 §3.2.2.2) escapes only the quote, the backslash and the control
//! characters below U+0020, with the two-character forms where they exist and lower-case hex.

use alloc::borrow::Cow;
use alloc::string::String;
use core::str::Chars;

use super::error::{JsonCode, JsonError};
use super::{name, word};

/// A string token in canonical spelling.
#[derive(Clone, Copy)]
pub(super) struct Token {
    /// The index behind the closing quote.
    pub(super) end: usize,
    pub(super) has_escape: bool,
}

/// A member name in canonical spelling, its first bytes as a key.
#[derive(Clone, Copy)]
pub(super) struct NameToken {
    /// The index behind the closing quote.
    pub(super) end: usize,
    pub(super) key: u64,
}

impl Token {
    /// The same token as a name that begins at `start` of canonical text.
    pub(super) fn named(self, bytes: &[u8], start: usize) -> NameToken {
        NameToken {
            end: self.end,
            key: name::key(bytes, start + 1, self.end - 1, self.has_escape),
        }
    }
}

/// Reads the canonical string whose opening quote is at `start`.
#[inline(always)]
pub(super) fn check(bytes: &[u8], start: usize) -> Result<Token, JsonError> {
    let at = scan_plain(bytes, start + 1);
    if bytes.get(at) == Some(&b'"') {
        return Ok(Token {
            end: at + 1,
            has_escape: false,
        });
    }
    check_interrupted(bytes, at)
}

/// Reads the canonical name whose opening quote is at `start`.
#[inline(always)]
pub(super) fn check_name(bytes: &[u8], start: usize) -> Result<NameToken, JsonError> {
    match plain_name(bytes, start) {
        Some(token) => Ok(token),
        None => Ok(check(bytes, start)?.named(bytes, start)),
    }
}

/// Reads the name whose opening quote is at `start`, if it is short, has no escape and is not near
/// the end of the text.
#[inline(always)]
pub(super) fn plain_name(bytes: &[u8], start: usize) -> Option<NameToken> {
    let inner = start + 1;
    let [first, second] = word::load_pair(bytes, inner)?;
    let first_marks = word::name_marks(first);
    let marks = word::joined(first_marks, word::name_marks(second));
    let n_plain = word::first_mark_of_pair(marks);
    if bytes.get(inner + n_plain) != Some(&b'"') {
        return None;
    }
    Some(NameToken {
        end: inner + n_plain + 1,
        key: word::sort_key(first, first_marks),
    })
}

/// The rest of a canonical string from a byte that may end it, or be an escape.
#[inline(never)]
pub(super) fn check_interrupted(bytes: &[u8], mut at: usize) -> Result<Token, JsonError> {
    let mut has_escape = false;
    loop {
        match bytes.get(at) {
            Some(b'"') => {
                return Ok(Token {
                    end: at + 1,
                    has_escape,
                });
            }
            Some(b'\\') => {
                at = check_escape(bytes, at)?;
                has_escape = true;
            }
            _ => return Err(JsonError::syntax(at)),
        }
        at = scan_plain(bytes, at);
    }
}

/// The index behind the escape at `at`, which must be canonical.
#[inline(always)]
fn check_escape(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    // The short forms are canonical wherever they stand.
    if let Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') = bytes.get(at + 1) {
        return Ok(at + 2);
    }
    let escape = read_escape(bytes, at)?;
    if escape.is_canonical(bytes, at) {
        Ok(at + escape.n_bytes)
    } else {
        Err(JsonError::new(JsonCode::NotCanonical, at))
    }
}

/// Reads the string whose opening quote is at `start`, and brings it into canonical spelling:
/// `replace` is told of each escape that is not, by its range and character.
#[inline(always)]
pub(super) fn read(
    bytes: &[u8],
    start: usize,
    mut replace: impl FnMut(usize, usize, char),
) -> Result<Token, JsonError> {
    let mut at = start + 1;
    let mut has_escape = false;
    loop {
        at = scan_plain(bytes, at);
        match bytes.get(at) {
            Some(b'"') => {
                return Ok(Token {
                    end: at + 1,
                    has_escape,
                });
            }
            Some(b'\\') => {
                let escape = read_escape(bytes, at)?;
                let end = at + escape.n_bytes;
                has_escape |= is_escaped(escape.character);
                if !escape.is_canonical(bytes, at) {
                    replace(at, end, escape.character);
                }
                at = end;
            }
            _ => return Err(JsonError::syntax(at)),
        }
    }
}

/// Appends a string in canonical spelling, quotes included.
pub(super) fn push(text: &str, out: &mut String) {
    out.push('"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    loop {
        let at = scan_plain(bytes, copied);
        out.push_str(text.get(copied..at).unwrap_or_default());
        let Some(byte) = bytes.get(at) else { break };
        push_character(char::from(*byte), out);
        copied = at + 1;
    }
    out.push('"');
}

/// As [`skip`], quicker where the string ends within sixteen bytes.
#[inline(always)]
pub(super) fn skip_short(bytes: &[u8], start: usize) -> Token {
    match plain_name(bytes, start) {
        Some(NameToken { end, .. }) => Token {
            end,
            has_escape: false,
        },
        None => skip(bytes, start),
    }
}

/// The index behind the closing quote of a well-formed string; for canonical text, where the only
/// escapes are of two or six bytes and neither holds a quote behind its second byte.
#[inline]
pub(super) fn skip(bytes: &[u8], start: usize) -> Token {
    let mut at = start + 1;
    let mut has_escape = false;
    loop {
        at = scan_plain(bytes, at);
        match bytes.get(at) {
            Some(b'\\') => {
                has_escape = true;
                at += 2;
            }
            _ => {
                return Token {
                    end: at + 1,
                    has_escape,
                };
            }
        }
    }
}

/// What a string spells, given the text between its quotes.
pub(super) fn decode(raw: &str, has_escape: bool) -> Cow<'_, str> {
    if has_escape {
        Cow::Owned(Decoded::new(raw).collect())
    } else {
        Cow::Borrowed(raw)
    }
}

/// The characters that the text between the quotes of a well-formed string spells.
pub(super) struct Decoded<'a> {
    raw: Chars<'a>,
}

impl<'a> Decoded<'a> {
    pub(super) fn new(raw: &'a str) -> Self {
        Self { raw: raw.chars() }
    }
}

impl Iterator for Decoded<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let rest = self.raw.as_str();
        let plain = self.raw.next()?;
        if plain != '\\' {
            return Some(plain);
        }
        let escape = read_escape(rest.as_bytes(), 0).ok()?;
        self.raw = rest.get(escape.n_bytes..)?.chars();
        Some(escape.character)
    }
}

/// An escape sequence as received.
struct Escape {
    character: char,
    n_bytes: usize,
}

impl Escape {
    /// Whether the bytes at `at` are the canonical spelling of the character.
    fn is_canonical(&self, bytes: &[u8], at: usize) -> bool {
        let received = bytes.get(at..at + self.n_bytes).unwrap_or_default();
        match (canonical_escape(self.character), received) {
            (CanonicalEscape::None, _) => false,
            (CanonicalEscape::Short(letter), [_, found]) => *found == letter,
            (CanonicalEscape::Unicode([high, low]), [_, b'u', b'0', b'0', h, l]) => {
                (*h, *l) == (high, low)
            }
            (CanonicalEscape::Short(_) | CanonicalEscape::Unicode(_), _) => false,
        }
    }
}

/// How the canonical spelling writes a character.
enum CanonicalEscape {
    /// As itself.
    None,
    /// Backslash and this letter.
    Short(u8),
    /// `\u00` and these two digits.
    Unicode([u8; 2]),
}

fn canonical_escape(character: char) -> CanonicalEscape {
    match character {
        '"' => CanonicalEscape::Short(b'"'),
        '\\' => CanonicalEscape::Short(b'\\'),
        '\u{8}' => CanonicalEscape::Short(b'b'),
        '\t' => CanonicalEscape::Short(b't'),
        '\n' => CanonicalEscape::Short(b'n'),
        '\u{C}' => CanonicalEscape::Short(b'f'),
        '\r' => CanonicalEscape::Short(b'r'),
        '\0'..='\u{1F}' => {
            let code = u32::from(character);
            let high = if code < 0x10 { b'0' } else { b'1' };
            CanonicalEscape::Unicode([high, low_digit(code)])
        }
        _ => CanonicalEscape::None,
    }
}

fn low_digit(code: u32) -> u8 {
    // Cannot be None: a remainder of 16 is a hexadecimal digit, and digits are ASCII.
    char::from_digit(code % 16, 16)
        .and_then(|digit| u8::try_from(digit).ok())
        .unwrap_or(b'0')
}

/// Appends one character in canonical spelling.
pub(super) fn push_character(character: char, out: &mut String) {
    match canonical_escape(character) {
        CanonicalEscape::None => {
            out.push(character);
        }
        CanonicalEscape::Short(letter) => {
            out.push('\\');
            out.push(char::from(letter));
        }
        CanonicalEscape::Unicode([high, low]) => {
            out.push_str("\\u00");
            out.push(char::from(high));
            out.push(char::from(low));
        }
    }
}

/// Whether the canonical spelling of a character takes an escape.
const fn is_escaped(character: char) -> bool {
    matches!(character, '"' | '\\' | '\0'..='\u{1F}')
}

/// Reads the escape sequence whose backslash is at `at`.
fn read_escape(bytes: &[u8], at: usize) -> Result<Escape, JsonError> {
    let character = match bytes.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{C}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return read_unicode_escape(bytes, at),
        _ => return Err(JsonError::syntax((at + 1).min(bytes.len()))),
    };
    Ok(Escape {
        character,
        n_bytes: 2,
    })
}

fn read_unicode_escape(bytes: &[u8], at: usize) -> Result<Escape, JsonError> {
    let lone = JsonError::new(JsonCode::LoneSurrogate, at);
    let first = read_hex(bytes, at + 2)?;
    if let Some(character) = char::from_u32(first) {
        return Ok(Escape {
            character,
            n_bytes: 6,
        });
    }
    let is_followed = bytes.get(at + 6) == Some(&b'\\') && bytes.get(at + 7) == Some(&b'u');
    if first >= SURROGATE_LOW || !is_followed {
        return Err(lone);
    }
    let second = read_hex(bytes, at + 8)?;
    if !(SURROGATE_LOW..SURROGATE_END).contains(&second) {
        return Err(lone);
    }
    let code = 0x1_0000 + ((first - SURROGATE_HIGH) << 10) + (second - SURROGATE_LOW);
    char::from_u32(code)
        .map(|character| Escape {
            character,
            n_bytes: 12,
        })
        .ok_or(lone)
}

fn read_hex(bytes: &[u8], start: usize) -> Result<u32, JsonError> {
    let mut code = 0;
    for at in start..start + 4 {
        let digit = bytes
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16));
        code = code * 16 + digit.ok_or_else(|| JsonError::syntax(at.min(bytes.len())))?;
    }
    Ok(code)
}

/// The index of the first backslash from `at`, or the length.
pub(super) fn find_backslash(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    // Whole blocks without a backslash are passed over in a form that compilers vectorise.
    let n_blocks = rest
        .chunks_exact(BLOCK_BYTES)
        .take_while(|block| block.iter().fold(0, |n, byte| n + u8::from(*byte == b'\\')) == 0)
        .count();
    let start = (at + n_blocks * BLOCK_BYTES).min(bytes.len());
    let tail = bytes.get(start..).unwrap_or_default();
    start
        + tail
            .iter()
            .position(|byte| *byte == b'\\')
            .unwrap_or(tail.len())
}

/// The index of the first byte from `at` that ends or interrupts a string: quote, backslash,
/// control character. Sixteen bytes at a time.
#[inline(always)]
fn scan_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some([first, second]) = word::load_pair(bytes, at) {
        match word::joined(word::string_marks(first), word::string_marks(second)) {
            0 => at += 16,
            marks => return at + word::first_mark_of_pair(marks),
        }
    }
    while bytes
        .get(at)
        .is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
    {
        at += 1;
    }
    at
}

const BLOCK_BYTES: usize = 64;
const SURROGATE_HIGH: u32 = 0xD800;
const SURROGATE_LOW: u32 = 0xDC00;
const SURROGATE_END: u32 = 0xE000;
