//! Numbers: the grammar of RFC 8259 §6 and the spelling of ECMAScript (RFC 8785 §3.2.2.3).
//!
//! Most numbers need no floating point at all. A decimal of at most 15 significant digits is the
//! shortest spelling of its double (DBL_DIG is 15), so without an exponent, a leading or trailing
//! zero too many it is canonical by its grammar. Everything else is parsed and printed again.
//!
//! [`shortest`] is the one place that knows how digits are found: a printer yields the shortest
//! digits that round-trip, nearest to the true value. Where two are equally near ECMAScript takes
//! the even one; [`settle_tie`] does not rely on the printer for that.

use core::fmt::{self, Write};

use super::decimal::{self, Nearest};
use super::error::JsonError;
use super::word;

/// A number token: where it ends, and whether its grammar proves it canonical.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) end: usize,
    /// Canonical, and below 10^15 in magnitude. If false, only the value can tell.
    pub(super) is_canonical: bool,
    /// The layout is canonical: a point, no exponent, no zero too many. With the shortest digits
    /// so is the token.
    pub(super) is_plain: bool,
}

/// Reads the number that begins at `start`.
#[inline(always)]
pub(super) fn scan(bytes: &[u8], start: usize) -> Result<Token, JsonError> {
    if let Some(pair) = word::load_pair(bytes, start)
        && let Some(token) = scan_short(bytes, pair, start)
    {
        return Ok(token);
    }
    scan_any(bytes, start)
}

/// Reads a canonical number without sign that ends within sixteen bytes; None for any other.
#[inline(always)]
fn scan_short(bytes: &[u8], [first, second]: [u64; 2], start: usize) -> Option<Token> {
    let marks = word::joined(
        word::other_than_digit_marks(first),
        word::other_than_digit_marks(second),
    );
    let int_end = word::first_mark_of_pair(marks);
    let is_below_one = word::byte_at(first, 0) == b'0';
    if !(1..16).contains(&int_end) || (is_below_one && int_end > 1) {
        return None;
    }
    let mut end = int_end;
    let mut follower = *bytes.get(start + int_end)?;
    if follower == b'.' {
        // The point is ASCII and made no carry: the next mark is true as well.
        end = word::first_mark_of_pair(marks & (marks - 1));
        let may_be_tiny = is_below_one && end > TINY_FRACTION.len() + 2;
        let last = *bytes.get(start + end - 1)?;
        if end > 15 || end == int_end + 1 || last == b'0' || may_be_tiny {
            return None;
        }
        follower = *bytes.get(start + end)?;
    }
    if follower | 0x20 == b'e' {
        return None;
    }
    Some(Token {
        end: start + end,
        is_canonical: true,
        is_plain: true,
    })
}

/// As [`scan`], for what is seldom short.
pub(super) fn scan_any(bytes: &[u8], start: usize) -> Result<Token, JsonError> {
    let is_negative = bytes.get(start) == Some(&b'-');
    let first = start + usize::from(is_negative);
    let int_end = skip_digits(bytes, first);
    let n_int = int_end - first;
    let is_below_one = bytes.get(first) == Some(&b'0');
    if n_int == 0 {
        return Err(JsonError::syntax(int_end));
    }
    if is_below_one && n_int > 1 {
        return Err(JsonError::syntax(first + 1));
    }
    match bytes.get(int_end) {
        Some(b'.') => scan_fraction(bytes, int_end + 1, n_int, is_below_one),
        Some(b'e' | b'E') => scan_exponent(bytes, int_end + 1),
        _ => {
            let is_minus_zero = is_below_one && is_negative;
            Ok(Token {
                end: int_end,
                is_canonical: n_int <= DIGITS_EXACT && !is_minus_zero,
                is_plain: false,
            })
        }
    }
}

/// Whether `start..end`, behind which no byte of a number stands, is a canonical number without
/// sign of up to sixteen bytes.
#[inline(always)]
pub(super) fn is_plain(bytes: &[u8], start: usize, end: usize) -> bool {
    let Some(chunk) = bytes.get(start..).and_then(|rest| rest.first_chunk::<16>()) else {
        return false;
    };
    let n_bytes = end.wrapping_sub(start);
    let Some([first, second]) = word::load_pair(chunk, 0) else {
        return false;
    };
    let others = word::joined(
        word::other_than_digit_marks(first),
        word::other_than_digit_marks(second),
    );
    let int_end = word::first_mark_of_pair(others);
    let is_below_one = chunk[0] == b'0';
    if int_end == n_bytes {
        return n_bytes < 16 && (n_bytes == 1 || !is_below_one);
    }
    let behind = others & others.wrapping_sub(1);
    if word::first_mark_of_pair(behind) != n_bytes {
        return false;
    }
    let last = chunk[n_bytes.wrapping_sub(1) & 15];
    let may_be_respelled = is_below_one && (int_end > 1 || n_bytes > TINY_FRACTION.len() + 2);
    // Neither a zero nor the point, which are the bytes below.
    chunk[int_end & 15] == b'.' && last > b'0' && !may_be_respelled
}

/// The integer without sign at `start` of canonical text and the index behind it, if it ends within
/// sixteen bytes; None for anything else.
#[inline(always)]
pub(super) fn short_integer(bytes: &[u8], start: usize) -> Option<(i64, usize)> {
    let [first, second] = word::load_pair(bytes, start)?;
    let marks = word::joined(
        word::other_than_digit_marks(first),
        word::other_than_digit_marks(second),
    );
    let n_digits = word::first_mark_of_pair(marks);
    let end = start + n_digits;
    // Behind an integer in canonical text stands one of these.
    if !(1..16).contains(&n_digits) || !matches!(bytes.get(end), Some(b',' | b'}' | b']')) {
        return None;
    }
    let value = decimal::digits_below_sixteen([first, second], n_digits);
    Some((i64::try_from(value).ok()?, end))
}

/// The index behind the number or word at `at` of canonical text, at least one byte further.
#[inline]
pub(super) fn skip_scalar(bytes: &[u8], at: usize) -> usize {
    let mut end = skip_digits(bytes, at + 1);
    while bytes
        .get(end)
        .is_some_and(|byte| !matches!(byte, b',' | b'}' | b']'))
    {
        end = skip_digits(bytes, end + 1);
    }
    end
}

/// The value of a token that [`scan`] accepted; infinite when it is beyond every double.
pub(super) fn value_of(token: &str) -> f64 {
    token.parse().unwrap_or(f64::INFINITY)
}

/// The value of a number in canonical text.
#[inline]
pub(super) fn value_of_canonical(token: &str) -> f64 {
    let is_plain = token.contains('.') && !token.contains('e');
    let token_of_value = Token {
        end: token.len(),
        is_canonical: true,
        is_plain,
    };
    nearest(token_of_value, token).value
}

/// The value of a token that [`scan`] accepted, and whether its digits are proved canonical.
#[inline(always)]
pub(super) fn nearest(token: Token, text: &str) -> Nearest {
    if token.is_plain {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_negative = digits.len() < text.len();
        let bytes = digits.as_bytes();
        if let Some(found) = decimal::nearest(bytes, skip_digits(bytes, 0)) {
            return Nearest {
                value: if is_negative {
                    -found.value
                } else {
                    found.value
                },
                ..found
            };
        }
    }
    Nearest {
        value: value_of(text),
        is_shortest: false,
    }
}

/// Whether the spelling of a token that [`scan`] accepted is canonical, given its value.
pub(super) fn is_canonical(token: Token, text: &str, value: f64) -> bool {
    if token.is_plain {
        let mut buffer = zmij::Buffer::new();
        if buffer.format_finite(value) == text {
            return true;
        }
    }
    print(value).as_str() == text
}

/// A number in its canonical spelling.
pub(super) struct NumberText {
    bytes: [u8; NUMBER_BYTES_MAX],
    len: usize,
}

/// Spells a finite number as ECMAScript does; minus zero is `0`.
pub(super) fn print(value: f64) -> NumberText {
    let mut out = NumberText::new();
    if value == 0.0 {
        out.push(b"0");
        return out;
    }
    if value.is_sign_negative() {
        out.push(b"-");
    }
    let mut digits = NumberText::new();
    let exponent = shortest(value.abs(), &mut digits);
    lay_out(digits.as_bytes(), exponent, &mut out);
    out
}

impl NumberText {
    const fn new() -> Self {
        Self {
            bytes: [0; NUMBER_BYTES_MAX],
            len: 0,
        }
    }

    /// Appends ASCII bytes; a piece that does not fit is left out, which no double can cause.
    fn push(&mut self, ascii: &[u8]) {
        if let Some(slot) = self.bytes.get_mut(self.len..self.len + ascii.len()) {
            slot.copy_from_slice(ascii);
            self.len += ascii.len();
        }
    }

    fn push_zeros(&mut self, n_zeros: usize) {
        for _ in 0..n_zeros {
            self.push(b"0");
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Write for NumberText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

fn scan_fraction(
    bytes: &[u8],
    start: usize,
    n_int: usize,
    is_below_one: bool,
) -> Result<Token, JsonError> {
    let end = skip_digits(bytes, start);
    let digits = bytes.get(start..end).unwrap_or_default();
    let Some(last) = digits.last() else {
        return Err(JsonError::syntax(end));
    };
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        return scan_exponent(bytes, end + 1);
    }
    let n_significant = if is_below_one {
        digits.len()
    } else {
        n_int + digits.len()
    };
    let is_tiny = is_below_one && digits.starts_with(TINY_FRACTION);
    let is_plain = *last != b'0' && !is_tiny;
    Ok(Token {
        end,
        is_canonical: is_plain && n_significant <= DIGITS_EXACT,
        is_plain,
    })
}

fn scan_exponent(bytes: &[u8], at: usize) -> Result<Token, JsonError> {
    let start = at + usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
    let end = skip_digits(bytes, start);
    if end == start {
        return Err(JsonError::syntax(end));
    }
    Ok(Token {
        end,
        is_canonical: false,
        is_plain: false,
    })
}

#[inline(always)]
fn skip_digits(bytes: &[u8], mut at: usize) -> usize {
    while let Some(loaded) = word::load(bytes, at) {
        match word::other_than_digit_marks(loaded) {
            0 => at += 8,
            marks => return at + word::first_mark(marks),
        }
    }
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// Writes the shortest digits of a positive finite number and returns the decimal exponent of the
/// first one: `123.4` is `1234` and 2.
fn shortest(value: f64, digits: &mut NumberText) -> i32 {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (int, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let written = match int {
        "0" => fraction.trim_start_matches('0'),
        _ => {
            digits.push(int.as_bytes());
            fraction
        }
    };
    digits.push(written.as_bytes());
    while digits.len > 1 && digits.as_bytes().last() == Some(&b'0') {
        digits.len -= 1;
    }
    let n_int = match int {
        "0" => 0,
        _ => i32::try_from(int.len()).unwrap_or_default(),
    };
    let n_zeros = i32::try_from(fraction.len() - written.len()).unwrap_or_default();
    let n_leading = if n_int == 0 { n_zeros } else { 0 };
    let exponent = exponent + n_int - 1 - n_leading;
    settle_tie(value, exponent, digits);
    exponent
}

/// Of two spellings equally near to the value, takes the one with the even last digit (ECMA-262
/// Number::toString note 2), unless that one belongs to the neighbouring double.
fn settle_tie(value: f64, exponent: i32, digits: &mut NumberText) {
    let n_digits = i32::try_from(digits.len).unwrap_or_default();
    let n_fraction_digits = n_digits - 1 - exponent;
    // The value lies half a unit of the last digit away from the digits exactly when it has one
    // bit more behind the binary point than they have digits behind the decimal point.
    if n_fraction_digits < 1 || n_fraction_bits(value) != n_fraction_digits + 1 {
        return;
    }
    let mut even = NumberText { ..*digits };
    match even.bytes.get_mut(digits.len.saturating_sub(1)) {
        Some(last) if *last % 2 == 1 => *last -= 1,
        _ => return,
    }
    let n_even_digits = even.len;
    // Cannot fail: the buffer takes what fits and never reports an error.
    let _ = write!(even, "e-{n_fraction_digits}");
    if value_of(even.as_str()) == value {
        *digits = NumberText {
            len: n_even_digits,
            ..even
        };
    }
}

/// How many bits a positive finite number has behind the binary point; none or fewer for integers.
pub(super) fn n_fraction_bits(value: f64) -> i32 {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let exponent = i32::try_from(bits >> 52).unwrap_or_default();
    let (mantissa, exponent) = match exponent {
        0 => (fraction, 1),
        _ => (fraction | 1 << 52, exponent),
    };
    1_075 - exponent - i32::try_from(mantissa.trailing_zeros()).unwrap_or_default()
}

/// ECMA-262 Number::toString steps 5 to 11, for the digits and the exponent of the first digit.
fn lay_out(digits: &[u8], exponent: i32, out: &mut NumberText) {
    if let Ok(leading_zeros) = usize::try_from(-1 - exponent)
        && leading_zeros < 6
    {
        out.push(b"0.");
        out.push_zeros(leading_zeros);
        out.push(digits);
        return;
    }
    match usize::try_from(exponent) {
        Ok(exponent) if exponent < 21 => lay_out_plain(digits, exponent + 1, out),
        _ => lay_out_scientific(digits, exponent, out),
    }
}

fn lay_out_plain(digits: &[u8], n_int: usize, out: &mut NumberText) {
    match digits.split_at_checked(n_int) {
        None => {
            out.push(digits);
            out.push_zeros(n_int - digits.len());
        }
        Some((int, [])) => out.push(int),
        Some((int, fraction)) => {
            out.push(int);
            out.push(b".");
            out.push(fraction);
        }
    }
}

fn lay_out_scientific(digits: &[u8], exponent: i32, out: &mut NumberText) {
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, &[]));
    out.push(first);
    if !rest.is_empty() {
        out.push(b".");
        out.push(rest);
    }
    let sign = if exponent < 0 { "-" } else { "+" };
    // Cannot fail: the buffer takes what fits and never reports an error.
    let _ = write!(out, "e{sign}{}", exponent.unsigned_abs());
}

/// Decimals of up to this many significant digits round-trip through a double (DBL_DIG).
const DIGITS_EXACT: usize = 15;

/// A fraction that begins so is below 10^-6, which ECMAScript prints with an exponent.
const TINY_FRACTION: &[u8] = b"000000";

/// Longest spelling: sign, `0.`, five zeros, 17 digits are 25 bytes.
const NUMBER_BYTES_MAX: usize = 32;
