//! Lower-case hexadecimal, the only spelling of keys and signatures on the wire.

use zeroize::Zeroizing;

/// Reads exactly `2 * N` lower-case digits.
pub(crate) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

/// The digits of `bytes`, two for each.
pub(crate) fn digits(bytes: &[u8]) -> impl Iterator<Item = char> {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xF])
        .map(|nibble| {
            // Cannot be None: a nibble is a hexadecimal digit.
            char::from_digit(u32::from(nibble), 16).unwrap_or('0')
        })
}

/// The digits of a secret, in a buffer that is wiped.
pub(crate) fn secret_digits(secret: &Zeroizing<[u8; 32]>) -> Zeroizing<[u8; 64]> {
    let mut text = Zeroizing::new([b'0'; 64]);
    for (slot, digit) in text.iter_mut().zip(digits(secret.as_slice())) {
        // Cannot fail: hexadecimal digits are ASCII.
        *slot = u8::try_from(digit).unwrap_or(b'0');
    }
    text
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
