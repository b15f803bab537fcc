//! Versions as three numbers.
//!
//! What: reads `major.minor.patch`, each up to 2^64 − 1, and compares nothing else (integrity
//! document, Limitations: `0.1.0-beta1` is treated as `0.1.0`; decisions 22 and 23). What not:
//! the precedence of pre-releases. Cost: linear in a text of at most 128 bytes.

use alloc::string::String;

use monsys_core::facts::{Version as Loaded, VersionTriple};
use monsys_core::limit;
use semver::Version;

/// Reads the three numbers of a version; whatever suffix semantic versioning allows is dropped.
///
/// `None` for anything else: `v1.2.3`, `1.2`, `01.2.3`, `banana`, numbers beyond 2^64 − 1, texts
/// over 128 bytes (decision 24).
///
/// ```
/// use monsys_integrity::version::triple;
/// assert_eq!(triple("0.1.0-beta1"), triple("0.1.0"));
/// assert_eq!(triple("v1.2.3"), None);
/// ```
pub fn triple(text: &str) -> Option<VersionTriple> {
    if text.len() > limit::AGENT_VERSION_BYTES_MAX {
        return None;
    }
    let Version {
        major,
        minor,
        patch,
        ..
    } = Version::parse(text).ok()?;
    Some(VersionTriple {
        major,
        minor,
        patch,
    })
}

/// Reads a stored version once, so that no cycle reads its text again.
///
/// ```
/// use monsys_integrity::version::read;
/// assert!(read("0.1.0".into()).triple.is_some());
/// assert!(read("banana".into()).triple.is_none());
/// ```
pub fn read(text: String) -> Loaded {
    let triple = triple(&text);
    Loaded { text, triple }
}

/// Tells whether a version takes the place of the highest one so far.
///
/// What is no version never does; a version does when there is none yet, when the one there is no
/// version, or when its numbers are higher. Call it for verified payloads only: whoever has no
/// key must not move the baseline (decision 25).
///
/// ```
/// use monsys_integrity::version::is_higher;
/// assert!(is_higher("0.10.0", Some("0.9.1")));
/// assert!(!is_higher("banana", None));
/// ```
pub fn is_higher(new: &str, old: Option<&str>) -> bool {
    triple(new).is_some_and(|new| old.and_then(triple).is_none_or(|old| new > old))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn suffixes_are_dropped() {
        let plain = triple("0.1.0");
        assert_eq!(
            plain,
            Some(VersionTriple {
                major: 0,
                minor: 1,
                patch: 0
            })
        );
        for text in ["0.1.0-beta1", "0.1.0+x", "0.1.0-rc.1+build.5"] {
            assert_eq!(triple(text), plain, "{text}");
        }
    }

    #[test]
    fn garbage_is_no_version() {
        let long = alloc::format!("1.2.3-{}", "a".repeat(10_000));
        for text in [
            "",
            "v1.2.3",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "1.02.3",
            "banana",
            " 1.2.3",
            "1.2.3 ",
            "1.2.3\n",
            "-1.2.3",
            "1.2.x",
            "1.2.3-",
            "1.2.3-é",
            "\u{661}.2.3",
            "18446744073709551616.0.0",
            &long,
        ] {
            assert_eq!(triple(text), None, "{text}");
        }
        assert!(triple("18446744073709551615.18446744073709551615.0").is_some());
    }

    #[test]
    fn only_a_higher_version_takes_the_place() {
        assert!(is_higher("0.2.0", Some("0.1.9")));
        assert!(is_higher("0.2.0", None));
        assert!(is_higher("0.2.0", Some("banana")));
        assert!(!is_higher("0.2.0", Some("0.2.0")));
        assert!(!is_higher("0.2.0+build2", Some("0.2.0+build1")));
        assert!(!is_higher("0.1.9", Some("0.2.0")));
        assert!(!is_higher("banana", Some("0.2.0")));
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_numbers(a: (u64, u64, u64), b: (u64, u64, u64)) {
            let text = |(x, y, z)| alloc::format!("{x}.{y}.{z}");
            prop_assert_eq!(is_higher(&text(a), Some(&text(b))), a > b);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[0-9.]{0,20}") {
            let _ = triple(&text);
        }
    }
}
