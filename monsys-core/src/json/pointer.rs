//! JSON pointers (RFC 6901), built only when an error is reported.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::string::{self, Decoded};
use super::{JSON_DEPTH_CEILING, literal};

/// Longest pointer reported. A longer one is cut to the innermost container that fits, so that an
/// answer stays small whatever names a body has.
pub const POINTER_BYTES_MAX: usize = 256;

/// One step from a container to a value in it.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// A member, by its name as spelled between the quotes.
    Name(&'a str),
    /// An element, counted from 0.
    Index(usize),
    /// The container itself.
    Here,
}

/// A pointer under construction.
pub(super) struct Pointer {
    text: String,
    is_cut: bool,
}

impl Pointer {
    pub(super) const fn new() -> Self {
        Self {
            text: String::new(),
            is_cut: false,
        }
    }

    /// The way to the innermost value around `offset` of canonical text.
    pub(super) fn to(text: &str, offset: usize) -> Self {
        let mut pointer = Self::new();
        pointer.push_path(text, 0, offset);
        pointer
    }

    fn push_path(&mut self, text: &str, start: usize, offset: usize) {
        for step in path_to(text, start, offset) {
            self.push(step);
        }
    }

    fn push(&mut self, step: Step<'_>) {
        match step {
            Step::Name(raw) => self.push_token(Decoded::new(raw)),
            Step::Index(index) => {
                let mut digits = String::new();
                // Cannot fail: writing to a String does not.
                let _ = write!(digits, "{index}");
                self.push_token(digits.chars());
            }
            Step::Here => {}
        }
    }

    /// Appends a reference token, or nothing from the first one on that does not fit.
    pub(super) fn push_token(&mut self, characters: impl Iterator<Item = char>) {
        let fitting = self.text.len();
        if self.is_cut {
            return;
        }
        self.text.push('/');
        // An empty name adds the slash alone, which may be the byte too many.
        let mut is_fitting = self.text.len() <= POINTER_BYTES_MAX;
        for character in characters {
            if !is_fitting {
                break;
            }
            match character {
                '~' => self.text.push_str("~0"),
                '/' => self.text.push_str("~1"),
                other => self.text.push(other),
            }
            is_fitting = self.text.len() <= POINTER_BYTES_MAX;
        }
        if !is_fitting {
            self.text.truncate(fitting);
            self.is_cut = true;
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// The JSON pointer of the innermost value around `offset`, in JSON that is well-formed before it;
/// None if the text is not UTF-8 or does not begin with an array or object.
#[must_use]
pub fn pointer_at(bytes: &[u8], offset: usize) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?;
    let start = literal::skip_space(bytes, 0);
    if !matches!(bytes.get(start), Some(b'{' | b'[')) {
        return None;
    }
    let mut pointer = Pointer::new();
    pointer.push_path(text, start, offset);
    Some(pointer.finish())
}

/// The steps that are open at `offset`. A name that begins at `offset` counts as reached.
fn path_to(text: &str, start: usize, offset: usize) -> Vec<Step<'_>> {
    let bytes = text.as_bytes();
    let mut path = Vec::new();
    let mut is_name_expected = false;
    let mut at = start;
    while at <= offset {
        match bytes.get(at) {
            Some(b'{' | b'[') if path.len() > JSON_DEPTH_CEILING => return path,
            // The bracket that is too deep belongs to the value around it.
            Some(b'{') if at < offset || path.is_empty() => {
                path.push(Step::Here);
                is_name_expected = true;
            }
            Some(b'[') if at < offset || path.is_empty() => path.push(Step::Index(0)),
            Some(b'}' | b']') if at < offset => {
                path.pop();
            }
            Some(b',') if at < offset => is_name_expected = step_on(&mut path),
            Some(b'"') => {
                let end = string::skip(bytes, at).end;
                if at < offset && offset < end {
                    return path;
                }
                if let (true, Some(raw)) = (is_name_expected, text.get(at + 1..end - 1)) {
                    if let Some(top) = path.last_mut() {
                        *top = Step::Name(raw);
                    }
                    is_name_expected = false;
                }
                at = end;
                continue;
            }
            Some(_) => {}
            None => return path,
        }
        at += 1;
    }
    path
}

/// Behind a comma: the next element, or a member whose name follows.
fn step_on(path: &mut [Step<'_>]) -> bool {
    match path.last_mut() {
        Some(Step::Index(index)) => {
            *index += 1;
            false
        }
        Some(member) => {
            *member = Step::Here;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_name_at_the_limit_is_cut_like_any_other() {
        for length in [254, 255, 256] {
            let mut pointer = Pointer::new();
            let name: String = core::iter::repeat_n('x', length).collect();
            pointer.push(Step::Name(&name));
            pointer.push(Step::Name(""));
            pointer.push(Step::Index(0));
            let text = pointer.finish();
            assert!(text.len() <= POINTER_BYTES_MAX, "{length}: {}", text.len());
        }
    }
}
