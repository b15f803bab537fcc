//! The alphabet of tokens and nonces: RFC 4648 §5 without padding.

/// The characters of `bytes`.
pub(crate) fn characters(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.chunks(3).flat_map(|chunk| {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let n_characters = chunk.len() + 1;
        let word = word << (8 * (3 - chunk.len()));
        [18, 12, 6, 0]
            .into_iter()
            .take(n_characters)
            .map(move |shift| {
                let index = usize::try_from(word >> shift & 63).unwrap_or_default();
                // Cannot be None: six bits index 64 letters.
                ALPHABET.get(index).copied().unwrap_or(b'A')
            })
    })
}

/// Whether a byte is one of the 64.
pub(crate) const fn is_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
