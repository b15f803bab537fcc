//! Where tokens end, found ahead of the pass that reads them.
//!
//! A pass that finds the end of each token in its bytes waits for each: load, compare, find the
//! first, add, load the next. Here 64 bytes at a time are compared without waiting, in a form that
//! compilers vectorise, and leave a bit a byte; the ends of the tokens that follow are then the
//! lowest bits of a number. It took a fifth off the check of a payload.

/// A bit for each byte of a stretch of text that may end a token: quote, backslash, control
/// character, comma, closing bracket or brace, and `|`, which costs one comparison less than to
/// tell it apart.
///
/// Callers look at the byte itself before they believe a mark.
pub(super) struct Marks {
    /// Where the stretch begins.
    base: usize,
    bits: [u8; BITS_BYTES],
}

impl Marks {
    /// How many bytes a call of [`Self::from`] sees at least.
    pub(super) const SEEN_BYTES: usize = 57;

    /// Those of an empty stretch: the first call of [`Self::from`] looks at the text.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self {
            base: usize::MAX / 2,
            bits: [0; BITS_BYTES],
        }
    }

    /// The marks from `at`: those of [`Self::SEEN_BYTES`] at least, no false ones behind them.
    /// `at` must not lie before that of an earlier call.
    #[inline(always)]
    pub(super) fn from(&mut self, bytes: &[u8], at: usize) -> Ahead {
        let bits = match self.loaded(at) {
            Some(bits) => bits,
            None => self.refilled(bytes, at),
        };
        Ahead { from: at, bits }
    }

    #[inline(always)]
    fn loaded(&self, at: usize) -> Option<u64> {
        let offset = at.wrapping_sub(self.base);
        let start = offset >> 3;
        if start > BITS_BYTES - 8 {
            return None;
        }
        let word = self.bits.get(start..start + 8)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*word) >> (offset & 7))
    }

    #[inline(never)]
    fn refilled(&mut self, bytes: &[u8], at: usize) -> u64 {
        self.fill(bytes, at);
        self.loaded(at).unwrap_or_default()
    }

    #[inline(never)]
    fn fill(&mut self, bytes: &[u8], base: usize) {
        self.base = base;
        let (blocks, tail) = bytes
            .get(base..)
            .unwrap_or_default()
            .as_chunks::<BLOCK_BYTES>();
        let (words, _) = self.bits.as_chunks_mut::<8>();
        for (word, block) in words.iter_mut().zip(blocks) {
            *word = block_marks(block);
        }
        if let Some(word) = words.get_mut(blocks.len()) {
            // Zeros are control characters: the end of the text is marked, so that it does not
            // matter what the words behind hold.
            let mut padded = [0; BLOCK_BYTES];
            for (slot, byte) in padded.iter_mut().zip(tail) {
                *slot = *byte;
            }
            *word = block_marks(&padded);
        }
    }
}

/// The next marks, in order.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    from: usize,
    bits: u64,
}

impl Ahead {
    /// Whether no more are known.
    #[inline(always)]
    pub(super) const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// The place of the first mark, if there is one.
    #[inline(always)]
    pub(super) fn first(self) -> usize {
        // Cannot fail: at most 64.
        self.from + usize::try_from(self.bits.trailing_zeros()).unwrap_or_default()
    }

    /// Without the first mark.
    #[inline(always)]
    pub(super) const fn next(self) -> Self {
        Self {
            bits: self.bits & self.bits.wrapping_sub(1),
            ..self
        }
    }
}

/// The marks of 64 bytes, the first one lowest.
#[inline(always)]
fn block_marks(block: &[u8; BLOCK_BYTES]) -> [u8; 8] {
    let mut flags = [0_u8; BLOCK_BYTES];
    for (i, (flag, byte)) in flags.iter_mut().zip(block).enumerate() {
        *flag = if is_marked(*byte) { 1 << (i % 8) } else { 0 };
    }
    let mut marks = [0; 8];
    let (eights, _) = flags.as_chunks::<8>();
    for (mark, eight) in marks.iter_mut().zip(eights) {
        // A sum of different bits; compilers know how to add bytes.
        *mark = eight
            .iter()
            .fold(0, |sum: u8, flag| sum.wrapping_add(*flag));
    }
    marks
}

#[inline(always)]
const fn is_marked(byte: u8) -> bool {
    // The last one is for `\`, `]`, `|` and `}`. No short circuits: all lanes do all of it.
    (byte < 0x20) | (byte == b'"') | (byte == b',') | (byte & 0xDE == 0x5C)
}

const BLOCK_BYTES: usize = 64;
const N_BLOCKS: usize = 64;
const BITS_BYTES: usize = 8 * N_BLOCKS;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn every_byte_is_marked_or_not_in_every_place() {
        for byte in 0..=u8::MAX {
            let is_end = matches!(byte, 0..0x20 | b'"' | b'\\' | b',' | b']' | b'}');
            for place in 0..BLOCK_BYTES {
                let mut block = [b'a'; BLOCK_BYTES];
                block[place] = byte;
                let expected = u64::from(is_end || byte == b'|') << place;
                assert_eq!(u64::from_le_bytes(block_marks(&block)), expected, "{byte}");
            }
        }
    }

    /// Texts that end in each place of a block and beyond the first stretch, from every place.
    #[test]
    fn the_marks_ahead_are_those_of_a_plain_scan() {
        let stretch = N_BLOCKS * BLOCK_BYTES;
        for len in (0..130).chain(stretch - 70..stretch + 140) {
            let text: Vec<u8> = (0..len)
                .map(|i| if i % 37 % 13 == 5 { b'"' } else { b'a' })
                .collect();
            let mut marks = Marks::new();
            for at in 0..=len {
                let mut ahead = marks.from(&text, at);
                let is_near = |place: &usize| *place < at + Marks::SEEN_BYTES;
                let expected = (at..len).filter(|place| text[*place] == b'"');
                for place in expected.chain([len]).take_while(is_near) {
                    assert_eq!((ahead.is_empty(), ahead.first()), (false, place), "{len}");
                    ahead = ahead.next();
                }
            }
        }
    }
}
