//! Whether the firmware starts only what is signed.
//!
//! What: the variable `SecureBoot` (UEFI specification §3.3, global variables): four bytes of
//! attributes that Linux puts before it, then one byte, 1 or 0. Without the variable it is unknown:
//! the machine may have been started without UEFI, where there is no secure boot, or a container may
//! hide it. What not: which keys the firmware trusts. Cost: one file of five bytes.

use std::io;

use monsys_signals::check::Answer;

use crate::collect::root::Root;
use crate::collect::small_file::read_bytes;

/// Reads the variable as `efivarfs` shows it; `None` in any other form.
pub const fn parse(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [_, _, _, _, 1] => Some(true),
        [_, _, _, _, 0] => Some(false),
        _ => None,
    }
}

pub(super) fn look(root: &Root) -> Answer {
    match read_bytes(root, VARIABLE) {
        Ok(bytes) => match parse(&bytes) {
            Some(true) => Answer::True,
            Some(false) => Answer::False,
            None => Answer::Unknown("the variable of the firmware has another form"),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Answer::Unknown("the firmware shows no variable for it")
        }
        Err(_) => Answer::Unknown("the variable of the firmware cannot be read"),
    }
}

const VARIABLE: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn the_fifth_byte_decides_and_other_forms_are_unknown() {
        assert_eq!(parse(&[6, 0, 0, 0, 1]), Some(true));
        assert_eq!(parse(&[6, 0, 0, 0, 0]), Some(false));
        for other in [
            &[][..],
            &[1],
            &[6, 0, 0, 0],
            &[6, 0, 0, 0, 2],
            &[6, 0, 0, 0, 1, 0],
        ] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_machine_with_the_variable_says_so_and_one_without_is_unknown() {
        let tree = Tree::new();
        assert!(matches!(look(&tree.root()), Answer::Unknown(_)));
        for (byte, expected) in [(1, Answer::True), (0, Answer::False)] {
            tree.file(VARIABLE, [6, 0, 0, 0, byte]);
            assert_eq!(look(&tree.root()), expected);
        }
        tree.file(VARIABLE, "");
        assert!(matches!(look(&tree.root()), Answer::Unknown(_)));
    }
}
