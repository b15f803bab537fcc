//! The configuration file: what stands in it, and where it is wrong.

use std::path::Path;

use super::Choices;
use crate::error::{Failure, FailureKind};

/// Reads the choices of a file.
///
/// # Errors
/// Configuration failures that name the line and the key, and never a value: a file that cannot be
/// read, or has a key that is not known.
pub(super) fn read(path: &Path) -> Result<Choices, Failure> {
    let wrong = |what: String| {
        Failure::new(
            FailureKind::Configuration,
            format!("{}: {what}", path.display()),
        )
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| {
        let message = error.message().to_owned();
        let place = error
            .span()
            .map_or_else(String::new, |span| place_of(&text, span.start));
        wrong(match nearest_key(&message) {
            Some(near) => format!("{place}{message}; did you mean `{near}`?"),
            None => format!("{place}{message}"),
        })
    })
}

/// Names the line of a byte and the key that stands there, and never its value.
fn place_of(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    format!("line {}: {key}: ", number + 1)
}

/// Finds the known key that is nearest to the one a message names as unknown.
fn nearest_key(message: &str) -> Option<&str> {
    // serde lists the keys of the very table: unknown field `a`, expected one of `b`, `c`.
    let mut quoted = message.strip_prefix("unknown field `")?.split('`');
    let unknown = quoted.next()?;
    quoted
        .skip(1)
        .step_by(2)
        .map(|key| (edit_distance(unknown, key), key))
        .filter(|(distance, key)| *distance <= key.len() / 2)
        .min()
        .map(|(_, key)| key)
}

/// Levenshtein distance, by the textbook row method.
pub(super) fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            left = (diagonal + usize::from(x != *y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let error = toml::from_str::<Choices>("org_rat = 5").unwrap_err();
        assert_eq!(nearest_key(error.message()), Some("org_rate"));
        let error = toml::from_str::<Choices>("zzzzzzzz = 5").unwrap_err();
        assert_eq!(nearest_key(error.message()), None);
        let error = toml::from_str::<Choices>("[scan]\nintervall = 5").unwrap_err();
        assert_eq!(nearest_key(error.message()), Some("interval"));
        let error = toml::from_str::<Choices>("[[scan.certs]]\nhots = 5").unwrap_err();
        assert_eq!(nearest_key(error.message()), Some("host"));
    }

    #[test]
    fn edit_distance_is_levenshtein() {
        for (a, b, d) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("data", "date", 1),
        ] {
            assert_eq!(edit_distance(a, b), d, "{a} {b}");
        }
    }
}
