//! Lower-case hexadecimal, the only spelling of keys and signatures on the wire.

use zeroize::Zeroizing;

/// Reads exactly `2 * N` lower-case digits.
///
/// All are looked at whatever they are, without a branch for any: which digits a signature has is
/// what a processor guesses wrong.
pub(crate) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    let mut is_hex = text.len() == 2 * N;
    for (bytes, digits) in out.chunks_mut(16).zip(text.chunks(32)) {
        let mut nibbles = [0; 32];
        for (nibble, digit) in nibbles.iter_mut().zip(digits) {
            let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
            let (is_number, is_letter) = (number < 10, letter < 6);
            *nibble = if is_number {
                number
            } else {
                letter.wrapping_add(10)
            };
            is_hex &= is_number | is_letter;
        }
        let (pairs, _) = nibbles.as_chunks::<2>();
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = high << 4 | low & 0xF;
        }
    }
    is_hex.then_some(out)
}

/// Reads a secret of exactly 64 lower-case digits, and leaves no copy of it behind.
pub(crate) fn decode_secret(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(secret)
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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn every_byte_in_every_place_is_read_or_refused() {
        let good: Vec<u8> = (0..64).map(|n| b"0123456789abcdef"[n * 7 % 16]).collect();
        for place in 0..64 {
            for byte in 0..=u8::MAX {
                let mut text = good.clone();
                text[place] = byte;
                let plain = decode_secret(&text).map(|secret| *secret);
                assert_eq!(decode::<32>(&text), plain, "{text:?}");
                assert_eq!(plain.is_some(), digit(byte).is_some());
            }
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        for length in (0..200).filter(|length| *length != 64) {
            let text: Vec<u8> = core::iter::repeat_n(b'a', length).collect();
            assert_eq!(decode::<32>(&text), None, "{length}");
            assert!(decode_secret(&text).is_none(), "{length}");
        }
        assert_eq!(decode::<3>(b"00ff1a"), Some([0, 255, 26]));
        assert_eq!(decode::<0>(b""), Some([]));
    }
}
