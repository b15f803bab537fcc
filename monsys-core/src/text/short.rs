//! Text that is mostly short: mount points, interfaces.
//!
//! What: an owned text of which up to 22 bytes stand in place. A payload names two dozen devices, and
//! an allocation for each was a quarter of what reading it cost. What not: growing; it is made once.
//! Cost: 24 bytes; longer texts one allocation; reading it back looks at each byte once more.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Deref;

/// An owned text that allocates only above 22 bytes.
///
/// ```
/// use monsys_core::text::ShortText;
/// let mount = ShortText::from("/var/lib");
/// assert_eq!(&*mount, "/var/lib");
/// ```
#[derive(Clone)]
pub struct ShortText {
    place: Place,
}

#[derive(Clone)]
enum Place {
    Inline { length: u8, bytes: [u8; 22] },
    Heap(Box<str>),
}

impl ShortText {
    /// Returns the text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.place {
            Place::Inline { length, bytes } => {
                let bytes = bytes.get(..usize::from(*length)).unwrap_or_default();
                // Cannot fail: the bytes were those of a str.
                str::from_utf8(bytes).unwrap_or_default()
            }
            Place::Heap(text) => text,
        }
    }

    /// The text in place, if it fits.
    #[inline]
    fn inline(text: &str) -> Option<Self> {
        let mut bytes = [0; 22];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).ok()?;
        let place = Place::Inline { length, bytes };
        Some(Self { place })
    }
}

impl From<&str> for ShortText {
    #[inline]
    fn from(text: &str) -> Self {
        Self::inline(text).unwrap_or_else(|| Self {
            place: Place::Heap(Box::from(text)),
        })
    }
}

impl From<String> for ShortText {
    fn from(text: String) -> Self {
        Self::inline(&text).unwrap_or_else(|| Self {
            place: Place::Heap(text.into_boxed_str()),
        })
    }
}

impl Deref for ShortText {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for ShortText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ShortText {}

impl PartialEq<str> for ShortText {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for ShortText {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_length_is_kept_whole() {
        assert_eq!(size_of::<ShortText>(), 24);
        for length in 0..70 {
            for character in ["a", "é", "€", "😀"] {
                let text = character.repeat(length);
                let borrowed = ShortText::from(text.as_str());
                assert_eq!(borrowed, ShortText::from(text.clone()));
                assert_eq!(borrowed, *text);
                assert_eq!(borrowed.to_string(), text);
                assert_eq!(
                    matches!(borrowed.place, Place::Inline { .. }),
                    text.len() <= 22
                );
            }
        }
    }
}
